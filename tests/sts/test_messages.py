"""Which bodies are forms, and which are none."""

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from sidecar.sts.messages import MAX_BODY_BYTES
from tests.sts.asking import AUTH, exchange, post
from tests.support.sts import CLIENT_SECRET, RunningSts, running_sts


@pytest.fixture
async def sts() -> AsyncIterator[RunningSts]:
    async with running_sts() as running:
        yield running


async def test_only_a_form_in_the_body_of_a_post(session: ClientSession, sts: RunningSts) -> None:
    form = "application/x-www-form-urlencoded"
    for headers, data in (
        ({"Content-Type": "application/json"}, json.dumps({"grant_type": "client_credentials"})),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "--x--"),
        ({"Content-Type": form, "Content-Encoding": "gzip"}, "grant_type=x"),
        ({"Content-Type": form}, "grant_type=a&grant_type=b"),
        ({"Content-Type": form}, "grant_type=%zz"),
    ):
        async with session.post(sts.token_endpoint, data=data, headers={"Authorization": AUTH, **headers}) as response:
            assert (response.status, (await response.json())["error"]) == (400, "invalid_request")
    async with session.get(sts.token_endpoint) as response:
        assert response.status == 405
    large = await exchange(session, sts, subject_token="x" * MAX_BODY_BYTES)
    assert (large.status, large.body["error"]) == (413, "invalid_request")
    async with session.post(
        sts.token_endpoint, data={"a": "b"}, headers={"Authorization": AUTH, "Content-Type": f"{form}; charset=UTF-8"}
    ) as response:
        assert (await response.json())["error_description"] == "grant_type is missing"


async def test_nothing_is_taken_from_the_query(session: ClientSession, sts: RunningSts) -> None:
    alice = {"grant_type": "client_credentials", "client_id": "alice-cli", "client_secret": CLIENT_SECRET}
    assert (await post(session, sts, None, alice)).status == 200
    async with session.post(sts.token_endpoint + "?scope=orders.read", data=alice) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_request")


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.sts.messages.BODY_TIMEOUT", 0.05)
    async with running_sts() as sts:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(sts.issuer).port)
        writer.write(b"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n")
        writer.write(b"Content-Type: application/x-www-form-urlencoded\r\n\r\na=")
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()
    assert [line.reason for line in sts.audit] == ["the body did not come in time"]
