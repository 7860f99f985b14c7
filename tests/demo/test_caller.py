import socket

import pytest
from aiohttp import ClientSession

from sidecar.demo.caller import Answer, Caller, StageError, client_credentials, get, new_session
from tests.support.raw_upstream import RawUpstream, answering, response
from tests.support.sts import CLIENT_SECRET, SECRET_CANARY, RunningSts, running_sts


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def caller(session: ClientSession, sts: RunningSts, gateway: str = "http://127.0.0.1:1") -> Caller:
    return Caller(
        session,
        client_id="alice-cli",
        secret=CLIENT_SECRET,
        token_endpoint=sts.token_endpoint,
        gateway=gateway,
    )


async def test_a_token_is_fetched_once_for_each_audience() -> None:
    async with running_sts() as sts, new_session() as session:
        alice = caller(session, sts)
        token = await alice.token("orders-gateway")
        assert token is await alice.token("orders-gateway")
        assert (token.claims["sub"], token.claims["aud"]) == ("alice", ["orders-gateway"])
        assert len(sts.audit) == 1
        assert token.text not in repr(token)
        assert token.text.endswith("." + token.signature)


async def test_a_token_that_is_not_given() -> None:
    async with running_sts() as sts, new_session() as session:
        with pytest.raises(StageError) as caught:
            await caller(session, sts).token("elsewhere")
        assert str(caught.value) == "the authorization server gives alice-cli no token for elsewhere"


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", b'{"access_token": "no-jwt"}'])
async def test_a_token_endpoint_that_talks_rubbish(body: bytes) -> None:
    rubbish = response(body, b"Content-Type: application/json")
    async with RawUpstream(answering(rubbish)) as server, new_session() as session:
        with pytest.raises(StageError, match="gives a no token for b"):
            await client_credentials(session, f"http://127.0.0.1:{server.port}/token", "a", SECRET_CANARY.text, "b")


async def test_nobody_there() -> None:
    port = closed_port()
    async with new_session() as session:
        with pytest.raises(StageError) as caught:
            await get(session, f"http://127.0.0.1:{port}/orders?secret")
        assert str(caught.value) == f"no answer from http://127.0.0.1:{port}"
        with pytest.raises(StageError) as caught:
            await client_credentials(session, f"http://127.0.0.1:{port}/token", "a", SECRET_CANARY.text, "b")
        assert str(caught.value) == f"no answer from http://127.0.0.1:{port}"


async def test_an_answer_that_is_none() -> None:
    async with RawUpstream(answering(b"this is not HTTP\r\n\r\n")) as server, new_session() as session:
        with pytest.raises(StageError, match="no answer from"):
            await get(session, f"http://127.0.0.1:{server.port}/")


async def test_a_body_that_is_no_text() -> None:
    broken = response(b"\xff\xfe", b"Content-Type: text/plain; charset=utf-8")
    async with RawUpstream(answering(broken)) as server, new_session() as session:
        with pytest.raises(StageError, match="no answer from"):
            await get(session, f"http://127.0.0.1:{server.port}/")


def test_what_an_answer_tells() -> None:
    problem = Answer(404, {"type": "urn:token-exchange-sidecar:problem:no-route"}, "")
    assert (problem.kind, problem.phrase) == ("no-route", "404 Not Found")
    assert Answer(200, {}, "").kind is None
    assert Answer(200, {"type": 1}, "").kind is None
