import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from sidecar.oauth.jwt import VerificationKeys, generate_key, peek, verify
from sidecar.sts.assertions import JWT_BEARER as ASSERTION_TYPE
from sidecar.sts.audit import UNKNOWN
from sidecar.sts.config import AuthMethod, Client, Config, MutualTLS, TrustedIssuer
from sidecar.sts.server import banner, metadata, serve
from tests.sts.asking import basic, exchange
from tests.support.canary import Canary, search
from tests.support.sts import (
    GATEWAY_SECRET,
    SECRET_CANARY,
    TOKEN_EXCHANGE,
    RunningSts,
    client_assertion,
    default_config,
    running_sts,
)


@pytest.fixture
async def sts() -> AsyncIterator[RunningSts]:
    async with running_sts() as running:
        yield running


async def test_an_exchange(session: ClientSession, sts: RunningSts) -> None:
    answer = await exchange(session, sts)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    async with session.get(sts.jwks_uri) as response:
        assert response.content_type == "application/jwk-set+json"
        keys = VerificationKeys.from_jwks(await response.json(content_type=None))
    claims = verify(answer.body["access_token"], keys, ["ES256"]).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == (sts.issuer, "alice", ["orders-api"])
    assert sts.exchanges == 1
    assert [line.decision for line in sts.audit] == ["issued"]


@pytest.mark.parametrize("path", ["", "/realms/corp"])
async def test_metadata_at_every_place(session: ClientSession, path: str) -> None:
    async with running_sts(path=path) as sts:
        root = sts.issuer.removesuffix(path)
        for place in (
            f"{root}/.well-known/oauth-authorization-server{path}",
            f"{root}/.well-known/openid-configuration{path}",
            f"{root}{path}/.well-known/openid-configuration",
        ):
            async with session.get(place) as response:
                assert response.status == 200
                document = await response.json()
            assert document["issuer"] == sts.issuer
            assert document["token_endpoint"] == f"{root}{path}/token"
            assert document["jwks_uri"] == f"{root}{path}/jwks"
            assert document["grant_types_supported"] == ["client_credentials", TOKEN_EXCHANGE]
            assert document["token_endpoint_auth_methods_supported"] == [
                "client_secret_basic",
                "client_secret_post",
                "none",
                "private_key_jwt",
            ]
            assert "ES256" in document["token_endpoint_auth_signing_alg_values_supported"]
            assert "none" not in document["token_endpoint_auth_signing_alg_values_supported"]
        assert (await exchange(session, sts)).status == 200


def test_metadata_tells_where_certificates_are_asked_for() -> None:
    methods = (AuthMethod.TLS, AuthMethod.JWT_FILE, AuthMethod.SPIFFE_JWT, AuthMethod.SECRET_JWT)
    config = Config(
        "http://[::1]:8090/realm",
        clients=tuple(Client(method, (method,)) for method in methods),
        mtls=MutualTLS(("127.0.0.1", 9443), "", ""),
    )
    document = metadata(config)
    assert document["mtls_endpoint_aliases"] == {
        "token_endpoint": "https://[::1]:9443/realm/token",
        "introspection_endpoint": "https://[::1]:9443/realm/introspect",
    }
    # A platform's assertion is sent as one that the client signed itself, and has no registered name of its own.
    assert document["token_endpoint_auth_methods_supported"] == [
        "client_secret_jwt",
        "private_key_jwt",
        "spiffe_jwt",
        "tls_client_auth",
    ]
    assert {"ES256", "HS256"} <= set(document["token_endpoint_auth_signing_alg_values_supported"])
    assert "mtls_endpoint_aliases" not in metadata(Config("https://sts.example"))


def test_metadata_has_no_empty_list() -> None:
    assert all(metadata(Config("https://sts.example")).values())


async def test_every_way_to_authenticate(session: ClientSession, sts: RunningSts) -> None:
    assert (await exchange(session, sts)).status == 200
    by_post = await exchange(session, sts, None, client_id="gateway", client_secret=GATEWAY_SECRET)
    assert by_post.status == 200
    signed = {"client_assertion": client_assertion(sts), "client_assertion_type": ASSERTION_TYPE}
    assert (await exchange(session, sts, None, **signed)).status == 200
    again = await exchange(session, sts, None, **signed)
    assert (again.status, again.body["error"]) == (401, "invalid_client")
    assert (await exchange(session, sts, None, client_id="public", audience="echo-api", scope="echo")).status == 200
    assert [line.client for line in sts.audit] == ["gateway", "gateway", "gateway-jwt", None, "public"]


async def test_failed_authentication(session: ClientSession, sts: RunningSts) -> None:
    for auth in (basic("gateway", "wrong"), basic("nobody", "x"), None):
        answer = await exchange(session, sts, auth)
        assert (answer.status, answer.body["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"] == f'Basic realm="{sts.issuer}", charset="UTF-8"'
        assert answer.headers["Cache-Control"] == "no-store"
    both = await exchange(session, sts, client_id="gateway", client_secret=GATEWAY_SECRET)
    assert (both.status, both.body["error"]) == (400, "invalid_request")
    assert {line.client for line in sts.audit} == {None}
    assert sts.exchanges == 4


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unauthorized_client"),
        ({"subject_token": "garbage"}, "invalid_request"),
        ({"audience": "unknown"}, "invalid_target"),
        ({"scope": "unknown"}, "invalid_scope"),
    ],
)
async def test_refusals(session: ClientSession, sts: RunningSts, values: dict[str, str], error: str) -> None:
    answer = await exchange(session, sts, **values)
    assert (answer.status, answer.body["error"]) == (400, error)
    assert answer.body["error_description"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "WWW-Authenticate" not in answer.headers
    [line] = sts.audit
    assert (line.decision, line.error, line.reason) == ("refused", error, answer.body["error_description"])


async def test_policy_refuses_a_person(session: ClientSession, sts: RunningSts) -> None:
    answer = await exchange(session, sts, None, client_id="public", subject_token=sts.mint("bob"))
    assert (answer.status, answer.body["error"]) == (400, "access_denied")


async def test_an_issuer_that_can_not_be_asked(session: ClientSession) -> None:
    # Nobody listens at port 1.
    trusted = TrustedIssuer("https://corp.example", "http://127.0.0.1:1/keys")
    async with running_sts(lambda issuer: replace(default_config(issuer), trusted_issuers=(trusted,))) as other:
        token = other.mint(iss="https://corp.example", key=generate_key("ES256", "k"))
        answer = await exchange(session, other, subject_token=token)
    assert (answer.status, answer.body["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "1"


async def test_a_key_that_was_replaced_still_verifies(session: ClientSession, sts: RunningSts) -> None:
    before = sts.mint()
    sts.rotate()
    answer = await exchange(session, sts, subject_token=before)
    assert answer.status == 200
    assert peek(answer.body["access_token"]).header["kid"] != peek(before).header["kid"]
    async with session.get(sts.jwks_uri) as response:
        assert len((await response.json(content_type=None))["keys"]) == 2


async def test_no_secret_is_ever_told(
    session: ClientSession, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    token_canary = Canary.fresh("subject-token")
    async with running_sts() as sts:
        token = sts.mint(marker=token_canary.text)
        answers = [
            await exchange(session, sts, subject_token=token),
            await exchange(session, sts, subject_token=token[:-4]),
            await exchange(session, sts, f"Basic {GATEWAY_SECRET}".replace("ü", ""), subject_token=token),
            await exchange(session, sts, None, client_id=GATEWAY_SECRET, subject_token=token),
        ]
        names = ("grant_type", "audience", "scope", "resource", "requested_token_type", "subject_token_type")
        answers += [
            await exchange(session, sts, **{"subject_token": token, name: secret})
            for name in names
            for secret in (token, GATEWAY_SECRET.replace(" ", ""))
        ]
        malformed = b"POST /token HTTP/1.1\r\nHost: a\r\nAuthorization : %s\x01\r\n\r\n" % GATEWAY_SECRET.encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(sts.issuer).port)
        writer.write(malformed)
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()
        told = "\n".join(line.to_json() + repr(line) for line in sts.audit)
        issued = answers[0].body["access_token"]
        shown = repr(sts.config) + told
    assert [answer.status for answer in answers[:4]] == [200, 400, 401, 401]
    told += caplog.text + "".join(capsys.readouterr()) + shown
    assert search(told.encode(), SECRET_CANARY, token_canary, token, issued) == []
    replies = json.dumps([[answer.body, answer.headers] for answer in answers[1:]])
    assert search(replies.encode(), SECRET_CANARY, token_canary, token) == []
    assert {line.grant for line in sts.audit} == {TOKEN_EXCHANGE, UNKNOWN}


async def test_serves_on_the_configured_address_and_writes_to_stderr(
    session: ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    config = replace(default_config(f"http://127.0.0.1:{port}"), listen=("127.0.0.1", port))
    runner = await serve(config)
    try:
        async with session.post(config.token_endpoint, data={"grant_type": "client_credentials"}) as response:
            assert response.status == 401
        with pytest.raises(OSError, match="address already in use"):
            await serve(config)
    finally:
        await runner.cleanup()
    assert json.loads(capsys.readouterr().err)["error"] == "invalid_client"


def test_the_banner_says_what_it_is_for() -> None:
    text = banner(Config("https://sts.example"))
    assert "https://sts.example" in text
    assert "development, tests and demos" in text
    assert "Not for production" in text
