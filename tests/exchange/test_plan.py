"""One trip to the token endpoint: what every failure is called, and how what came back is verified."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import Key

from sidecar.exchange import plan as tested
from sidecar.exchange.dialects import DIALECTS, Dialect
from sidecar.exchange.dialects.errors import DEFAULT_ERRORS, KINDS, Cause
from sidecar.exchange.plan import IssuedKeys, Plan
from sidecar.exchange.schedule import Lifetimes, Schedule
from sidecar.exchange.workload.file import workload_token_file
from sidecar.model.refusal import Kind, Refusal, Refused, StepUp
from sidecar.model.route import Expect, Expected
from sidecar.model.tokens import ACCESS_TOKEN, JWT, IssuedToken, Semantics
from sidecar.oauth.introspection import IntrospectionUnavailable
from sidecar.oauth.jwks import KeySource, KeysUnavailable
from sidecar.oauth.jwt import generate_key, jwk_set, sign
from sidecar.oauth.server import (
    ErrorReply,
    ServerOverloaded,
    ServerReplyUnusable,
    ServerTimeout,
    ServerUnavailable,
)
from tests.exchange.servers import Answer, FakeServer, granted, plan, token_for
from tests.support.clock import FakeClock
from tests.support.values import NOW, exchange, request, route, subject
from tests.support.vouching import Vouching

ISSUER = "https://as.example"
KEY = generate_key("ES256", "k")
CANARY = "canary-of-the-server"


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(FakeClock())


async def carry_out(by: Plan, jitter: float = 0.0) -> tuple[IssuedToken, Schedule]:
    alice = subject()
    return await by.carry_out(by.asker.ask(alice, None), alice, jitter)


async def refused(by: Plan) -> Refusal:
    with pytest.raises(Refused) as caught:
        await carry_out(by)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.refusal


# --- who acts


async def test_who_acts_next(server: FakeServer, tmp_path: Path) -> None:
    claims = {"iss": "https://cluster", "sub": "agent", "email": "agent@example.com"}
    for text, told in ((sign(claims, KEY, "ES256"), claims), ("opaque", {})):
        (tmp_path / "actor").write_text(text)
        acting = plan(server, actor=workload_token_file("self", JWT, str(tmp_path / "actor")))
        assert await acting.next_actor(request()) == told
    ourselves = {"iss": "https://issuer.example", "sub": "gateway", "client_id": "gateway"}
    assert await plan(server).next_actor(request()) == ourselves


# --- failures


async def test_a_login_that_the_server_wants(server: FakeServer) -> None:
    login = {"acr_values": "mfa", "max_age": 60, "claims": "{}"}
    server.answer = lambda form: ErrorReply(400, "interaction_required", CANARY, login)
    found = await refused(plan(server))
    assert (found.kind, found.step_up) == (Kind.STEP_UP_REQUIRED, StepUp(("mfa",), 60))
    found = await refused(plan(server, dialect=Dialect(relay_claims=True)))
    assert found.step_up == StepUp(("mfa",), 60, "e30=")
    server.answer = lambda form: ErrorReply(400, "access_denied", None, login)
    assert (await refused(plan(server))).step_up is None


async def test_a_scope_that_the_server_does_not_give(server: FakeServer) -> None:
    server.answer = lambda form: ErrorReply(400, "invalid_scope", CANARY)
    assert (await refused(plan(server, route(asks=exchange(scope=("b", "a")))))).scope == ("b", "a")
    server.answer = lambda form: ErrorReply(400, "access_denied", CANARY)
    assert (await refused(plan(server))).scope == ()


@pytest.mark.parametrize(
    ("failure", "kind", "retry_after", "finding"),
    [
        (ServerUnavailable("no connection", 7), Kind.EXCHANGE_UNAVAILABLE, 7, "no connection"),
        (ServerOverloaded("too many"), Kind.OVERLOADED, 1, ""),
        (ServerTimeout("no answer"), Kind.EXCHANGE_TIMEOUT, None, ""),
        (ServerReplyUnusable("the reply is a redirect"), Kind.EXCHANGE_UNUSABLE, None, "the reply is a redirect"),
    ],
)
async def test_a_server_that_gives_no_answer(
    server: FakeServer, failure: Answer, kind: Kind, retry_after: float | None, finding: str
) -> None:
    server.answer = lambda form: failure
    refusal = await refused(plan(server))
    assert (refusal.kind, refusal.retry_after, refusal.finding) == (kind, retry_after, finding)


@pytest.mark.parametrize(("code", "cause"), DEFAULT_ERRORS.items())
async def test_an_oauth_error_is_called_by_its_code(server: FakeServer, code: str, cause: Cause) -> None:
    kind = KINDS[cause]
    for status in (400, 401, 403, 500):  # the code decides, not the status
        server.answer = lambda form, status=status: ErrorReply(status, code, CANARY)  # type: ignore[misc]
        refusal = await refused(plan(server))
        assert refusal.kind is kind
        assert refusal.retry_after == (1 if kind is Kind.EXCHANGE_UNAVAILABLE else None)
        assert refusal.finding == f"the authorization server said {status} {code} ({cause})"
        assert CANARY not in repr(refusal)


@pytest.mark.parametrize(("status", "code"), [(400, "no_such_code"), (400, None), (404, None), (418, "invalid grant")])
async def test_what_nobody_knows_is_unusable(server: FakeServer, status: int, code: str | None) -> None:
    server.answer = lambda form: ErrorReply(status, code, CANARY)
    refusal = await refused(plan(server))
    assert refusal.kind is Kind.EXCHANGE_UNUSABLE
    assert str(status) in refusal.finding
    assert CANARY not in repr(refusal)


async def test_a_dialect_calls_them_otherwise(server: FakeServer) -> None:
    server.answer = lambda form: ErrorReply(400, "invalid_request", "Invalid token")
    assert (await refused(plan(server))).kind is Kind.EXCHANGE_MISCONFIGURED
    assert (await refused(plan(server, dialect=DIALECTS["keycloak"]))).kind is Kind.INVALID_TOKEN
    overridden = Dialect(errors={"no_such_code": Cause.POLICY})
    server.answer = lambda form: ErrorReply(400, "no_such_code", None)
    assert (await refused(plan(server, dialect=overridden))).kind is Kind.EXCHANGE_DENIED


def test_every_kind_that_an_error_may_mean_has_a_sentence() -> None:
    assert set(KINDS.values()) <= tested._SENTENCES.keys()
    assert KINDS.keys() == set(Cause)


# --- what is asked and what comes of it


async def test_what_is_asked_is_the_ask(server: FakeServer) -> None:
    by, alice = plan(server), subject()
    ask = by.asker.ask(alice, None)
    await by.carry_out(ask, alice, 0.0)
    assert server.asked == [dict(ask.form)]
    assert server.asked[0]["subject_token"] == alice.token


async def test_an_opaque_token_is_taken_for_what_the_reply_says(server: FakeServer) -> None:
    token, times = await carry_out(plan(server, lifetimes=Lifetimes(early_expiry=10, refresh_ahead=0.5)), jitter=1.0)
    assert (token.token, token.verified) == (token_for("subject-token"), "taken")
    assert (token.iss, token.audience, token.actors, token.semantics) == (None, None, None, Semantics.UNKNOWN)
    assert (token.authorization_server, token.token_type) == ("corp", ACCESS_TOKEN)
    # 300 seconds less the margin, half of that 10 % later: the settings and the jitter are handed on.
    assert (times.life, times.deadline) == (300, 1000 + 290)
    assert times.refresh_at == pytest.approx(1000 + 290 * 0.5 * 1.1)


@pytest.mark.parametrize("members", [{}, {"access_token": 7}, {"access_token": "a.b.c"}])
async def test_a_reply_without_a_good_token(server: FakeServer, members: dict[str, Any]) -> None:
    server.answer = lambda form: members
    assert (await refused(plan(server))).kind is Kind.EXCHANGE_UNUSABLE


async def test_what_looks_like_a_jwt_and_is_none_is_opaque(server: FakeServer) -> None:
    server.answer = lambda form: granted(form, access_token="a.b.c")
    token, _ = await carry_out(plan(server))
    assert (token.verified, token.audience) == ("taken", None)


async def test_the_routes_expectations_are_judged_at_the_exchange(server: FakeServer) -> None:
    strict = Expect(audience=Expected(frozenset({"orders-api"}), frozenset({"orders-api"})))
    by = plan(server, route(asks=exchange(expect=strict)))
    server.answer = lambda form: granted(form, access_token=jwt(aud=["orders-api", "billing-api"]))
    refusal = await refused(by)
    assert (refusal.kind, "billing-api" in refusal.finding) == (Kind.EXCHANGE_UNUSABLE, True)
    server.answer = lambda form: granted(form, access_token=jwt(aud="orders-api"))
    token, _ = await carry_out(by)
    assert token.audience == frozenset({"orders-api"})


# --- signatures


def jwt(key: Key = KEY, algorithm: str = "ES256", kid: str = "k", **claims: Any) -> str:
    payload = {"iss": ISSUER, "sub": "alice", "aud": "orders-api", "exp": NOW + 300, **claims}
    return sign({name: value for name, value in payload.items() if value is not None}, key, algorithm, {"kid": kid})


class Published:
    """A key set, or none to be had."""

    max_age = 300.0

    def __init__(self, document: Any) -> None:
        self.document = document

    async def read(self) -> Any:
        if self.document is None:
            raise KeysUnavailable("keys: nobody there")
        return self.document


def knowing(server: FakeServer, document: Any, algorithms: tuple[str, ...] = ("ES256",)) -> Plan:
    source = KeySource(Published(document), keys_stale=1000, clock=FakeClock().clock)
    return plan(server, issued_keys={ISSUER: IssuedKeys(source, algorithms)})


async def test_a_jwt_of_a_known_issuer_is_verified(server: FakeServer) -> None:
    server.answer = lambda form: granted(form, access_token=jwt(scope="orders.read", act={"sub": "gateway"}))
    token, times = await carry_out(knowing(server, jwk_set([KEY])))
    assert (token.verified, token.iss, token.sub) == ("signature", ISSUER, "alice")
    assert (token.scope, token.semantics) == (frozenset({"orders.read"}), Semantics.DELEGATION)
    assert times.life == 300


FORGED = generate_key("ES256", "k")
RSA = generate_key("RS256", "r")


@pytest.mark.parametrize(
    "token",
    [
        jwt(FORGED),
        jwt(FORGED, kid="unknown"),
        jwt(RSA, "RS256", kid="r"),
        jwt().rpartition(".")[0] + ".",
        jwt().rpartition(".")[0] + "." + jwt(sub="bob").rpartition(".")[2],
    ],
    ids=["another key", "an unknown key", "another algorithm", "no signature", "another token's signature"],
)
async def test_a_jwt_of_a_known_issuer_whose_signature_is_bad_is_unusable(server: FakeServer, token: str) -> None:
    server.answer = lambda form: granted(form, access_token=token)
    refusal = await refused(knowing(server, jwk_set([KEY, RSA])))
    assert (refusal.kind, refusal.finding) == (
        Kind.EXCHANGE_UNUSABLE,
        "the issued token's signature does not verify",
    )


@pytest.mark.parametrize("iss", ["https://other.example", None, 7, ["https://as.example"], ISSUER + "/"])
async def test_a_jwt_of_an_unknown_issuer_is_read(server: FakeServer, iss: object) -> None:
    server.answer = lambda form: granted(form, access_token=jwt(FORGED, iss=iss))
    token, _ = await carry_out(knowing(server, jwk_set([KEY])))
    assert (token.verified, token.audience) == ("claims", frozenset({"orders-api"}))


async def test_without_the_issuers_keys_nothing_is_used(server: FakeServer) -> None:
    server.answer = lambda form: granted(form, access_token=jwt())
    refusal = await refused(knowing(server, None))
    assert (refusal.kind, refusal.retry_after, refusal.finding) == (Kind.EXCHANGE_UNAVAILABLE, 1, "keys: nobody there")


@pytest.mark.parametrize(
    "claims",
    [{"exp": NOW - 1}, {"exp": NOW}, {"nbf": NOW + 3600}, {"exp": 10**400}, {"aud": {"a": 1}}, {"act": "x"}],
)
async def test_a_verified_token_may_still_be_unusable(server: FakeServer, claims: dict[str, Any]) -> None:
    server.answer = lambda form: granted(form, access_token=jwt(**claims))
    assert (await refused(knowing(server, jwk_set([KEY])))).kind is Kind.EXCHANGE_UNUSABLE


async def test_a_plan_shows_no_secret(server: FakeServer) -> None:
    by = knowing(server, jwk_set([KEY]))
    ask = by.asker.ask(subject("canary-token"), None)
    assert "canary" not in repr((by, ask))


# --- opaque tokens that their server is asked about


TOLD = {"active": True, "iss": "https://issuer.example", "sub": "alice", "aud": "orders-api", "scope": "orders.read"}


async def test_what_its_server_says_of_an_opaque_token_counts(server: FakeServer) -> None:
    telling = Vouching({**TOLD, "act": {"sub": "agent"}, "exp": NOW + 60})
    token, times = await carry_out(plan(server, introspection=telling))
    assert telling.asked == [token.token]
    assert (token.verified, token.sub, token.audience) == ("introspection", "alice", frozenset({"orders-api"}))
    assert token.semantics is Semantics.DELEGATION
    assert times.life == 60


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (None, Kind.EXCHANGE_UNUSABLE),
        (IntrospectionUnavailable(3.0, "introspection: no connection"), Kind.EXCHANGE_UNAVAILABLE),
        ({**TOLD, "exp": 1}, Kind.EXCHANGE_UNUSABLE),
        ({**TOLD, "nbf": 4_000_000_000}, Kind.EXCHANGE_UNUSABLE),
        ({**TOLD, "aud": 7}, Kind.EXCHANGE_UNUSABLE),
        ({**TOLD, "scope": ["x", 1]}, Kind.EXCHANGE_UNUSABLE),
        ({**TOLD, "act": "agent"}, Kind.EXCHANGE_UNUSABLE),
        ({**TOLD, "typ": "Refresh"}, Kind.EXCHANGE_UNUSABLE),
        ({**TOLD, "sub": "mallory"}, Kind.EXCHANGE_UNUSABLE),
        ({"active": True, "sub": "mallory", "aud": "orders-api"}, Kind.EXCHANGE_UNUSABLE),
        ({**TOLD, "aud": "another-api"}, Kind.EXCHANGE_UNUSABLE),
        ({**TOLD, "scope": "everything"}, Kind.EXCHANGE_UNUSABLE),
    ],
)
@pytest.mark.threat("S5")
async def test_a_token_that_is_not_what_was_asked_for(
    server: FakeServer, says: Mapping[str, Any] | IntrospectionUnavailable | None, kind: Kind
) -> None:
    expect = Expect(
        audience=Expected(frozenset({"orders-api"}), frozenset({"orders-api"})),
        scope=Expected(frozenset(), frozenset({"orders.read"})),
    )
    by = plan(server, route(asks=exchange(expect=expect)), introspection=Vouching(says))
    assert (await refused(by)).kind is kind


async def test_nobody_is_asked_about_a_jwt_or_about_nothing(server: FakeServer) -> None:
    telling = Vouching(None)
    server.answer = lambda form: granted(form, access_token=sign({**TOLD, "exp": NOW + 60}, KEY, "ES256"))
    token, _ = await carry_out(plan(server, introspection=telling))
    assert token.verified == "claims"
    server.answer = lambda form: granted(form, access_token=None)
    await refused(plan(server, introspection=telling))
    assert telling.asked == []
