"""What the embedded server says of its tokens, and to whom."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from sidecar.model.tokens import ACCESS_TOKEN
from sidecar.oauth.jwt import generate_key
from tests.sts.asking import AUTH, basic, exchange
from tests.support.sts import CLIENT_SECRET, RunningSts, client_assertion, opaque_config, running_sts

INACTIVE = {"active": False}


@pytest.fixture
async def sts() -> AsyncIterator[RunningSts]:
    async with running_sts(opaque_config) as running:
        yield running


async def asked(session: ClientSession, sts: RunningSts, auth: str | None = AUTH, **values: str) -> tuple[int, Any]:
    headers = {} if auth is None else {"Authorization": auth}
    async with session.post(f"{sts.issuer}/introspect", data=values, headers=headers) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.json()


async def own_token(session: ClientSession, sts: RunningSts) -> str:
    values = {"grant_type": "client_credentials"}
    headers = {"Authorization": basic("alice-cli", CLIENT_SECRET)}
    async with session.post(sts.token_endpoint, data=values, headers=headers) as response:
        return str((await response.json())["access_token"])


async def test_an_opaque_token_is_told_to_whom_it_names_and_can_be_traded(
    session: ClientSession, sts: RunningSts
) -> None:
    token = await own_token(session, sts)
    assert "." not in token
    status, told = await asked(session, sts, token=token, token_type_hint="access_token")
    assert status == 200
    assert told.pop("exp") - told.pop("iat") == sts.config.lifetime
    assert told.pop("jti")
    assert told == {
        "active": True,
        "token_type": "Bearer",
        "iss": sts.issuer,
        "sub": "alice",
        "aud": ["orders-gateway"],
        "client_id": "alice-cli",
        "scope": "orders.read orders.write billing.read",
    }
    issued = (await exchange(session, sts, subject_token=token)).body
    assert issued["issued_token_type"] == ACCESS_TOKEN
    assert "." not in issued["access_token"]
    _, told = await asked(session, sts, token=issued["access_token"])
    assert (told["active"], told["sub"], told["aud"]) == (True, "alice", ["orders-api"])
    assert told["act"]["sub"] == "gateway"


async def test_a_jwt_of_ours(session: ClientSession, sts: RunningSts) -> None:
    _, told = await asked(session, sts, token=sts.mint())
    assert (told["active"], told["sub"]) == (True, "alice")


async def test_an_opaque_policy_issues_no_jwt(session: ClientSession, sts: RunningSts) -> None:
    answer = await exchange(session, sts, requested_token_type="urn:ietf:params:oauth:token-type:jwt")
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("what", ["random", "expired", "another's key", "another issuer", "for others", "none"])
async def test_of_no_other_token_anything_is_told(what: str, session: ClientSession, sts: RunningSts) -> None:
    token = {
        "random": "a-random-text",
        "expired": sts.mint(lifetime=-1),
        "another's key": sts.mint(key=generate_key("ES256", "x")),
        "another issuer": sts.mint(iss="https://other.example"),
        "for others": sts.mint(aud="somebody"),
        "none": "a.b.c",
    }[what]
    assert await asked(session, sts, token=token) == (200, INACTIVE)


async def test_it_is_told_to_those_it_concerns_only(session: ClientSession, sts: RunningSts) -> None:
    token = sts.mint(aud="orders-gateway", client_id="alice-cli")
    for client, active in (("alice-cli", True), ("bob-cli", False), ("stranger", True)):  # the cast's stranger is named
        _, told = await asked(session, sts, basic(client, CLIENT_SECRET), token=token)
        assert told["active"] is active


async def test_only_clients_that_prove_who_they_are_may_ask(session: ClientSession, sts: RunningSts) -> None:
    token = sts.mint()
    for auth, values in (
        (None, {}),
        (basic("gateway", "wrong"), {}),
        (None, {"client_id": "public"}),
        (None, {"client_id": "gateway"}),
    ):
        status, told = await asked(session, sts, auth, token=token, **values)
        assert (status, told["error"]) == (401, "invalid_client")
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    values = {"client_assertion_type": kind, "client_assertion": client_assertion(sts)}
    assert (await asked(session, sts, None, token=token, **values))[1]["active"] is True


async def test_a_question_without_a_token(session: ClientSession, sts: RunningSts) -> None:
    status, told = await asked(session, sts)
    assert (status, told["error"]) == (400, "invalid_request")


async def test_it_is_published(session: ClientSession, sts: RunningSts) -> None:
    async with session.get(f"{sts.issuer}/.well-known/oauth-authorization-server") as response:
        document = await response.json()
    assert document["introspection_endpoint"] == f"{sts.issuer}/introspect"
    methods = document["introspection_endpoint_auth_methods_supported"]
    assert "none" not in methods
    assert "private_key_jwt" in methods
