"""That a story is whole, in order, and of one request alone; with lines as the gateway writes them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.__main__ import main
from sidecar.commands.receipts import story
from sidecar.commands.receipts.read import Source
from sidecar.commands.receipts.story import Hop, gather, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def receipt(event: str, hop: int, second: int, *, request: str = "", **others: Any) -> dict[str, Any]:
    """A line of the gateway before the hop-th upstream: the token that the hop before issued is its subject token."""
    return {
        "time": f"2026-11-21T12:00:{second:02}.000Z",
        "event": event,
        "request_id": request or f"r{hop}",
        "method": "POST",
        "path": f"/hop{hop}",
        "route": f"route{hop}",
        "upstream": f"https://service{hop}.example",
        "exchange_id": f"x{hop}",
        "client_id": "web-app",
        "subject": {"iss": "https://login.example", "sub": "alice"},
        "subject_token": {"type": "jwt", "id": f"jti:t{hop - 1}"},
        "authorization_server": "corp",
        "semantics": "delegation",
        "issued_token": {
            "type": "access_token",
            "id": f"jti:t{hop}",
            "issuer": "https://login.example",
            "audience": [f"service{hop}"],
            "scope": ["read"],
            "lifetime": 300.0,
        },
        "actor": [{"sub": f"gateway{each}"} for each in range(hop, 0, -1)],
        "decision": "allowed",
        "duration_ms": 1.0,
        **others,
    }


def hops(count: int, **others: Any) -> list[list[dict[str, Any]]]:
    """One file per gateway. Each request ends after the one that it caused."""
    return [
        [
            receipt("exchange", hop, hop, cache="miss", **others),
            receipt("use", hop, 30 - hop, cache="miss", status=200, **{**others, "duration_ms": 29000.0 - 2000 * hop}),
        ]
        for hop in range(1, count + 1)
    ]


def written(folder: Path, files: list[list[dict[str, Any]]]) -> list[str]:
    for number, lines in enumerate(files):
        (folder / f"gateway{number}").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    return [str(folder / f"gateway{number}") for number in range(len(files))]


def exchanges(found: list[Hop]) -> list[Any]:
    return [hop.first("exchange_id") for hop in found]


@pytest.mark.parametrize("identifier", ["r1", "x1", TRACE, "t0", "jti:t0", "r2", "t3"])
@pytest.mark.parametrize("backwards", [False, True])
def test_three_hops_read_as_one_story(identifier: str, backwards: bool, tmp_path: Path) -> None:
    files = written(tmp_path, hops(3, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01"))
    found = gather(Source(files[::-1] if backwards else files), identifier)
    assert exchanges(found) == ["x1", "x2", "x3"]
    assert [len(hop.receipts) for hop in found] == [2, 2, 2]


@pytest.mark.parametrize("identifier", ["r1", "r2", "r3"])
def test_tokens_alone_lead_to_the_exchanges_of_all_hops(identifier: str, tmp_path: Path) -> None:
    assert exchanges(gather(Source(written(tmp_path, hops(3))), identifier)) == ["x1", "x2", "x3"]


@given(skew=st.integers(-29, 29))
def test_clocks_that_differ_do_not_change_the_order(skew: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    files = hops(2)
    for line in files[1]:
        line["time"] = f"2026-11-21T12:{30 + skew:02}:00.000Z"
    assert exchanges(gather(Source(written(tmp_path_factory.mktemp("story"), files)), "r1")) == ["x1", "x2"]


def test_others_who_used_the_same_cached_token_are_no_part_of_it(tmp_path: Path) -> None:
    other = receipt("use", 1, 40, request="other", cache="hit", traceparent=f"00-{'1' * 32}-00f067aa0ba902b7-01")
    sibling = receipt("exchange", 3, 41, request="other", exchange_id="y", subject_token={"id": "jti:t1"})
    files = written(tmp_path, [*hops(2), [other, sibling]])
    found = gather(Source(files), "r2")
    assert exchanges(found) == ["x1", "x2"]
    assert "other" not in {each["request_id"] for hop in found for each in hop.receipts}
    found = gather(Source(files), "other")
    assert exchanges(found) == ["x1", "x2", "y"]
    assert found[0].receipts[-1] == other


def test_what_the_same_token_was_exchanged_for_besides_is_no_part_of_it(tmp_path: Path) -> None:
    """A connection that is set up first, or another tool: the same subject token, another request and another scope."""
    files = hops(3, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    other: dict[str, Any] = {"request": "other", "exchange_id": "y3", "issued_token": {"id": "jti:u3"}}
    files[2].insert(0, receipt("exchange", 3, 2, **other))
    files[2].insert(1, receipt("use", 3, 3, status=200, **other))
    source = Source(written(tmp_path, files))
    assert exchanges(gather(source, TRACE)) == ["x1", "x2", "x3"]
    assert "y3" in exchanges(gather(source, "other"))


def test_a_failed_exchange_and_its_refusal_are_one_hop(tmp_path: Path) -> None:
    failed = receipt("exchange", 1, 1, decision="exchange-denied", reason="No.", issued_token=None)
    refusal = receipt("refusal", 1, 2, decision="exchange-denied", reason="No.", issued_token=None, exchange_id=None)
    (hop,) = gather(Source(written(tmp_path, [[failed, refusal]])), "r1")
    assert len(hop.receipts) == 2


def test_tokens_in_a_circle_end(tmp_path: Path) -> None:
    files = hops(2)
    for line in files[0]:
        line["subject_token"] = {"id": "jti:t2"}
    assert len(gather(Source(written(tmp_path, files)), "r1")) == 2


def test_what_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = hops(1, approval={"by": "four-eyes", "id": "A-1", "decision": "approved", "age_s": 3}, tool="refund")
    files[0].append(
        receipt(
            "refusal",
            1,
            50,
            request="r1",
            decision="leak-guard",
            reason="A token was left.",
            status=502,
            step_up={"max_age": 5},
        )
    )
    assert main(["receipts", "--story", "r1", *written(tmp_path, files)]) == 0
    assert capsys.readouterr().out == (
        "1. 2026-11-21 12:00:00 UTC\n"
        "   POST /hop1, request r1, came by route route1.\n"
        "   POST /hop1, request r1, came by route route1.\n"
        "   For subject alice, on the word of https://login.example (token jti:t0), by client web-app.\n"
        "   Who acted: gateway1.\n"
        "   The tool called: refund.\n"
        "   Approval by four-eyes: approved, number A-1, seconds old: 3.\n"
        "   Authorization server corp issued token jti:t1 as https://login.example, for audience service1, with scope"
        " read, for 300 seconds, until 2026-11-21 12:05:01 UTC.\n"
        "   Of the token: it shows the actor beside the subject.\n"
        "   It was asked for this request. Upstream https://service1.example answered 200, at 2026-11-21T12:00:29.000Z."
        "\n"
        "   Refused as leak-guard, with status 502, at 2026-11-21T12:00:50.000Z: A token was left. Asked of the login:"
        ' {"max_age": 5}.\n'
    )


def test_no_story(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path, hops(2))
    assert main(["receipts", "--story", "nobody", *files]) == 1
    assert capsys.readouterr().err == "no receipt has nobody\n"
    monkeypatch.setattr(story, "MOST", 1)
    assert main(["receipts", "--story", "r1", *files]) == 2
    assert main(["receipts", "--story", "r1", "/dev/null"]) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3), lambda of: st.lists(of, max_size=2), max_leaves=3
)


@given(name=st.sampled_from([*sorted(receipt("use", 1, 1)), "approval", "cache", "status"]), value=JSON)
def test_no_value_of_a_member_breaks_it(name: str, value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    files = hops(2)
    files[0][1]["other"] = "r1"
    for line in files[0]:
        line[name] = value
    files[1][0]["request_id"] = "r2"
    assert main(["receipts", "--story", "r2", *written(tmp_path_factory.mktemp("story"), files)]) in (0, 1)


def test_a_trace() -> None:
    assert trace_of({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}) == TRACE
    assert trace_of({"traceparent": 5}) is trace_of({}) is trace_of({"traceparent": "x"}) is None


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, "Upstream https://service1.example answered 200, at"),
        (502, "Upstream https://service1.example answered 502, at"),
        (499, "Upstream https://service1.example had not answered when the caller left, at"),
        (None, "It was let go on to upstream https://service1.example, whose answer is not on record, at"),
    ],
)
def test_an_answer_is_the_upstreams_only_where_it_gave_one(
    status: int | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = hops(1)
    files[0][1]["status"] = status
    assert main(["receipts", "--story", "r1", *written(tmp_path, files)]) == 0
    assert told in capsys.readouterr().out


def test_who_called_is_told_beside_whose_token_was_exchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    caller = {"iss": "https://corp.example", "sub": "bob"}
    files = hops(1, subject_source="workload")
    files[0][1] |= {"caller": caller, "caller_token": {"type": "jwt", "id": "jti:b1"}}
    assert main(["receipts", "--story", "r1", *written(tmp_path, files)]) == 0
    told = "That is the gateway's own name. Who called: bob, on the word of https://corp.example (token jti:b1).\n"
    assert told in capsys.readouterr().out


def test_receipts_that_were_never_written_are_no_part_of_one(tmp_path: Path) -> None:
    files = hops(1)
    files[0].insert(1, {"time": "2026-11-21T12:00:02.000Z", "event": "dropped", "count": 3})
    assert [len(hop.receipts) for hop in gather(Source(written(tmp_path, files)), "r1")] == [2]
