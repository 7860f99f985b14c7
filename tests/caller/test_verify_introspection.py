"""Tokens that an issuer vouches for: opaque ones, and JWTs that it may have withdrawn."""

from typing import Any

import pytest

from sidecar.caller.profiles import Profile
from sidecar.caller.take import Credential
from sidecar.caller.verify import TrustedIssuer, Verifier
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.tokens import TOKEN_TYPES, Actor, Subject
from sidecar.oauth.introspection import IntrospectionUnavailable
from sidecar.oauth.jwt import MAX_TOKEN_BYTES
from tests.caller.test_verify import ISSUER, KEY, OTHER, Door, Keys, trusted
from tests.support.clock import FakeClock
from tests.support.vouching import Vouching

TOKEN = "an-opaque-token"
ALLOWED = frozenset({"corp", "opaque", "other"})


class Counter:
    """A verifier with an opaque issuer, and what that one says."""

    def __init__(self, *others: TrustedIssuer, **changes: Any) -> None:
        self.time = FakeClock()
        self.vouching = Vouching(self.claims())
        settings: dict[str, Any] = {"profile": Profile.OPAQUE, "introspection": self.vouching, **changes}
        self.issuer = trusted(None, "opaque", **settings)
        self.verifier = Verifier([*others, self.issuer], self.time.clock)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What is said of a good token; a claim that is None is left out."""
        good = {
            "active": True,
            "sub": "alice",
            "aud": "gateway",
            "exp": self.time.wall + 300,
            "client_id": "app",
            "scope": "read write",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    async def verify(self, token: str = TOKEN) -> Subject:
        return await self.verifier.verify(Credential(token), ALLOWED)

    async def refusal(self, token: str = TOKEN) -> Refusal:
        with pytest.raises(Refused) as caught:
            await self.verify(token)
        assert token not in repr(caught.value.refusal)
        return caught.value.refusal


async def test_what_is_said_of_an_opaque_token_is_the_subject() -> None:
    it = Counter()
    it.vouching.says = it.claims(iss=ISSUER, act={"sub": "agent"}, acr="mfa", jti="t-1")
    subject = await it.verify()
    assert (subject.issuer, subject.iss, subject.sub) == ("opaque", ISSUER, "alice")
    assert (subject.expires_at, subject.client_id, subject.acr) == (it.time.wall + 300, "app", "mfa")
    assert subject.scope == frozenset({"read", "write"})
    assert subject.actors == (Actor(ISSUER, "agent"),)
    assert (subject.token, subject.token_id) == (TOKEN, "jti:t-1")


#: What is said of a token, and why it is then none.
NOT_GOOD: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://other.example"}, "another one"),
    "an issuer that is no text": ({"iss": [ISSUER]}, "another one"),
    "expired": ({"exp": 1}, "expired"),
    "no exp": ({"exp": None}, "expired"),
    "not yet": ({"nbf": 4_000_000_000}, "not valid yet"),
    "nbf as text": ({"nbf": "1"}, "nbf"),
    "another audience": ({"aud": "somebody"}, "not meant"),
    "no audience": ({"aud": None}, "not meant"),
    "an audience that is none": ({"aud": {"gateway": 1}}, "aud"),
    "no subject": ({"sub": None}, "no sub"),
    "a subject that is a number": ({"sub": 7}, "no sub"),
    "a subject that is a list": ({"sub": ["alice"]}, "no sub"),
    "a subject that is empty": ({"sub": ""}, "no sub"),
    "an actor that is none": ({"act": "agent"}, "act"),
    "bound": ({"cnf": {"jkt": "x"}}, "bound"),
    "bound, and says so by its type": ({"token_type": "DPoP"}, "token_type"),
    "a refresh token": ({"typ": "Refresh"}, "no access token"),
    "scope that is none": ({"scope": {"read": 1}}, "scope"),
}


@pytest.mark.parametrize("name", NOT_GOOD)
async def test_it_is_judged_like_the_claims_of_a_jwt(name: str) -> None:
    it = Counter()
    changes, finding = NOT_GOOD[name]
    it.vouching.says = it.claims(**changes)
    refusal = await it.refusal()
    assert (refusal.kind, refusal.reason) == (Kind.INVALID_TOKEN, "The token is not valid here.")
    assert finding in refusal.finding


async def test_a_token_that_is_not_active() -> None:
    it = Counter()
    it.vouching.says = None
    refusal = await it.refusal()
    assert (refusal.kind, refusal.finding) == (Kind.INVALID_TOKEN, "the issuer says that the token is not active")


async def test_an_issuer_that_can_not_be_asked() -> None:
    it = Counter()
    it.vouching.says = IntrospectionUnavailable(3.0, "introspection: no connection")
    refusal = await it.refusal()
    assert (refusal.kind, refusal.retry_after) == (Kind.ISSUER_UNAVAILABLE, 3.0)
    assert refusal.finding == "introspection: no connection"


async def test_nobody_is_asked_about_a_token_without_end() -> None:
    it = Counter()
    assert "16 KiB" in (await it.refusal("x" * (MAX_TOKEN_BYTES + 1))).finding
    assert it.vouching.asked == []
    await it.verify("x" * MAX_TOKEN_BYTES)


async def test_each_use_asks_what_is_remembered_there() -> None:
    it = Counter()
    await it.verify()
    it.vouching.says = None
    assert (await it.refusal()).kind is Kind.INVALID_TOKEN


async def test_an_assertion_goes_by_its_own_type() -> None:
    it = Counter(token_type=TOKEN_TYPES["saml2"])
    it.vouching.says = it.claims(token_type="N_A")
    assert (await it.verify()).token_type == TOKEN_TYPES["saml2"]


# --- several issuers at once


async def test_a_token_goes_to_its_issuer_and_to_no_other() -> None:
    """What names another issuer is not shown to the one that introspects."""
    door = Door()
    it = Counter(*door.issuers, iss="https://opaque.example")
    it.time.wall = door.time.wall
    assert (await it.verify(door.token())).issuer == "corp"
    assert it.vouching.asked == []
    for token in (door.token(iss="https://stranger.example"), door.token(iss=7), door.token(iss=["x"])):
        assert (await it.refusal(token)).finding == "iss is no trusted issuer of the route"
    assert it.vouching.asked == []
    assert (await it.verify(TOKEN)).issuer == "opaque"
    nameless = door.token(iss=None)
    assert (await it.verify(nameless)).issuer == "opaque"
    named = door.token(iss="https://opaque.example")
    assert (await it.verify(named)).issuer == "opaque"
    assert it.vouching.asked == [TOKEN, nameless, named]


async def test_a_route_that_takes_no_opaque_tokens() -> None:
    door = Door()
    it = Counter(*door.issuers)
    with pytest.raises(Refused) as caught:
        await it.verifier.verify(Credential(TOKEN), frozenset({"corp"}))
    assert caught.value.refusal.finding == "not a compact JWS"
    assert it.vouching.asked == []


# --- JWTs that are introspected too


class Both(Door):
    """JWTs whose issuer is asked as well."""

    def __init__(self) -> None:
        self.vouching = Vouching({"active": True})
        super().__init__(introspection=self.vouching)


async def test_a_signature_comes_first() -> None:
    door = Both()
    forged = door.token(key=OTHER)
    assert (await door.refusal(forged)).kind is Kind.INVALID_TOKEN
    assert door.vouching.asked == []
    await door.verify(door.token())
    assert len(door.vouching.asked) == 1


async def test_a_withdrawn_jwt_is_refused_though_it_was_verified() -> None:
    door = Both()
    token = door.token()
    await door.verify(token)
    door.vouching.says = None
    assert "not active" in (await door.refusal(token)).finding
    assert door.keys.checked == 1
    door.vouching.says = IntrospectionUnavailable(1.0, "introspection: no connection")
    assert (await door.refusal(token)).kind is Kind.ISSUER_UNAVAILABLE


@pytest.mark.parametrize(
    ("says", "finding"),
    [
        ({"sub": "bob"}, "another token"),
        ({"iss": "https://other.example"}, "another token"),
        ({"cnf": {}}, "bound"),
        ({"exp": 1}, "expired"),
    ],
)
async def test_what_is_said_must_be_about_this_token(says: dict[str, Any], finding: str) -> None:
    door = Both()
    door.vouching.says = {"active": True, **says}
    assert finding in (await door.refusal(door.token())).finding


async def test_it_may_end_a_tokens_life_and_never_prolong_it() -> None:
    door = Both()
    now = door.time.wall
    door.vouching.says = {"active": True, "sub": "alice", "iss": ISSUER, "exp": now + 60, "scope": "everything"}
    subject = await door.verify(door.token())
    assert (subject.expires_at, subject.scope) == (now + 60, frozenset({"read", "write"}))
    door.vouching.says = {"active": True, "exp": now + 6000}
    assert (await door.verify(door.token())).expires_at == now + 300


async def test_two_issuers_of_one_name_are_both_tried() -> None:
    """One server, whose ID tokens and access tokens are both taken."""
    time = FakeClock()
    door = Door()
    ids = trusted(Keys(time, KEY), "opaque", profile=Profile.ID_TOKEN, token_type=TOKEN_TYPES["id_token"])
    verifier = Verifier([ids, *door.issuers], door.time.clock)
    access, identity = door.token(), door.token(scope=None, nonce="n", client_id=None)
    assert (await verifier.verify(Credential(access), ALLOWED)).issuer == "corp"
    subject = await verifier.verify(Credential(identity), ALLOWED)
    assert (subject.issuer, subject.token_type) == ("opaque", TOKEN_TYPES["id_token"])
