import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.__main__ import main
from sidecar.commands.receipts.read import LONGEST
from sidecar.observe.receipts import hashed

ALICE = {
    "time": "2026-11-21T12:00:00.000Z",
    "event": "use",
    "request_id": "r1",
    "method": "GET",
    "path": "/orders",
    "route": "orders",
    "subject": {"iss": "https://login.example", "sub": "alice"},
    "actor": [{"sub": "agent"}, {"sub": "web"}],
    "decision": "allowed",
    "status": 200,
}
BOB = {
    **ALICE,
    "time": "2026-11-21T13:00:00.000Z",
    "event": "refusal",
    "request_id": "r2",
    "route": "bills",
    "subject": {"iss": "https://login.example", "sub": "bob"},
    "actor": None,
    "decision": "policy-denied",
}


def written(folder: Path, *receipts: dict[str, Any]) -> str:
    path = folder / "receipts"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in receipts))
    return str(path)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], ["r1", "r2"]),
        (["--subject", "alice"], ["r1"]),
        (["--actor", "web"], ["r1"]),
        (["--route", "bills"], ["r2"]),
        (["--decision", "policy-denied"], ["r2"]),
        (["--since", "2026-11-21T13:00:00Z"], ["r2"]),
        (["--until", "2026-11-21T13:00:00"], ["r1"]),
        (["--since", "2026-11-21T13:00:00+02:00", "--until", "2026-11-22"], ["r1", "r2"]),
        (["--subject", "alice", "--route", "bills"], []),
    ],
)
def test_filters(words: list[str], left: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipts", *words, "--format", "json", written(tmp_path, ALICE, BOB)]) == 0
    assert [json.loads(line)["request_id"] for line in capsys.readouterr().out.splitlines()] == left


def test_a_hashed_subject(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"key of the subjects")
    file = written(tmp_path, {**ALICE, "subject": {"sub": hashed(b"key of the subjects", "alice")}}, BOB)
    assert main(["receipts", "--subject", "alice", "--subject-key-file", str(key), file]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert main(["receipts", "--subject", "alice", "--subject-key-file", str(tmp_path / "no"), file]) == 2


def test_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipts", written(tmp_path, ALICE)]) == 0
    assert capsys.readouterr().out == (
        "2026-11-21T12:00:00.000Z use allowed GET /orders route=orders subject=alice actor=agent < web status=200"
        " request=r1\n"
    )


DROPPED = {"time": "2026-11-21T12:30:00.000Z", "event": "dropped", "count": 12}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--subject", "alice"], True),  # one of them may have been hers
        (["--route", "bills", "--decision", "allowed"], True),
        (["--since", "2026-11-21T12:30:00Z"], True),
        (["--since", "2026-11-21T12:30:01Z"], False),
        (["--until", "2026-11-21T12:30:00Z"], False),
    ],
)
def test_receipts_that_were_never_written_are_told_where_they_may_have_been(
    words: list[str], told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["receipts", *words, written(tmp_path, ALICE, DROPPED, BOB)]) == 0
    line = "2026-11-21T12:30:00.000Z dropped: 12 receipts before this were never written\n"
    assert (line in capsys.readouterr().out) is told


@pytest.mark.parametrize("count", [0, -1, "12", True, None, 1.5])
def test_a_line_that_tells_of_none_is_no_receipt(
    count: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["receipts", written(tmp_path, {**DROPPED, "count": count})]) == 1
    assert capsys.readouterr().err.endswith("not a receipt\n")


def test_nothing_in_a_receipt_moves_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\r\n\u202e"
    file = written(
        tmp_path, {**ALICE, "path": evil, "request_id": evil, "route": evil, "decision": evil, "status": evil}
    )
    assert main(["receipts", file]) == 0
    assert main(["receipts", "--story", evil, file]) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


@pytest.mark.parametrize(
    "bad", [b"", b"{", b"[]", b"\xff", b'{"event": 1}', b"[" * 5000, b"9" * 5000, b"x" * (2 * LONGEST), b'{"a": NaN}']
)
def test_lines_that_are_none_are_named_and_passed_over(
    bad: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "receipts"
    good = json.dumps(ALICE).encode()
    path.write_bytes(b"\n".join([good, bad, good, b""]))
    assert main(["receipts", str(path)]) == 1
    out, err = capsys.readouterr()
    assert (out.count("r1"), err) == (2, f"{path}:2: not a receipt\n")


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipts", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/none: can't be read: No such file or directory\n"
    for words in (["--since", "yesterday"], ["--story", "x", "--verify"]):
        with pytest.raises(SystemExit, match="2"):
            main(["receipts", *words, "file"])
