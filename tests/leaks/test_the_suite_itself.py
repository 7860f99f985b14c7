"""A search that finds nothing proves nothing unless it finds what is there: here secrets are leaked on purpose."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.faces import forward, problems
from sidecar.faces.responses import OwnResponse
from sidecar.model.refusal import Refusal
from sidecar.observe import receipt_line
from tests.leaks.evidence import Evidence, reachable, reprs, without_credentials
from tests.leaks.scenarios import at, success
from tests.leaks.stage import Stage, staged
from tests.support.canary import Canary
from tests.support.gateway import Seen, get

Sabotage = Callable[[Stage, pytest.MonkeyPatch], Awaitable[None]]

log = logging.getLogger("sidecar.exchange")


@dataclass
class Careless:
    """A value that shows what it holds."""

    token: str


async def subject_token_upstream(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream_head = forward.upstream_head
    token = stage.mint()

    def careless(*args: Any, **settings: Any) -> bytes:
        return upstream_head(*args, **settings)[:-2] + b"X-Original: " + token.encode() + b"\r\n\r\n"

    monkeypatch.setattr("sidecar.faces.gateway.upstream_head", careless)
    await stage.get(token=token)


async def issued_token_in_another_field_upstream(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream_head = forward.upstream_head

    def careless(*args: Any, **settings: Any) -> bytes:
        return upstream_head(*args, **settings)[:-2] + b"X-Token: " + stage.issued[0].encode() + b"\r\n\r\n"

    monkeypatch.setattr("sidecar.faces.gateway.upstream_head", careless)
    await stage.get()


async def issued_token_returned(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "returned_fields", lambda fields, *_: list(fields))

    def echo(seen: Seen) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + seen.values(b"authorization")[0] + b"\r\n\r\n"

    stage.upstream.respond = echo
    await stage.get()


async def error_body(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    token = stage.mint()

    def careless(refusal: Refusal, request_id: str) -> OwnResponse:
        return problems.problem(replace(refusal, reason=f"{refusal.reason} {token}"), request_id)

    monkeypatch.setattr("sidecar.faces.gateway.problem", careless)
    await at("/nothing")(stage)


async def log_message(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    log.debug("exchanging %s", stage.mint())


async def log_traceback(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        raise ValueError(stage.actor)
    except ValueError:
        log.debug("broke", exc_info=True)


async def log_value(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    log.debug("exchanging", extra={"actor": stage.actor})


async def metric_label(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.gateway.app.metrics.secret_reloads.labels(stage.actor, "success").inc()


async def status_page(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    status = stage.gateway.app.status
    monkeypatch.setattr(stage.gateway.app, "status", lambda: replace(status(), version=stage.issued[0]))


async def receipt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    line, token = receipt_line.line, stage.mint()

    def careless(*args: Any) -> str:
        return line(*args)[:-2] + f',"token":"{token.split(".")[1]}"}}\n'

    monkeypatch.setattr(receipt_line, "line", careless)
    await stage.get(token=token)


async def path_in_a_receipt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.observe.journal.shown_path", lambda path, _: path)
    await at("/nothing/PERCENT")(stage)


async def value_with_a_repr(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    Careless.__module__ = "sidecar.careless"
    cache = stage.gateway.app.exchanger.cache
    cache._refusals[b"key"] = (float("inf"), Careless(stage.actor))  # type: ignore[assignment]


async def decision_with_a_repr(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    token = stage.mint()
    await stage.get("/orders", f"X-Request-ID: {'a' * 8}".encode(), token=token)
    stage.decisions[0] = replace(stage.decisions[0], grant=Careless(token))  # type: ignore[arg-type]


async def client_secret(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await success(stage)
    log.debug("as %s", stage.server.asked[0].head.decode())  # Base64 of what holds the secret


SABOTAGE: dict[str, tuple[Sabotage, str, str]] = {
    "the subject token goes upstream": (subject_token_upstream, "upstream", "subject token"),
    "the issued token goes upstream twice": (issued_token_in_another_field_upstream, "upstream", "issued token 1"),
    "the issued token comes back": (issued_token_returned, "answers", "issued token 1"),
    "an error page tells": (error_body, "answers", "subject token"),
    "a log line tells": (log_message, "plain log", "subject token"),
    "a traceback tells": (log_traceback, "plain log", "actor token"),
    "a value beside a log line tells": (log_value, "JSON log", "actor token"),
    "a label tells": (metric_label, "metrics", "actor token"),
    "the status page tells": (status_page, "status", "issued token 1"),
    "a receipt tells": (receipt, "receipts", "subject token"),
    "a receipt's path tells": (path_in_a_receipt, "receipts", "subject token"),
    "a repr tells": (value_with_a_repr, "reprs", "actor token"),
    "a decision's repr tells": (decision_with_a_repr, "reprs", "subject token"),
    "the client's secret is logged": (client_secret, "plain log", "client secret"),
}


@pytest.mark.parametrize("name", SABOTAGE)
async def test_a_leak_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sabotage, sink, secret = SABOTAGE[name]
    async with staged(tmp_path, monkeypatch) as stage:
        await sabotage(stage, monkeypatch)
        found = {(leak.sink, leak.secret[: len(secret)]) for leak in await stage.leaks(caplog.records)}
    assert found == {(sink, secret)}


@pytest.mark.parametrize("target", [b"/orders/1", b"/public"])
async def test_the_guard_stops_what_slips_through(
    target: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "forwardable", lambda fields, *_: list(fields))
    async with staged(tmp_path, monkeypatch) as stage:
        assert b"leak-guard" in await stage.get(target.decode())
        assert stage.upstream.seen == []


async def test_every_sink_holds_what_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An empty sink would pass every search."""
    caplog.set_level(logging.DEBUG)
    async with staged(tmp_path, monkeypatch) as stage:
        log.info("something happened")
        await success(stage)
        await stage.send(get("/nothing"))
        assert await stage.leaks(caplog.records) == []
        sinks = stage.evidence.sinks
    expected = {
        "upstream": b"GET /orders/1 HTTP/1.1",
        "answers": b"no-route",
        "metrics": b'token_sidecar_requests_total{code="200",method="GET",route="orders"}',
        "status": b'"recent_refusals"',
        "receipts": b'"event":"exchange"',
        "reprs": b"Decision(route=Route(",
        "plain log": b"something happened",
        "JSON log": b"something happened",
    }
    assert {name: part for name, part in expected.items() if part not in sinks[name]} == {}
    assert sinks.keys() == expected.keys()
    for name in ("Snapshot(", "Plan(", "Verifier(", "TrustedIssuer(", "WorkloadTokenFile(", "Subject(", "IssuedToken("):
        assert name.encode() in sinks["reprs"]
    assert b"# EOF" in sinks["metrics"]  # OpenMetrics too


def test_what_can_be_reached() -> None:
    canary = Canary.fresh("hidden")
    Careless.__module__ = "sidecar.careless"
    value = Careless(canary.text)
    for hidden in ([value], {"a": (value,)}, {value.token: {"b": value}}, lambda: value, Careless([value])):  # type: ignore[arg-type]
        assert value in list(reachable([hidden]))
        assert canary.text.encode() in reprs([hidden])


def test_a_credential_is_expected_in_one_place_only() -> None:
    head = b"GET / HTTP/1.1\r\nAuthorization: Bearer TOKEN-1\r\nX: TOKEN-1\r\nAuthorization: Bearer TOKEN-12\r\n\r\n"
    assert without_credentials(head, ["TOKEN-1"]) == (
        b"GET / HTTP/1.1\r\nX: TOKEN-1\r\nAuthorization: Bearer TOKEN-12\r\n\r\n"
    )


def test_the_parts_of_a_token_are_secrets_too() -> None:
    evidence = Evidence()
    token = evidence.token("token", "header-header.payload-payload.signature-signature")
    evidence.sinks = {
        "a": b"x payload-payload",
        "b": b"signature-signature",
        "c": token.encode(),
        "d": b"header-header",
    }
    assert {(leak.sink, leak.secret) for leak in evidence.leaks()} == {
        ("a", "token's payload"),
        ("b", "token's signature"),
        ("c", "token"),
        ("c", "token's payload"),
        ("c", "token's signature"),
    }
