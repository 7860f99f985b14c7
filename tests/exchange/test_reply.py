from typing import Any

import pytest

from sidecar.exchange.dialects import Dialect
from sidecar.exchange.reply import Reply, peek_issued, read
from sidecar.model.refusal import Kind, Refused
from sidecar.model.tokens import ACCESS_TOKEN, JWT, TOKEN_TYPES, Actor
from sidecar.oauth.jwt import generate_key, sign
from tests.support.values import NOW, exchange, subject

KEY = generate_key("ES256", "k")
LENIENT = Dialect(issued_token_type="lenient")
REPLY = {
    "access_token": "opaque-token",
    "issued_token_type": ACCESS_TOKEN,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "orders.read",
}
MISSING = object()


def jwt(**claims: Any) -> str:
    return sign(
        {"iss": "https://issuer.example", "sub": "alice", "aud": "orders-api", "exp": NOW + 60, **claims}, KEY, "ES256"
    )


def reading(asks: Any = None, dialect: Dialect | None = None, **changes: Any) -> Reply:
    members = {name: value for name, value in {**REPLY, **changes}.items() if value is not MISSING}
    return read(
        members,
        signed=peek_issued(members),
        verified="claims",
        exchange=asks or exchange(),
        dialect=dialect or Dialect(),
        subject=subject(),
        now_wall=NOW,
    )


def test_an_opaque_token_is_known_by_what_the_reply_says() -> None:
    reply = reading()
    assert (reply.expires_in, reply.issued_exp) == (300, None)
    assert reply.token.scope == frozenset({"orders.read"})
    assert (reply.token.audience, reply.token.actors, reply.token.sub) == (None, None, None)
    assert "opaque-token" not in repr(reply)


def test_a_jwt_is_known_by_its_claims() -> None:
    token = reading(
        access_token=jwt(act={"sub": "agent", "act": {"iss": "https://o", "sub": "first"}}, scp=["a"], jti="7")
    )
    assert token.issued_exp == NOW + 60
    assert token.token.audience == frozenset({"orders-api"})
    assert token.token.scope == frozenset({"orders.read", "a"})  # what the reply says and what the token holds
    assert token.token.actors == (Actor("https://issuer.example", "agent"), Actor("https://o", "first"))
    assert token.token.token_id == "jti:7"


def test_a_missing_scope_is_the_one_asked_for() -> None:
    assert reading(scope=MISSING).token.scope == frozenset({"orders.read"})
    assert reading(exchange(scope=()), scope=MISSING).token.scope is None


@pytest.mark.parametrize(("value", "seconds"), [(300, 300), ("300", 300), (0, 0), (-5, -5), (MISSING, None)])
def test_expires_in_that_is_a_number_of_seconds(value: Any, seconds: float | None) -> None:
    assert reading(expires_in=value).expires_in == seconds


@pytest.mark.parametrize(
    ("asked", "issued", "dialect"),
    [
        (None, ACCESS_TOKEN, Dialect()),
        (None, JWT, Dialect()),
        (ACCESS_TOKEN, JWT, Dialect()),
        (JWT, JWT, Dialect()),
        (None, MISSING, LENIENT),
        (JWT, MISSING, LENIENT),
    ],
)
def test_issued_token_types_that_serve(asked: str | None, issued: Any, dialect: Dialect) -> None:
    token = reading(exchange(requested_token_type=asked), dialect, issued_token_type=issued).token
    assert token.token_type == (issued if issued is not MISSING else asked or ACCESS_TOKEN)


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
def test_token_types_that_serve(token_type: str) -> None:
    assert reading(token_type=token_type).token.token == "opaque-token"


HOSTILE_MEMBERS: dict[str, list[Any]] = {
    "access_token": [
        *(MISSING, "", None, 5, [], {}, "a b", "a\r\nX-Injected: 1", "a\0", "tök", "\ud800"),
        "x" * (16 * 1024 + 1),
        "subject-token",
    ],
    "token_type": [MISSING, "N_A", "DPoP", "", None, 1, ["Bearer"], "Bearer "],
    "issued_token_type": [
        *(MISSING, "", 1, []),
        *(TOKEN_TYPES[name] for name in ("id_token", "refresh_token", "saml2", "saml1")),
    ],
    "expires_in": [
        *(True, 1.5, float("inf"), [], {}, 10**11, -(10**11), 10**400),
        *("1.5", "", "abc", " 300", "-1", "٣", "9" * 11),
    ],
    "scope": [1, [], {}, True],
}
HOSTILE_CLAIMS: list[dict[str, Any]] = [
    {"exp": NOW},
    {"exp": NOW - 1},
    {"exp": "soon"},
    {"exp": True},
    {"exp": 10**400},
    {"nbf": NOW + 31},
    {"nbf": []},
    {"aud": 1},
    {"aud": [1]},
    {"aud": {}},
    {"act": "agent"},
    {"act": {}},
    {"act": {"sub": 1}},
    {"act": []},
    {"act": {"sub": "a", "iss": 1}},
    {"scope": 1},
    {"scp": [1]},
]
HOSTILE: list[dict[str, Any]] = [{name: value} for name, values in HOSTILE_MEMBERS.items() for value in values]
HOSTILE += [{"access_token": jwt(**claims)} for claims in HOSTILE_CLAIMS]


@pytest.mark.parametrize("changes", HOSTILE, ids=lambda changes: repr(changes)[:60])
@pytest.mark.threat("S5")
def test_hostile_replies_are_unusable(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as raised:
        reading(**changes)
    refusal = raised.value.refusal
    assert refusal.kind is Kind.EXCHANGE_UNUSABLE
    assert refusal.finding
    token = changes.get("access_token")
    assert not isinstance(token, str) or len(token) < 5 or token not in refusal.finding


def test_a_wrong_issued_token_type_is_refused_by_lenient_too() -> None:
    with pytest.raises(Refused):
        reading(dialect=LENIENT, issued_token_type=TOKEN_TYPES["id_token"])


def test_a_missing_issued_token_type_names_the_switch() -> None:
    with pytest.raises(Refused) as raised:
        reading(issued_token_type=MISSING)
    assert "dialect_overrides.issued_token_type: lenient" in raised.value.refusal.finding


def test_a_depth_bomb_of_actors_is_unusable() -> None:
    act: dict[str, Any] = {"sub": "a"}
    for _ in range(50):
        act = {"sub": "a", "act": act}
    with pytest.raises(Refused):
        reading(access_token=jwt(act=act))


def test_a_clock_that_is_a_little_behind_serves() -> None:
    token = jwt(nbf=NOW + 29)
    assert reading(access_token=token).token.token == token


def test_other_members_are_ignored() -> None:
    others: dict[str, Any] = {"refresh_token": "r", "session_state": "s", "id_token": None, "not-before-policy": 0}
    assert reading(**others) == reading()


ENTRA = Dialect(grant="entra-obo", qualified_scope=True, subject_claim="oid")


@pytest.mark.parametrize("grant", ["jwt-bearer", "entra-obo"])
def test_a_grant_that_names_no_types_needs_none_in_the_reply(grant: str) -> None:
    dialect = Dialect(grant=grant)
    assert reading(dialect=dialect, issued_token_type=MISSING).token.token_type == ACCESS_TOKEN
    with pytest.raises(Refused):
        reading(dialect=dialect, issued_token_type=TOKEN_TYPES["id_token"])


def test_qualified_scopes_are_known_by_their_names() -> None:
    asks = exchange(scope=("api://orders/Orders.Read",))
    told = reading(asks, ENTRA, scope="api://orders/Orders.Read https://x.example/Orders.List")
    assert told.token.scope == frozenset({"Orders.Read", "Orders.List"})
    assert reading(asks, ENTRA, scope=MISSING).token.scope == frozenset({"Orders.Read"})
    held = reading(asks, ENTRA, access_token=jwt(scp="Orders.Read x/y"), scope=MISSING)
    assert held.token.scope == frozenset({"Orders.Read", "y"})
    plain = reading(asks, scope="api://orders/Orders.Read")
    assert plain.token.scope == frozenset({"api://orders/Orders.Read"})


def test_a_person_is_known_by_the_dialects_claim() -> None:
    assert reading(dialect=ENTRA, access_token=jwt(oid="o-1")).token.sub == "o-1"
    assert reading(dialect=ENTRA, access_token=jwt()).token.sub is None
    assert reading(access_token=jwt(oid="o-1")).token.sub == "alice"


def test_what_was_granted_of_the_details_is_kept() -> None:
    asks = exchange(authorization_details=('{"type":"a","actions":["r","w"]}',))
    granted = [{"type": "a", "actions": ["r"]}]
    for reply in (
        reading(asks, authorization_details=granted),
        reading(asks, access_token=jwt(authorization_details=granted)),
    ):
        assert reply.token.authorization_details == ('{"actions":["r"],"type":"a"}',)
    for wider in ([{"type": "a", "actions": ["r", "x"]}], MISSING):
        with pytest.raises(Refused) as caught:
            reading(asks, authorization_details=wider)
        assert "authorization_details" in caught.value.refusal.finding
    assert reading(authorization_details=granted).token.authorization_details == ()


@pytest.mark.parametrize("claims", [{"nonce": "n"}, {"at_hash": "h"}, {"typ": "ID"}, {"typ": "Offline"}])
def test_an_id_token_is_no_access_token_but_may_be_asked_for(claims: dict[str, Any]) -> None:
    token = jwt(**claims)
    with pytest.raises(Refused) as raised:
        reading(access_token=token)
    assert "no access token" in raised.value.refusal.finding
    asks = exchange(requested_token_type=TOKEN_TYPES["id_token"])
    assert reading(asks, access_token=token, issued_token_type=TOKEN_TYPES["id_token"]).token.token == token
