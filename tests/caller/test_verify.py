"""Every check of a caller's token, each by a token that fails it alone; and what is remembered of one that passed."""

import asyncio
import base64
import hmac
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import Key, RSAKey

from sidecar.caller.profiles import Profile
from sidecar.caller.take import Credential
from sidecar.caller.verify import TrustedIssuer, Verifier
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.tokens import ACCESS_TOKEN, JWT, Actor, Subject
from sidecar.oauth.jwks import KeySource, KeysUnavailable
from sidecar.oauth.jwt import SignedToken, generate_key, jwk_set, sign
from tests.support.clock import FakeClock

ISSUER = "https://login.example"
KEY = generate_key("ES256", "one")
OTHER = generate_key("ES256", "two")
RSA = generate_key("RS256", "rsa")


class Shelf:
    """A key set as a test wants it; None: nobody there."""

    max_age = 300.0

    def __init__(self, document: Any) -> None:
        self.document = document

    async def read(self) -> Any:
        if self.document is None:
            raise KeysUnavailable("keys: nobody there")
        return self.document


class Keys(KeySource):
    """Counts how often a signature was checked."""

    def __init__(self, time: FakeClock, *keys: Key) -> None:
        self.shelf = Shelf(jwk_set(keys) if keys else None)
        super().__init__(self.shelf, keys_stale=3600, clock=time.clock)
        self.checked = 0

    async def verify(self, token: str, algorithms: Sequence[str]) -> SignedToken:
        self.checked += 1
        return await super().verify(token, algorithms)


def trusted(keys: KeySource | None, name: str = "corp", **changes: Any) -> TrustedIssuer:
    settings: dict[str, Any] = {
        "name": name,
        "iss": ISSUER,
        "audience": frozenset({"gateway"}),
        "profile": Profile.JWT,
        "token_type": ACCESS_TOKEN,
        "algorithms": ("ES256", "RS256"),
        "scope_claims": ("scope", "scp"),
        "audience_claim": "aud",
        "leeway": 30.0,
        "keys": keys,
    }
    return TrustedIssuer(**{**settings, **changes})


class Door:
    """A verifier with its clock, keys and issuers."""

    def __init__(self, **changes: Any) -> None:
        self.time = FakeClock()
        self.keys = Keys(self.time, KEY)
        self.issuers = [trusted(self.keys, **changes)]
        self.verifier = Verifier(self.issuers, self.time.clock)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good token; one that is None is left out."""
        good = {
            "iss": ISSUER,
            "sub": "alice",
            "aud": "gateway",
            "exp": self.time.wall + 300,
            "iat": self.time.wall,
            "client_id": "app",
            "jti": "j-1",
            "scope": "read write",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, *, key: Key = KEY, algorithm: str = "ES256", typ: object = None, **changes: Any) -> str:
        header = {"kid": key.get("kid"), **({"typ": typ} if typ is not None else {})}
        return sign(self.claims(**changes), key, algorithm, header)

    async def verify(self, token: str, *allowed: str) -> Subject:
        return await self.verifier.verify(Credential(token), frozenset(allowed or ("corp",)))

    async def refusal(self, token: str, *allowed: str) -> Refusal:
        with pytest.raises(Refused) as caught:
            await self.verify(token, *allowed)
        refusal = caught.value.refusal
        if refusal.kind is Kind.INVALID_TOKEN:  # one sentence for all of them: no oracle
            assert refusal.reason == "The token is not valid here."
            assert refusal.finding
            assert not any(len(part) > 10 and part in repr(refusal) for part in token.split("."))
        return refusal

    async def invalid(self, token: str, why: str, *allowed: str) -> None:
        refusal = await self.refusal(token, *allowed)
        assert refusal.kind is Kind.INVALID_TOKEN
        assert why in refusal.finding


@pytest.fixture
async def door() -> Door:
    return Door()


# --- a good token


async def test_everything_a_subject_tells(door: Door) -> None:
    act = {"sub": "agent-7", "act": {"sub": "agent-8", "iss": "https://other"}}
    token = door.token(acr="mfa", act=act, extra={"a": 1}, auth_time=1_699_999_000)
    found = await door.verify(token)
    assert found == Subject(
        issuer="corp",
        iss=ISSUER,
        sub="alice",
        token_type=ACCESS_TOKEN,
        token_id="jti:j-1",
        expires_at=door.time.wall + 300,
        scope=frozenset({"read", "write"}),
        client_id="app",
        acr="mfa",
        actors=(Actor(ISSUER, "agent-7"), Actor("https://other", "agent-8")),
        digest=sha256(token.encode()).digest(),
        token=token,
        claims=door.claims(acr="mfa", act=act, extra={"a": 1}, auth_time=1_699_999_000),
        auth_time=1_699_999_000.0,
        leeway=30.0,
    )
    assert token not in repr(found)


async def test_a_token_of_bare_necessities() -> None:
    door = Door(token_type=JWT)
    found = await door.verify(door.token(iat=None, client_id=None, jti=None, scope=None))
    assert (found.client_id, found.acr, found.actors, found.scope) == (None, None, (), frozenset())
    assert found.token_id.startswith("sha256:")
    assert found.token_type == JWT


# --- issuer and audience


@pytest.mark.parametrize(
    "iss", [None, "", "https://login.example/", "HTTPS://login.example", 7, ["https://login.example"]]
)
async def test_another_issuer(door: Door, iss: object) -> None:
    await door.invalid(door.token(iss=iss), "iss is no trusted issuer of the route")
    assert door.keys.checked == 0


async def test_an_issuer_that_the_route_does_not_trust(door: Door) -> None:
    await door.verify(door.token())
    await door.invalid(door.token(), "iss is no trusted issuer of the route", "partner")


@pytest.mark.parametrize("aud", ["gateway", ["gateway"], ["other", "gateway"], ["gateway", "gateway"]])
async def test_the_audience_is_one_of_ours(door: Door, aud: object) -> None:
    assert (await door.verify(door.token(aud=aud))).sub == "alice"


@pytest.mark.parametrize("aud", [None, "", "other", "gateway2", "gateway other", [], ["other"], ["Gateway"]])
async def test_a_token_for_somebody_else(door: Door, aud: object) -> None:
    await door.invalid(door.token(aud=aud), "not meant for this gateway")
    assert door.keys.checked == 0


@pytest.mark.parametrize("aud", [7, {"gateway": 1}, ["gateway", 7], [["gateway"]], True])
async def test_an_audience_that_is_none(door: Door, aud: object) -> None:
    await door.invalid(door.token(aud=aud), "aud is malformed")


async def test_the_audience_may_stand_in_another_claim() -> None:
    door = Door(audience_claim="azp", audience=frozenset({"app-1", "app-2"}))
    assert (await door.verify(door.token(azp="app-2"))).sub == "alice"
    await door.invalid(door.token(aud="app-1"), "not meant for this gateway")


# --- time


@pytest.mark.parametrize(("ago", "good"), [(-300, True), (0, True), (29, True), (30, True), (31, False), (3600, False)])
async def test_the_end_is_the_leeway_after_exp(door: Door, ago: float, good: bool) -> None:
    token = door.token(exp=door.time.wall - ago)
    if good:
        assert (await door.verify(token)).expires_at == door.time.wall - ago  # the leeway extends nothing else
    else:
        await door.invalid(token, "expired")


@pytest.mark.parametrize(("ahead", "good"), [(-10, True), (0, True), (30, True), (31, False), (10**9, False)])
async def test_the_beginning_is_the_leeway_before_nbf(door: Door, ahead: float, good: bool) -> None:
    token = door.token(nbf=door.time.wall + ahead)
    if good:
        assert (await door.verify(token)).sub == "alice"
    else:
        await door.invalid(token, "not valid yet")


async def test_the_leeway_is_the_issuers() -> None:
    door = Door(leeway=0.0)
    await door.invalid(door.token(exp=door.time.wall - 0.1), "expired")
    await door.invalid(door.token(nbf=door.time.wall + 0.1), "not valid yet")


@pytest.mark.parametrize("name", ["exp", "nbf"])
@pytest.mark.parametrize("value", ["1900000000", True, False, [], {}, 10**400, -(10**400), 10**10 + 1, 1e300])
async def test_a_time_that_is_none(door: Door, name: str, value: object) -> None:
    claim: dict[str, Any] = {name: value}
    await door.invalid(door.token(**claim), f"{name} is no time")


async def test_a_token_without_an_end(door: Door) -> None:
    await door.invalid(door.token(exp=None), "no exp")


async def test_a_fraction_is_a_time(door: Door) -> None:
    assert (await door.verify(door.token(exp=door.time.wall + 0.5))).expires_at == door.time.wall + 0.5


# --- which kind of token


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt", "Application/AT+jwt"]
)
async def test_types_of_access_tokens(door: Door, typ: object) -> None:
    assert (await door.verify(door.token(typ=typ))).sub == "alice"


@pytest.mark.parametrize(
    "typ",
    [
        "id_token+jwt",
        "logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "rt+jwt",
        "internal-at+jwt",
        "JWE",
        "x",
        " ",
    ],
)
async def test_types_of_other_tokens(door: Door, typ: str) -> None:
    await door.invalid(door.token(typ=typ), "typ says that this is no access token")


@pytest.mark.parametrize("typ", [7, ["at+jwt"], {"at+jwt": 1}, True])
async def test_a_type_that_is_none(door: Door, typ: object) -> None:
    await door.invalid(forge(door.claims(), {"alg": "ES256", "typ": typ}, b"x"), "typ is not text")


@pytest.mark.parametrize(
    "mark",
    [
        {"at_hash": "x"},
        {"c_hash": "x"},
        {"nonce": "x"},
        *({"typ": typ} for typ in ("ID", "Refresh", "Offline", "Logout")),
    ],
)
@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt"])
async def test_what_no_access_token_holds(door: Door, mark: dict[str, str], typ: str | None) -> None:
    claims = {**door.claims(), **mark}
    header = {"kid": "one", **({"typ": typ} if typ else {})}
    await door.invalid(sign(claims, KEY, "ES256", header), "the claims say that this is no access token")


async def test_keycloaks_own_mark_of_an_access_token(door: Door) -> None:
    claims = {**door.claims(), "typ": "Bearer"}
    assert (await door.verify(sign(claims, KEY, "ES256", {"kid": "one", "typ": "JWT"}))).sub == "alice"


class TestStrict:
    """``token_profile: at+jwt``, RFC 9068."""

    @pytest.fixture
    async def strict(self) -> Door:
        return Door(profile=Profile.AT_JWT)

    @pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
    async def test_its_type(self, strict: Door, typ: str) -> None:
        assert (await strict.verify(strict.token(typ=typ))).sub == "alice"

    @pytest.mark.parametrize("typ", [None, "JWT", "application/jwt", "xat+jwt", "at+jwt2", "logout+jwt", " at+jwt"])
    async def test_another_type(self, strict: Door, typ: str | None) -> None:
        await strict.invalid(strict.token(typ=typ), "typ is not at+jwt; token_profile: jwt would allow it")

    @pytest.mark.parametrize("name", ["exp", "aud", "sub", "client_id", "iat", "jti"])
    async def test_a_claim_that_it_requires(self, strict: Door, name: str) -> None:
        without: dict[str, Any] = {name: None}
        await strict.invalid(strict.token(typ="at+jwt", **without), f"RFC 9068 requires {name}")


# --- whose token


@pytest.mark.parametrize("sub", [None, "", 7, ["alice"], {"sub": "alice"}, True])
async def test_a_token_of_nobody(door: Door, sub: object) -> None:
    await door.invalid(door.token(sub=sub), "the token has no sub")


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, "x", False])
async def test_a_token_bound_to_a_key(door: Door, cnf: object) -> None:
    await door.invalid(door.token(cnf=cnf), "bound to a key")


async def test_a_binding_to_nothing_is_a_binding(door: Door) -> None:
    await door.invalid(sign({**door.claims(), "cnf": None}, KEY, "ES256", {"kid": "one"}), "bound to a key")


@pytest.mark.parametrize(
    "act", ["agent", 7, [], {}, {"sub": ""}, {"sub": 7}, {"sub": "a", "iss": 7}, {"sub": "a", "act": "b"}]
)
async def test_an_actor_that_is_none(door: Door, act: object) -> None:
    await door.invalid(door.token(act=act), "act is malformed")


async def test_an_endless_chain_of_actors(door: Door) -> None:
    chain: dict[str, Any] = {"sub": "last"}
    for number in range(31):
        chain = {"sub": str(number), "act": chain}
    assert len((await door.verify(door.token(act=chain))).actors) == 32
    await door.invalid(door.token(act={"sub": "first", "act": chain}), "act is malformed")


@pytest.mark.parametrize(
    ("claims", "scope"),
    [
        ({"scope": "read"}, {"read"}),
        ({"scope": "read  write read"}, {"read", "write"}),
        ({"scope": ["read", "write"]}, {"read", "write"}),
        ({"scope": None, "scp": ["read"]}, {"read"}),
        ({"scope": None, "scp": "read write"}, {"read", "write"}),
        ({"scope": "read", "scp": "admin"}, {"read"}),
        ({"scope": "", "scp": "admin"}, set()),
        ({"scope": None, "roles": ["admin"]}, set()),
    ],
)
async def test_the_first_scope_claim_that_is_there_counts(door: Door, claims: dict[str, Any], scope: set[str]) -> None:
    assert (await door.verify(door.token(**claims))).scope == frozenset(scope)


@pytest.mark.parametrize("scope", [7, {"read": 1}, ["read", 7], True])
async def test_a_scope_that_is_none(door: Door, scope: object) -> None:
    await door.invalid(door.token(scope=scope), "scope is malformed")


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"client_id": "a", "azp": "b"}, "a"),
        ({"client_id": None, "azp": "b"}, "b"),
        ({"client_id": None}, None),
        ({"client_id": 7, "azp": "b"}, None),
    ],
)
async def test_the_client(door: Door, claims: dict[str, Any], client: str | None) -> None:
    assert (await door.verify(door.token(**claims))).client_id == client


# --- signatures


def segment(content: object) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def forge(claims: object, header: object, signature: bytes = b"") -> str:
    """Any three segments."""
    return f"{segment(header)}.{segment(claims)}.{segment(signature) if signature else ''}"


def raw(payload: str, key: Key = KEY) -> str:
    """A rightly signed token over any text."""
    return jws.serialize_compact({"alg": "ES256", "kid": key.get("kid")}, payload, key, algorithms=["ES256"])


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS256", "ES512", "ES256 ", "RS256"])
@pytest.mark.threat("S54")
async def test_an_algorithm_that_the_issuer_does_not_use(door: Door, alg: str) -> None:
    for signature in (b"", b"x" * 64):
        assert (
            await door.refusal(forge(door.claims(), {"alg": alg, "kid": "one"}, signature))
        ).kind is Kind.INVALID_TOKEN


async def test_a_public_key_is_no_shared_secret(door: Door) -> None:
    door.keys.shelf.document = jwk_set([RSA])
    head = f"{segment({'alg': 'HS256', 'kid': 'rsa'})}.{segment(door.claims())}"
    assert isinstance(RSA, RSAKey)
    for secret in (RSA.as_pem(private=False), json.dumps(RSA.as_dict(private=False)).encode(), b""):
        signature = hmac.digest(secret, head.encode(), "sha256")
        await door.invalid(f"{head}.{segment(signature)}", "algorithm is not allowed")


@pytest.mark.threat("S26", "S56")
async def test_a_key_that_the_token_brings_along(door: Door) -> None:
    header = {"alg": "ES256", "jwk": OTHER.as_dict(private=False), "jku": "https://evil", "x5u": "https://evil"}
    for kid in ("one", "two", "../../etc/passwd", "' OR 1=1", "https://evil/keys"):
        forged = jws.serialize_compact({**header, "kid": kid}, json.dumps(door.claims()), OTHER, algorithms=["ES256"])
        assert (await door.refusal(forged)).kind is Kind.INVALID_TOKEN


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["b64"], "b64": False},
        {"crit": ["x"], "x": 1},
        {"crit": []},
        {"b64": False},
        {"kid": 7},
        {"kid": ["one"]},
        {"alg": 7},
        {"alg": None},
    ],
)
async def test_a_header_that_nobody_here_understands(door: Door, header: dict[str, object]) -> None:
    await door.invalid(forge(door.claims(), {"alg": "ES256", **header}, b"x" * 64), "")
    assert door.keys.checked == 0


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "..", "a.b.c.d.e", "....", "eyJ.eyJ.x", "a" * 20_000])
@pytest.mark.threat("S57")
async def test_what_is_no_signed_token(door: Door, token: str) -> None:
    refusal = await door.refusal(token)
    assert refusal.kind is Kind.INVALID_TOKEN
    assert door.keys.checked == 0


@pytest.mark.parametrize(
    "payload",
    [
        '{"sub": "alice", "sub": "bob"}',
        '{"iss": "https://login.example", "exp": NaN}',
        '{"iss": "https://login.example", "exp": Infinity}',
        '{"iss": "https://login.example", "exp": 1e400}',
        '{"iss": "https://login.example", "exp": ' + "9" * 5000 + "}",
        '{"sub": "\\ud800"}',
        '["https://login.example"]',
        '"https://login.example"',
        "null",
        "",
        "[" * 5000,
    ],
    ids=["twice", "NaN", "Infinity", "1e400", "5000 digits", "surrogate", "list", "text", "null", "empty", "deep"],
)
async def test_claims_that_are_no_claims(door: Door, payload: str) -> None:
    await door.invalid(raw(payload), "not a")
    assert door.keys.checked == 0


async def test_large_numbers_elsewhere_are_just_numbers(door: Door) -> None:
    found = await door.verify(door.token(quota=10**400, iat=10**400, auth_time=10**400))
    assert found.claims["quota"] == 10**400


async def test_another_key(door: Door) -> None:
    header = {"kid": "one"}
    await door.invalid(sign(door.claims(), OTHER, "ES256", header), "signature does not verify")
    await door.invalid(door.token(key=OTHER), "no key fits")


async def test_claims_that_were_changed_after_signing(door: Door) -> None:
    head, _, signature = door.token().split(".")
    await door.invalid(f"{head}.{segment(door.claims(sub='root'))}.{signature}", "signature does not verify")


# --- what is remembered


async def test_a_signature_is_checked_once(door: Door) -> None:
    token = door.token()
    first = await door.verify(token)
    for _ in range(10):
        assert await door.verify(token) is first
    assert door.keys.checked == 1
    await door.verify(door.token(jti="j-2"))
    assert door.keys.checked == 2


async def test_a_failure_is_not_remembered(door: Door) -> None:
    door.keys.shelf.document = None
    token = door.token()
    assert (await door.refusal(token)).kind is Kind.ISSUER_UNAVAILABLE
    door.keys.shelf.document = jwk_set([KEY])
    door.time.advance(30)
    assert (await door.verify(token)).sub == "alice"


async def test_a_remembered_token_expires_all_the_same(door: Door) -> None:
    token = door.token()
    await door.verify(token)
    door.time.wall += 330
    assert (await door.verify(token)).sub == "alice"  # the leeway
    door.time.wall += 1
    for _ in range(2):
        await door.invalid(token, "expired")


async def test_what_is_remembered_is_remembered_for_the_routes_that_trust_the_issuer(door: Door) -> None:
    token = door.token()
    await door.verify(token, "corp")
    await door.invalid(token, "iss is no trusted issuer of the route", "partner")
    assert (await door.verify(token, "corp", "partner")).issuer == "corp"


@pytest.mark.threat("S14")
async def test_a_forged_token_never_meets_the_memory(door: Door) -> None:
    """One with the victim's claims and id, but another signature or none, is another token."""
    token = door.token()
    await door.verify(token)
    head, payload, signature = token.split(".")
    forgeries = [
        f"{head}.{payload}.",
        f"{head}.{payload}.{segment(bytes(64))}",
        f"{head}.{payload}.{signature}=",
        f"{head}.{payload}.{signature[:-2]}",
        f"{segment({'alg': 'none', 'kid': 'one'})}.{payload}.",
        f"{segment({'alg': 'none', 'kid': 'one'})}.{payload}.{signature}",
    ]
    for forged in forgeries:
        assert (await door.refusal(forged)).kind is Kind.INVALID_TOKEN


async def test_a_key_that_is_gone_is_dead_as_soon_as_the_set_was_read(door: Door) -> None:
    token = door.token()
    await door.verify(token)
    door.keys.shelf.document = jwk_set([OTHER])
    door.time.monotonic += 331  # the set is due; nobody verifies anything new
    await door.verify(token)  # which starts the look
    await settled()
    await door.invalid(token, "no key fits")
    assert (await door.verify(door.token(key=OTHER))).sub == "alice"


async def test_a_key_that_is_gone_since_long_lets_nobody_in_even_once(door: Door) -> None:
    """Remembered or not: nobody asked for a while, so the keys are looked at before the token is used."""
    token = door.token()
    await door.verify(token)
    door.keys.shelf.document = jwk_set([OTHER])
    door.time.monotonic += 601
    await door.invalid(token, "no key fits")


async def test_a_remembered_token_outlives_a_silence(door: Door) -> None:
    token = door.token()
    first = await door.verify(token)
    for silence in range(1, 4):
        door.time.monotonic += 601
        assert await door.verify(token) == first
        assert await door.verify(token) == first
        assert door.keys.checked == 1 + silence  # by the keys as they are now, and then remembered again


async def test_other_keys_beside_it_do_not_make_it_invalid(door: Door) -> None:
    token = door.token()
    await door.verify(token)
    door.keys.shelf.document = jwk_set([KEY, OTHER])
    door.time.monotonic += 331
    await door.verify(token)
    await settled()
    assert (await door.verify(token)).sub == "alice"
    assert door.keys.checked == 2  # by the new set, and then remembered again
    await door.verify(token)
    assert door.keys.checked == 2


async def test_keys_that_are_too_old_verify_nothing_more(door: Door) -> None:
    token = door.token(exp=door.time.wall + 10**6)
    await door.verify(token)
    door.keys.shelf.document = None
    door.time.monotonic += 3601
    assert (await door.refusal(token)).kind is Kind.ISSUER_UNAVAILABLE


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.caller.verify.REMEMBERED", 2)
    door = Door()
    tokens = [door.token(jti=str(number)) for number in range(3)]
    for token in [*tokens, tokens[2], tokens[1], tokens[0]]:
        await door.verify(token)
    assert door.keys.checked == 4  # the first had to make room for the third


async def settled() -> None:
    """Let a look in the background come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- no keys, and several issuers


async def test_an_issuer_that_can_not_be_asked(door: Door) -> None:
    door.keys.shelf.document = None
    refusal = await door.refusal(door.token())
    assert (refusal.kind, refusal.retry_after) == (Kind.ISSUER_UNAVAILABLE, 1)
    assert refusal.reason == "The token can't be checked at the moment."


async def test_a_token_that_is_wrong_anyway_needs_no_keys(door: Door) -> None:
    door.keys.shelf.document = None
    await door.invalid(door.token(exp=door.time.wall - 100), "expired")


class TestSeveral:
    """Two issuers, and two entries for one of them."""

    @pytest.fixture
    async def several(self) -> Door:
        door = Door()
        self.partner_keys = Keys(door.time, OTHER)
        door.issuers.append(trusted(self.partner_keys, "partner", iss="https://partner.example"))
        door.issuers.append(trusted(door.keys, "internal", audience=frozenset({"inside"})))
        return door

    async def test_each_token_is_its_own_issuers(self, several: Door) -> None:
        names = ("corp", "partner", "internal")
        assert (await several.verify(several.token(), *names)).issuer == "corp"
        theirs = several.token(key=OTHER, iss="https://partner.example")
        assert (await several.verify(theirs, *names)).issuer == "partner"
        assert (await several.verify(several.token(aud="inside"), *names)).issuer == "internal"

    async def test_a_key_belongs_to_its_issuer(self, several: Door) -> None:
        """A partner that signs tokens in our name gets nowhere, and we in its."""
        await several.invalid(several.token(key=OTHER), "no key fits", "corp", "partner")
        await several.invalid(several.token(iss="https://partner.example"), "no key fits", "corp", "partner")

    async def test_an_issuer_that_is_down_keeps_nobody_elses_tokens_out(self, several: Door) -> None:
        several.keys.shelf.document = None
        theirs = several.token(key=OTHER, iss="https://partner.example")
        assert (await several.verify(theirs, "corp", "partner")).issuer == "partner"
        assert (await several.refusal(several.token(), "corp", "partner")).kind is Kind.ISSUER_UNAVAILABLE

    async def test_one_that_can_not_be_asked_outweighs_one_that_says_no(self, several: Door) -> None:
        several.keys.shelf.document = None
        for names in (("corp", "internal"), ("internal", "corp")):
            assert (await several.refusal(several.token(), *names)).kind is Kind.ISSUER_UNAVAILABLE

    async def test_which_entry_says_no_is_told_to_operators_only(self, several: Door) -> None:
        await several.invalid(several.token(aud="elsewhere"), "not meant for this gateway", "corp", "internal")


async def test_what_was_verified_is_forgotten_by_subject() -> None:
    door = Door()
    alice, bob = (door.token(sub=sub) for sub in ("alice", "bob"))
    for _ in range(2):
        await door.verify(alice)
        await door.verify(bob)
    assert door.keys.checked == 2
    assert door.verifier.forget(lambda iss, sub: (iss, sub) == (ISSUER, "alice")) == 1
    for _ in range(2):
        await door.verify(alice)
        await door.verify(bob)
    assert door.keys.checked == 3
    assert door.verifier.forget(lambda *_: True) == 2
