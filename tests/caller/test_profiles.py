"""Each kind of token is taken under its own profile, and under no other."""

from typing import Any

import pytest

from sidecar.caller.profiles import Profile, flaw
from sidecar.model.tokens import ACCESS_TOKEN, TOKEN_TYPES

AUDIENCE = frozenset({"gateway", "gateway-2"})
COMMON: dict[str, Any] = {"iss": "https://login.example", "sub": "alice", "aud": "gateway", "exp": 2, "iat": 1}
AT_JWT = {**COMMON, "client_id": "app", "jti": "j", "scope": "read"}

#: What one server issues, or says: the header's ``typ`` and the claims.
TOKENS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "RFC 9068": ("at+jwt", AT_JWT),
    "a plain access token": ("JWT", AT_JWT),
    "an ID token": ("JWT", {**COMMON, "nonce": "n", "azp": "gateway"}),
    "a Keycloak ID token": ("JWT", {**COMMON, "typ": "ID", "azp": "gateway", "at_hash": "x"}),
    "a Keycloak refresh token": ("JWT", {**COMMON, "typ": "Refresh", "scope": "read"}),
    "a Keycloak offline token": ("JWT", {**COMMON, "typ": "Offline", "scope": "read"}),
    "a logout token": ("logout+jwt", {**COMMON, "events": {}}),
    "a logout token without typ": ("JWT", {**COMMON, "typ": "Logout", "events": {}}),
    "a Cognito access token": (None, {**COMMON, "token_use": "access", "scope": "read"}),
    "a Cognito ID token": (None, {**COMMON, "token_use": "id"}),
    "an assertion": ("client-authentication+jwt", COMMON),
    "a DPoP proof": ("dpop+jwt", COMMON),
}
TAKEN = {
    Profile.AT_JWT: {"RFC 9068"},
    Profile.JWT: {"RFC 9068", "a plain access token", "a Cognito access token"},
    Profile.ID_TOKEN: {"an ID token", "a Keycloak ID token", "a Cognito ID token"},
}


def flaw_of(profile: Profile, typ: object, claims: dict[str, Any], token_type: str = ACCESS_TOKEN) -> str | None:
    header = {} if typ is None else {"typ": typ}
    return flaw(profile, header, claims, audience=AUDIENCE, token_type=token_type)


@pytest.mark.parametrize("profile", TAKEN)
@pytest.mark.parametrize("name", TOKENS)
def test_a_token_passes_under_its_own_profile_alone(profile: Profile, name: str) -> None:
    found = flaw_of(profile, *TOKENS[name])
    assert (found is None) == (name in TAKEN[profile])
    assert found is None or "alice" not in found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, None),
        ({"aud": ["gateway"]}, None),
        ({"aud": ["gateway", "gateway-2"], "azp": "gateway"}, None),
        ({"aud": ["gateway", "gateway-2"]}, "there is no azp beside several in aud"),
        ({"aud": ["gateway", "stranger"], "azp": "gateway"}, "aud names others too, whom audience does not trust"),
        ({"azp": "stranger"}, "azp is another party than audience names"),
        ({"azp": None}, "azp is another party than audience names"),
        ({"azp": ["gateway"]}, "azp is another party than audience names"),
        ({"aud": 7}, "aud is malformed"),
        ({"scp": ["read"]}, "the claims say that this is no ID token"),
        ({"typ": "Bearer"}, "typ says that this is no ID token"),
        ({"typ": ["ID"]}, "typ says that this is no ID token"),
        ({"iat": ...}, "OpenID Connect requires iat"),
        ({"exp": ..., "iat": ...}, "OpenID Connect requires exp, iat"),
    ],
)
def test_an_id_token_is_for_whom_it_names(changes: dict[str, Any], found: str | None) -> None:
    claims = {name: value for name, value in {**COMMON, **changes}.items() if value is not ...}
    assert flaw_of(Profile.ID_TOKEN, "JWT", claims) == found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, None),
        ({"token_type": "bearer"}, None),
        ({"token_type": "access_token"}, None),
        ({"token_type": "DPoP"}, "token_type is not Bearer"),
        ({"token_type": "refresh_token"}, "token_type is not Bearer"),
        ({"token_type": 1}, "token_type is not Bearer"),
        ({"token_type": None}, "token_type is not Bearer"),
        ({"typ": "Refresh"}, "the claims say that this is no access token"),
        ({"token_use": "refresh_token"}, "the claims say that this is no access token"),
        ({"nonce": "n"}, "the claims say that this is no access token"),
    ],
)
def test_what_introspection_says_is_about_an_access_token(changes: dict[str, Any], found: str | None) -> None:
    assert flaw_of(Profile.OPAQUE, None, {"active": True, **COMMON, **changes}) == found


def test_of_another_type_it_says_what_it_likes() -> None:
    assert flaw_of(Profile.OPAQUE, None, {**COMMON, "token_type": "N_A"}, TOKEN_TYPES["saml2"]) is None


@pytest.mark.parametrize("profile", Profile)
def test_a_typ_that_is_no_text(profile: Profile) -> None:
    assert flaw_of(profile, ["at+jwt"], AT_JWT) == "typ is not text"
