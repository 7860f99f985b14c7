"""That every way to tamper with a chain is found, and that an untouched one is not accused."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.__main__ import main
from sidecar.commands.receipts.read import Line
from sidecar.commands.receipts.verify import Verification
from sidecar.observe.chain import Chain, digest
from sidecar.observe.receipts import dropped
from tests.support.gateway import get, recording_upstream, running_gateway

COUNT = 8


def chained(count: int = COUNT, first: int = 0) -> list[bytes]:
    links = Chain()
    made = [
        links.link(json.dumps({"time": "2026-11-21T12:00:00.000Z", "event": "use", "request_id": f"r{number}"}) + "\n")
        for number in range(first, first + count)
    ]
    return [line.encode() for line in made]


CHAIN = chained()


def findings(lines: list[bytes], anchor: str | None = None) -> list[str]:
    return list(Verification(anchor=anchor).findings(Line("f", n, raw) for n, raw in enumerate(lines, 1)))


def test_an_untouched_chain() -> None:
    assert findings(CHAIN) == findings([]) == findings(CHAIN, digest(CHAIN[3])) == []


@given(place=st.integers(0, COUNT - 2), data=st.data())
def test_a_changed_byte(place: int, data: st.DataObject) -> None:
    line = CHAIN[place]
    at = data.draw(st.integers(0, len(line) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (line[at], 10)))
    changed = line[:at] + bytes([byte]) + line[at + 1 :]
    found = findings([*CHAIN[:place], changed, *CHAIN[place + 1 :]])
    assert (
        f"f:{place + 2}: it does not follow f:{place + 1}: that line was changed, or lines are missing or moved"
        in found
    )


@given(start=st.integers(0, COUNT - 2), count=st.integers(1, COUNT - 1))
def test_missing_lines(start: int, count: int) -> None:
    count = min(count, COUNT - 1 - start)
    assert [each.split(": ")[0] for each in findings(CHAIN[:start] + CHAIN[start + count :])] == [f"f:{start + 1}"]


@given(order=st.permutations(range(COUNT)).filter(lambda order: list(order) != list(range(COUNT))))
def test_another_order(order: list[int]) -> None:
    assert findings([CHAIN[place] for place in order])


@given(place=st.integers(0, COUNT), other=st.integers(0, COUNT - 1))
def test_a_line_that_was_put_in(place: int, other: int) -> None:
    forged = chained(first=100)[other]
    put_in = [*CHAIN[:place], forged, *CHAIN[place:]]
    assert findings(put_in)


@given(left=st.integers(0, COUNT - 1))
def test_a_cut_at_the_end_shows_against_an_anchor(left: int) -> None:
    assert findings(CHAIN[:left]) == []
    (found,) = findings(CHAIN[:left], digest(CHAIN[-1]))
    assert "cut off at the end" in found


def test_a_chain_made_anew_shows_against_an_anchor() -> None:
    anew = chained(first=1)
    assert findings(anew) == []
    assert findings(anew, digest(CHAIN[-1]))


@pytest.mark.parametrize(
    ("line", "word"),
    [(b"{}\n", "not a line of a chain"), (CHAIN[-1][:-1], "cut off in the middle"), (None, "longer than any receipt")],
)
def test_what_no_gateway_wrote(line: bytes | None, word: str) -> None:
    lines = [*enumerate(CHAIN[:-1], 1), (COUNT, line)]
    assert list(Verification().findings(Line("f", n, raw) for n, raw in lines)) == [f"f:{COUNT}: {word}"]


def test_the_command_over_rotated_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.gz", tmp_path / "new"
    old.write_bytes(gzip.compress(b"".join(CHAIN[:5])))
    new.write_bytes(b"".join(CHAIN[5:]))
    assert main(["receipts", "--verify", str(old), str(new)]) == 0
    assert capsys.readouterr().out == f"8 lines, 0 findings, digest of the last line {digest(CHAIN[-1])}\n"
    assert main(["receipts", "--verify", "--after", digest(CHAIN[4]), str(new)]) == 0
    assert main(["receipts", "--verify", str(new)]) == 1
    assert f"{new}:1: lines before it are missing" in capsys.readouterr().out
    assert main(["receipts", "--verify", str(new), str(old)]) == 1


def test_lines_that_were_never_written_are_a_finding_though_the_chain_is_whole() -> None:
    links = Chain()
    lines = [links.link(text).encode() for text in (dropped(7), dropped(1))]
    assert findings(lines) == [
        "f:1: 7 receipts before this were never written",
        "f:2: 1 receipts before this were never written",
    ]


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(gzip.compress(b"".join(CHAIN))[:-20])
    assert main(["receipts", "--verify", str(damaged)]) == 2
    assert main(["receipts", "--verify", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("can't be read") == 2
    with pytest.raises(SystemExit):
        main(["receipts", "--verify", "--anchor", "x", str(damaged)])


async def test_what_a_gateway_wrote_over_two_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "written.jsonl"
    text = f"""
gateway: {{listen: '127.0.0.1:0'}}
receipts: {{sink: {file}, chain: true}}
routes: [{{name: all, match: {{path_prefix: /}}, upstream: {{url: 'http://127.0.0.1:PORT'}}, exchange: none}}]
"""
    async with recording_upstream() as upstream:
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            async with running_gateway(folder, text.replace("PORT", str(upstream.port))) as it:
                for _ in range(3):
                    assert (await it.ask(get("/a"))).status == 200
    assert main(["receipts", "--verify", str(file)]) == 0
    assert capsys.readouterr().out.startswith("6 lines, 0 findings")
    assert main(["receipts", "--route", "all", "--decision", "allowed", str(file)]) == 0
    assert capsys.readouterr().out.count("status=200") == 6
