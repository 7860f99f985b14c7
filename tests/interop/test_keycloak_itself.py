"""What Keycloak really answers: the facts that the dialect ``keycloak`` rests on, without the gateway.

When a new release changes one of them, it is seen here first.
"""

import time
import urllib.error
from typing import Any

import pytest

from sidecar.oauth import jwt
from tests.interop.keycloak import ACCESS_TOKEN, GATEWAY_SECRET, Keycloak, Reply, basic, raw_basic, send

pytestmark = pytest.mark.interop

TYPE = "urn:ietf:params:oauth:token-type:"
ID_TOKEN = TYPE + "id_token"


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.peek(token).claims)


def issued(reply: Reply) -> dict[str, Any]:
    """The claims of the token in a reply that is a success as RFC 8693 §2.2.1 has it."""
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.body["issued_token_type"] == ACCESS_TOKEN
    assert reply.body["token_type"] == "Bearer"
    return claims(reply.body["access_token"])


def refused(reply: Reply) -> tuple[int, str, str]:
    assert "access_token" not in reply.body
    return reply.status, reply.body["error"], reply.body.get("error_description", "")


def words(scope: str) -> set[str]:
    return set(scope.split())


@pytest.fixture(scope="module")
def corp(keycloak: Keycloak) -> str:
    """A subject token of the lean realm."""
    return keycloak.user_token("corp")


@pytest.fixture(scope="module")
def stock(keycloak: Keycloak) -> str:
    """A subject token of the stock realm."""
    return keycloak.user_token("stock")


# --- what callers present ---------------------------------------------------------------------------------------


def test_a_subject_token_of_the_lean_realm(keycloak: Keycloak, corp: str) -> None:
    token = jwt.peek(corp)
    assert (token.header["alg"], token.header["typ"]) == ("RS256", "JWT")
    assert token.claims["typ"] == "Bearer"
    assert token.claims["iss"] == keycloak.issuer("corp")
    assert token.claims["aud"] == "gateway"
    assert token.claims["azp"] == "cli"
    assert token.claims["sub"]
    assert token.claims["exp"] - token.claims["iat"] == 300


def test_a_subject_token_of_the_stock_realm_names_more_audiences(stock: str) -> None:
    token = claims(stock)
    assert set(token["aud"]) == {"gateway", "gateway-jwt", "account"}
    assert words(token["scope"]) == {"profile", "email"}
    assert token["exp"] - token["iat"] == 300


@pytest.mark.parametrize("realm", ["corp", "stock"])
def test_only_the_claims_tell_an_id_token_from_an_access_token(keycloak: Keycloak, realm: str) -> None:
    reply = keycloak.login(realm, scope="openid")
    access, identity = jwt.peek(reply["access_token"]), jwt.peek(reply["id_token"])
    assert access.header == identity.header
    assert (access.claims["typ"], identity.claims["typ"]) == ("Bearer", "ID")
    assert "at_hash" in identity.claims
    assert "at_hash" not in access.claims


def test_signatures_verify_with_the_published_keys(keycloak: Keycloak, corp: str) -> None:
    keys = send("GET", keycloak.discovery("corp")["jwks_uri"]).body
    assert jwt.verify(corp, jwt.VerificationKeys.from_jwks(keys), ["RS256"]).claims["azp"] == "cli"


def test_the_metadata(keycloak: Keycloak) -> None:
    document = keycloak.discovery("stock")
    assert document["issuer"] == keycloak.issuer("stock")
    assert document["token_endpoint"] == keycloak.token_endpoint("stock")
    assert "urn:ietf:params:oauth:grant-type:token-exchange" in document["grant_types_supported"]
    assert set(document["token_endpoint_auth_methods_supported"]) >= {
        "private_key_jwt",
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "tls_client_auth",
    }
    assert {"mtls_endpoint_aliases", "dpop_signing_alg_values_supported", "introspection_endpoint"} <= set(document)


# --- what is issued ---------------------------------------------------------------------------------------------


def test_one_scope_in_the_lean_realm_gives_its_audience_and_nothing_more(keycloak: Keycloak, corp: str) -> None:
    reply = keycloak.exchange("corp", corp, scope=["orders.read"])
    token = issued(reply)
    assert reply.body["scope"] == token["scope"] == "orders.read"
    assert token["aud"] == "orders-api"
    assert token["azp"] == "gateway"
    assert token["iss"] == keycloak.issuer("corp")
    assert token["sub"] == claims(corp)["sub"]
    assert token["typ"] == "Bearer"
    assert "act" not in token


def test_one_scope_in_the_stock_realm_comes_with_its_defaults(keycloak: Keycloak, stock: str) -> None:
    reply = keycloak.exchange("stock", stock, scope=["orders.read"])
    token = issued(reply)
    assert words(reply.body["scope"]) == words(token["scope"]) == {"orders.read", "profile", "email"}
    assert set(token["aud"]) == {"orders-api", "account"}
    assert token["sub"] == claims(stock)["sub"]


def test_an_audience_narrows_the_stock_reply_and_leaves_its_scope(keycloak: Keycloak, stock: str) -> None:
    reply = keycloak.exchange("stock", stock, scope=["orders.read"], audience=["orders-api"])
    assert issued(reply)["aud"] == "orders-api"
    assert words(reply.body["scope"]) == {"orders.read", "profile", "email"}


def test_a_subject_token_with_openid_does_not_put_it_into_the_issued_one(keycloak: Keycloak) -> None:
    subject = keycloak.user_token("stock", scope="openid")
    assert "openid" in words(claims(subject)["scope"])
    reply = keycloak.exchange("stock", subject, scope=["orders.read"], audience=["orders-api"])
    assert "openid" not in words(issued(reply)["scope"])


@pytest.mark.parametrize("realm", ["corp", "stock"])
def test_two_audiences_and_two_scopes(keycloak: Keycloak, realm: str, request: pytest.FixtureRequest) -> None:
    reply = keycloak.exchange(
        realm,
        request.getfixturevalue(realm),
        scope=["orders.read", "billing.write"],
        audience=["orders-api", "billing-api"],
    )
    token = issued(reply)
    assert set(token["aud"]) == {"orders-api", "billing-api"}
    assert words(reply.body["scope"]) >= {"orders.read", "billing.write"}


def test_two_scopes_and_one_audience_give_both_scopes(keycloak: Keycloak, corp: str) -> None:
    reply = keycloak.exchange("corp", corp, scope=["orders.read", "billing.write"], audience=["orders-api"])
    token = issued(reply)
    assert token["aud"] == "orders-api"
    assert words(token["scope"]) == {"orders.read", "billing.write"}


def test_nothing_asked_gives_a_token_without_audience(keycloak: Keycloak, corp: str) -> None:
    assert "aud" not in issued(keycloak.exchange("corp", corp))


def test_nothing_asked_of_the_stock_realm_gives_its_own_account_service(keycloak: Keycloak, stock: str) -> None:
    token = issued(keycloak.exchange("stock", stock))
    assert token["aud"] == "account"
    assert words(token["scope"]) == {"profile", "email"}


def test_the_lifetime_is_the_realms_and_not_the_subject_tokens(keycloak: Keycloak) -> None:
    subject = keycloak.user_token("stock", client="cli-brief")
    reply = keycloak.exchange("stock", subject)
    token = issued(reply)
    assert claims(subject)["exp"] - claims(subject)["iat"] == 3
    assert token["exp"] - token["iat"] == 300
    assert type(reply.body["expires_in"]) is int
    assert 270 <= reply.body["expires_in"] <= 300  # what was left when the reply was written


def test_other_members_of_the_reply(keycloak: Keycloak, corp: str) -> None:
    reply = keycloak.exchange("corp", corp, scope=["orders.read"])
    issued(reply)
    assert reply.body["refresh_expires_in"] == 0
    assert "refresh_token" not in reply.body
    assert set(reply.body) == {
        "access_token",
        "expires_in",
        "issued_token_type",
        "not-before-policy",
        "refresh_expires_in",
        "scope",
        "session_state",
        "token_type",
    }


@pytest.mark.parametrize("resource", ["https://orders.example.com/", "not a URI"])
def test_resource_is_ignored(keycloak: Keycloak, corp: str, resource: str) -> None:
    token = issued(keycloak.exchange("corp", corp, scope=["orders.read"], resource=resource))
    assert token["aud"] == "orders-api"


@pytest.mark.parametrize(
    "members",
    [
        {"actor_token": "garbage", "actor_token_type": ACCESS_TOKEN},
        {"actor_token": "garbage"},
    ],
    ids=["garbage", "without-type"],
)
def test_an_actor_token_is_ignored(keycloak: Keycloak, corp: str, members: dict[str, str]) -> None:
    reply = keycloak.exchange("corp", corp, scope=["orders.read"], **members)
    assert "act" not in issued(reply)


def test_a_real_actor_token_is_ignored_too(keycloak: Keycloak, corp: str) -> None:
    login = keycloak.token_request("corp", {"grant_type": "client_credentials"}, basic("agent", "agent"))
    actor = login.body["access_token"]
    reply = keycloak.exchange("corp", corp, scope=["orders.read"], actor_token=actor, actor_token_type=ACCESS_TOKEN)
    assert "act" not in issued(reply)


def test_an_id_token_is_issued_with_another_token_type(keycloak: Keycloak, corp: str) -> None:
    reply = keycloak.exchange("corp", corp, requested_token_type=ID_TOKEN)
    assert reply.status == 200
    assert reply.body["token_type"] == "N_A"
    assert reply.body["issued_token_type"] == ID_TOKEN
    token = claims(reply.body["access_token"])
    assert token["aud"] == "gateway"
    assert token["typ"] == "ID"


# --- who asks ---------------------------------------------------------------------------------------------------


def test_the_secret_in_the_form(keycloak: Keycloak, corp: str) -> None:
    reply = keycloak.exchange(
        "corp",
        corp,
        scope=["orders.read"],
        authorization=None,
        client_id="gateway",
        client_secret=GATEWAY_SECRET,
    )
    assert issued(reply)["aud"] == "orders-api"


def test_a_signed_assertion(keycloak: Keycloak, stock: str) -> None:
    reply = keycloak.exchange("stock", stock, scope=["orders.read"], authorization=None, **keycloak.assertion("stock"))
    assert issued(reply)["azp"] == "gateway-jwt"


def test_an_assertion_counts_once(keycloak: Keycloak, stock: str) -> None:
    assertion = keycloak.assertion("stock")
    first = keycloak.exchange("stock", stock, authorization=None, **assertion)
    assert first.status == 200
    assert refused(keycloak.exchange("stock", stock, authorization=None, **assertion))[1] == "invalid_client"


def test_a_wrong_secret(keycloak: Keycloak, corp: str) -> None:
    reply = keycloak.exchange("corp", corp, authorization=basic("gateway", "wrong"))
    assert refused(reply)[:2] == (401, "unauthorized_client")
    assert "www-authenticate" not in reply.headers


def test_a_secret_that_is_not_form_encoded(keycloak: Keycloak, corp: str) -> None:
    reply = keycloak.exchange("corp", corp, authorization=raw_basic("gateway", GATEWAY_SECRET))
    assert refused(reply) == (
        400,
        "unauthorized_client",
        "Unexpected error when authenticating client",
    )


def test_a_client_without_the_switch(keycloak: Keycloak, corp: str) -> None:
    assert refused(keycloak.exchange("corp", corp, authorization=basic("noexchange", "noexchange"))) == (
        400,
        "invalid_request",
        "Standard token exchange is not enabled for the requested client",
    )


def test_a_client_that_the_subject_token_is_not_for(keycloak: Keycloak, corp: str) -> None:
    assert refused(keycloak.exchange("corp", corp, authorization=basic("stranger", "stranger"))) == (
        403,
        "access_denied",
        "Client is not within the token audience",
    )


# --- what is refused --------------------------------------------------------------------------------------------


REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown audience": ({"audience": ["nobody"]}, "invalid_client", "Audience not found"),
    "audience without its scope": (
        {"audience": ["billing-api"], "scope": ["orders.read"]},
        "invalid_request",
        "Requested audience not available: billing-api",
    ),
    "unknown scope": ({"scope": ["nonsense"]}, "invalid_scope", "Invalid scopes: nonsense"),
    "garbage": ({"subject_token": "garbage"}, "invalid_request", "Invalid token"),
    **{
        f"{kind} wanted": ({"requested_token_type": TYPE + kind}, "invalid_request", "requested_token_type unsupported")
        for kind in ("jwt", "refresh_token", "saml2")
    },
}


@pytest.mark.parametrize("realm", ["corp", "stock"])
@pytest.mark.parametrize("what", REFUSALS)
def test_refusals(keycloak: Keycloak, request: pytest.FixtureRequest, realm: str, what: str) -> None:
    members, error, description = REFUSALS[what]
    members = {"subject_token": request.getfixturevalue(realm), **members}
    assert refused(keycloak.exchange(realm, **members)) == (400, error, description)


def test_a_token_with_a_changed_signature_is_garbage_too(keycloak: Keycloak, corp: str) -> None:
    head, _, signature = corp.rpartition(".")
    changed = f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    assert refused(keycloak.exchange("corp", changed)) == (400, "invalid_request", "Invalid token")


def test_a_token_of_another_realm_is_garbage_too(keycloak: Keycloak, stock: str) -> None:
    assert refused(keycloak.exchange("corp", stock)) == (400, "invalid_request", "Invalid token")


def test_an_expired_token_is_garbage_too(keycloak: Keycloak) -> None:
    """So a leeway on our side is no help: there is none on the other."""
    brief = keycloak.user_token("stock", client="cli-brief")
    until = time.monotonic() + 15
    while (reply := keycloak.exchange("stock", brief)).status == 200 and time.monotonic() < until:
        time.sleep(0.1)
    assert refused(reply) == (400, "invalid_request", "Invalid token")


@pytest.mark.parametrize("realm", ["corp", "stock"])
def test_a_token_whose_user_has_logged_out_is_garbage_too(keycloak: Keycloak, realm: str) -> None:
    """Nothing in the token shows it: only the authorization server can know."""
    login = keycloak.login(realm)
    keycloak.log_out(realm, login)
    assert refused(keycloak.exchange(realm, login["access_token"])) == (400, "invalid_request", "Invalid token")


@pytest.mark.parametrize("member", ["subject_token", "subject_token_type"])
def test_a_member_that_must_be_there(keycloak: Keycloak, corp: str, member: str) -> None:
    members: dict[str, Any] = {"subject_token": corp, member: None}
    assert refused(keycloak.exchange("corp", **members))[:2] == (400, "invalid_request")


@pytest.mark.parametrize("kind", ["jwt", "id_token"])
def test_only_access_tokens_are_traded(keycloak: Keycloak, corp: str, kind: str) -> None:
    status, error, description = refused(keycloak.exchange("corp", corp, subject_token_type=TYPE + kind))
    assert (status, error) == (400, "invalid_request")
    assert "supports access tokens only" in description


# --- introspection and outage -----------------------------------------------------------------------------------


def test_introspection(keycloak: Keycloak, corp: str) -> None:
    token = keycloak.exchange("corp", corp, scope=["orders.read"]).body["access_token"]
    endpoint = keycloak.discovery("corp")["introspection_endpoint"]
    headers = {"Authorization": basic("orders-api", "o")}
    reply = send("POST", endpoint, headers, f"token={token}".encode("ascii"))
    assert reply.status == 200
    assert reply.body["active"] is True
    assert (reply.body["aud"], reply.body["scope"], reply.body["azp"]) == ("orders-api", "orders.read", "gateway")
    assert send("POST", endpoint, headers, b"token=garbage").body == {"active": False}


def test_tokens_and_keys_outlive_an_outage(keycloak: Keycloak) -> None:
    subject = keycloak.user_token("corp")
    address = keycloak.url
    with keycloak.stopped(), pytest.raises(urllib.error.URLError, match="refused"):
        keycloak.discovery("corp")
    assert keycloak.discovery("corp")["issuer"] == f"{address}/realms/corp"
    assert issued(keycloak.exchange("corp", subject, scope=["orders.read"]))["aud"] == "orders-api"
