"""What happened becomes counts and lines: which ones, and that no token gets into any."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.decision import CacheResult, Decision, Exchanged, Grant
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.model.tokens import JWT, WorkloadToken
from sidecar.observe.journal import Journal
from sidecar.observe.line_writer import LineWriter
from sidecar.observe.metrics import Metrics
from sidecar.observe.receipts import Receipts
from tests.support.values import exchange, issued, request, route, subject

REFUSAL = Refusal(Kind.INVALID_TOKEN, "No.", finding="because")


class Desk:
    """A journal with a file, and everything that can be read of it."""

    def __init__(self, folder: Path, **receipts: Any) -> None:
        self.path = folder / "receipts.jsonl"
        self.metrics = Metrics("test")
        self.lost = 0
        self.writer = LineWriter(str(self.path), self._count)
        self.writer.start()
        self.journal = Journal(self.metrics, Receipts(self.writer, **receipts))

    def _count(self, lines: int) -> None:
        self.lost += lines

    async def lines(self) -> list[dict[str, Any]]:
        assert await self.journal.receipts.flush(10)
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of a series as a scrape shows it, None where there is none."""
        text, _ = self.metrics.render("")
        series = name + "{" + ",".join(f'{label}="{value}"' for label, value in sorted(labels.items())) + "}"
        found = [line for line in text.decode().splitlines() if line.startswith(f"{series} ")]
        return float(found[0].rpartition(" ")[2]) if found else None

    def exchanges(self, outcome: str) -> float | None:
        """How many exchanges of the route ended so."""
        labels = {"authorization_server": "corp", "route": "orders", "outcome": outcome}
        return self.value("token_sidecar_exchanges_total", **labels)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    await desk.journal.receipts.close(5)


def exchanged(refusal: Refusal | None = None, **changes: Any) -> Exchanged:
    happened: dict[str, Any] = {
        "exchange_id": "e-1",
        "request": request(),
        "route": route(),
        "exchange": exchange(),
        "subject": subject("canary-subject"),
        "actor": WorkloadToken("self", JWT, "jti:actor", b"", "canary-actor"),
        "cache": CacheResult.MISS,
        "issued": issued("canary-issued") if refusal is None else None,
        "lifetime": 300.0 if refusal is None else 0.0,
        "refusal": refusal,
        "duration": 0.02,
        "asked": True,
    }
    return Exchanged(**{**happened, **changes})


async def test_an_exchange_is_counted_and_written(desk: Desk) -> None:
    fragment = await desk.journal.exchanged(exchanged())
    [line] = [json.loads(text) for text in desk.path.read_bytes().splitlines()]  # there, without a flush
    assert (line["event"], line["exchange_id"], line["route"]) == ("exchange", "e-1", "orders")
    assert (line["decision"], line["cache"]) == ("allowed", "miss")
    assert line["issued_token"]["lifetime"] == 300
    assert (line["subject_token"]["id"], line["actor_token"]["id"]) == ("jti:1", "jti:actor")
    assert (line["upstream"], line["path"]) == ("http://127.0.0.1:9000", "/orders/1")
    assert json.loads("{" + fragment[1:] + "}").items() <= line.items()
    assert desk.exchanges("success") == 1
    assert desk.value("token_sidecar_exchange_duration_seconds_count", authorization_server="corp") == 1
    assert desk.value("token_sidecar_authorization_server_available", authorization_server="corp") == 1


@pytest.mark.parametrize(
    ("kind", "available"),
    [
        (Kind.EXCHANGE_UNAVAILABLE, 0),
        (Kind.EXCHANGE_TIMEOUT, 0),
        (Kind.INVALID_TOKEN, 1),
        (Kind.EXCHANGE_UNUSABLE, 1),
    ],
)
async def test_an_exchange_that_failed(desk: Desk, kind: Kind, available: float) -> None:
    await desk.journal.exchanged(exchanged(Refusal(kind, "No.")))
    [line] = await desk.lines()
    assert (line["decision"], line["reason"], line["exchange_id"]) == (kind.value, "No.", "e-1")
    assert "issued_token" not in line
    assert desk.exchanges(kind.value) == 1
    assert desk.value("token_sidecar_authorization_server_available", authorization_server="corp") == available


@pytest.mark.parametrize("kind", [Kind.OVERLOADED, Kind.EXCHANGE_UNAVAILABLE])
async def test_an_exchange_that_was_never_sent_says_nothing_of_the_server(desk: Desk, kind: Kind) -> None:
    await desk.journal.exchanged(exchanged(Refusal(kind, "No."), asked=False))
    [line] = await desk.lines()
    assert (line["event"], line["decision"]) == ("exchange", kind.value)
    assert desk.exchanges(kind.value) == 1
    assert desk.value("token_sidecar_authorization_server_available", authorization_server="corp") is None
    assert desk.value("token_sidecar_exchange_duration_seconds_count", authorization_server="corp") is None


async def test_a_server_that_comes_back_is_available_again(desk: Desk) -> None:
    await desk.journal.exchanged(exchanged(Refusal(Kind.EXCHANGE_UNAVAILABLE, "No.")))
    await desk.journal.exchanged(exchanged())
    assert desk.value("token_sidecar_authorization_server_available", authorization_server="corp") == 1


@pytest.mark.parametrize("refuse", [False, True])
async def test_receipts_that_can_not_be_written(tmp_path: Path, refuse: bool) -> None:
    desk = Desk(tmp_path, refuse=refuse)
    desk.writer._max_bytes = 0  # a queue that is always full
    if refuse:
        with pytest.raises(Refused) as caught:
            await desk.journal.exchanged(exchanged())
        assert (caught.value.refusal.kind, caught.value.refusal.retry_after) == (Kind.EXCHANGE_UNAVAILABLE, 1)
    else:
        assert await desk.journal.exchanged(exchanged())
    assert desk.lost == 1
    assert desk.exchanges("success") == 1  # it happened, on record or not
    await desk.journal.receipts.close(5)


async def test_lookups(desk: Desk) -> None:
    for result in (CacheResult.HIT, CacheResult.HIT, CacheResult.NEGATIVE):
        desk.journal.looked_up("orders", result)
    assert desk.value("token_sidecar_cache_lookups_total", route="orders", result="hit") == 2
    assert desk.value("token_sidecar_cache_lookups_total", route="orders", result="negative") == 1


async def test_a_use_is_the_fragment_and_what_became_of_the_request(desk: Desk) -> None:
    fragment = await desk.journal.exchanged(exchanged())
    grant = Grant(issued(), None, "e-1", 300, CacheResult.HIT, fragment)
    desk.journal.used(request(method="POST"), Decision(route(), subject(), grant), 201, 0.5)
    exchange, use = await desk.lines()
    assert (use["event"], use["cache"], use["status"], use["duration_ms"]) == ("use", "hit", 201, 500)
    assert (use["method"], use["exchange_id"]) == ("POST", "e-1")
    assert use["issued_token"] == exchange["issued_token"]


async def test_a_use_without_a_token(desk: Desk) -> None:
    desk.journal.used(request(), Decision(route("health", exchange=None)), 200, 0.1)
    [use] = await desk.lines()
    assert (use["event"], use["route"], use["status"]) == ("use", "health", 200)
    assert not use.keys() & {"subject", "issued_token", "cache", "exchange_id"}


async def test_a_refusal_tells_how_far_the_request_came(desk: Desk) -> None:
    fragment = await desk.journal.exchanged(exchanged())
    grant = Grant(issued(), None, "e-1", 300, CacheResult.MISS, fragment)
    for decision in (Decision(), Decision(route()), Decision(route(), subject()), Decision(route(), subject(), grant)):
        desk.journal.refused(request(), decision, REFUSAL, 401, 0.1)
    _, nowhere, routed, verified, granted = await desk.lines()
    for line in (nowhere, routed, verified, granted):
        assert (line["event"], line["decision"], line["reason"]) == ("refusal", "invalid-token", "No.")
        assert line["finding"] == "because"
    assert "route" not in nowhere
    assert (routed["route"], "subject" in routed) == ("orders", False)
    assert (verified["subject"]["sub"], "issued_token" in verified) == ("alice", False)
    assert verified["requested"]["audience"] == ["orders-api"]
    assert granted["issued_token"]["id"] == "jti:2"
    assert desk.value("token_sidecar_rejections_total", route="none", reason="invalid-token") == 1
    assert desk.value("token_sidecar_rejections_total", route="orders", reason="invalid-token") == 3


async def test_what_could_not_even_be_read_is_counted_only(desk: Desk) -> None:
    desk.journal.turned_away(REFUSAL)
    assert await desk.lines() == []
    assert desk.value("token_sidecar_rejections_total", route="none", reason="invalid-token") == 1


async def test_of_a_head_that_was_not_accepted_the_method_is_told(desk: Desk) -> None:
    desk.journal.not_accepted("request-1", "GET", REFUSAL, 400, 0.5)
    [line] = await desk.lines()
    assert line.pop("time")
    assert line == {
        "event": "refusal",
        "request_id": "request-1",
        "method": "GET",
        "decision": REFUSAL.kind.value,
        "reason": REFUSAL.reason,
        "finding": REFUSAL.finding,
        "status": 400,
        "duration_ms": 500.0,
    }
    assert desk.value("token_sidecar_rejections_total", route="none", reason="invalid-token") == 1


async def test_answers_are_counted_by_route_and_status(desk: Desk) -> None:
    desk.journal.answered(route(), "GET", 200, 0.003)
    desk.journal.answered(None, "BREW", 404, 0.003)
    assert desk.value("token_sidecar_requests_total", route="orders", method="GET", code="200") == 1
    assert desk.value("token_sidecar_requests_total", route="none", method="other", code="404") == 1
    assert desk.value("token_sidecar_request_duration_seconds_count", route="orders") == 1


TOKEN = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
SPACED = b"ewogICJhbGciOiAiRVMyNTYifQ.ewogICJzdWIiOiAiYWxpY2UifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/orders/1", "/orders/1"),
        (b"/orders/%61", "/orders/%61"),
        (b"/caf%c3%a9", "/caf%c3%a9"),
        (b"/t/" + TOKEN, "/t/[token]"),
        (b"/t/" + TOKEN + b"/x/" + TOKEN, "/t/[token]/x/[token]"),
        (b"/t/" + TOKEN.rpartition(b".")[0], "/t/[token]"),
        (b"/t/" + TOKEN.replace(b".", b"%2E"), "/t/[token]"),
        (b"/t/" + b"".join(b"%%%02x" % byte for byte in TOKEN), "/t/[token]"),
        (b"/t/%65" + TOKEN[1:], "/t/[token]"),
        (b"/t/" + SPACED, "/t/[token]"),
        (b"/eyJ/a.b", "/eyJ/a.b"),
        (b"/viewolympics2024.html", "/viewolympics2024.html"),
        (b"/jquery-1.12.1.min.js", "/jquery-1.12.1.min.js"),
    ],
)
async def test_no_token_in_a_path(desk: Desk, path: bytes, shown: str) -> None:
    desk.journal.refused(request(path=path), Decision(), REFUSAL, 404, 0.0)
    [line] = await desk.lines()
    assert line["path"] == shown


async def test_a_trace_is_told_when_there_is_one(desk: Desk) -> None:
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for fields in ([(b"TraceParent", parent)], [(b"traceparent", parent)] * 2, [(b"traceparent", TOKEN)], []):
        desk.journal.refused(request(*fields), Decision(), REFUSAL, 404, 0.0)
    assert [line.get("traceparent") for line in await desk.lines()] == [parent.decode(), None, None, None]


async def test_no_token_in_any_line_or_series(desk: Desk) -> None:
    def head() -> RequestHead:
        return request((b"Authorization", b"canary"), query=b"canary", path=b"/orders")

    where: Route = route()
    fragment = await desk.journal.exchanged(exchanged(request=head()))
    grant = Grant(issued("canary-issued"), None, "e-1", 300, CacheResult.MISS, fragment)
    decision = Decision(where, subject("canary-subject", claims={"email": "canary"}), grant, left_behind=(b"canary",))
    desk.journal.used(head(), decision, 200, 0.1)
    desk.journal.refused(head(), decision, REFUSAL, 401, 0.1)
    assert len(await desk.lines()) == 3
    assert b"canary" not in desk.path.read_bytes()
    assert b"canary" not in desk.metrics.render("")[0]
