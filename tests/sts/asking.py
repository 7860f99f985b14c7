"""Asks the embedded server as its clients do."""

import base64
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession

from sidecar.model.tokens import ACCESS_TOKEN
from tests.support.sts import GATEWAY_SECRET, TOKEN_EXCHANGE, RunningSts


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{quote(secret, safe='')}".encode()).decode()


AUTH = basic("gateway", GATEWAY_SECRET)


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
        self.status, self.headers, self.body = status, headers, body


async def post(session: ClientSession, sts: RunningSts, auth: str | None, values: dict[str, str]) -> Answer:
    headers = {} if auth is None else {"Authorization": auth}
    async with session.post(sts.token_endpoint, data=values, headers=headers) as response:
        return Answer(response.status, dict(response.headers), await response.json())


async def exchange(session: ClientSession, sts: RunningSts, auth: str | None = AUTH, /, **values: str) -> Answer:
    given = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": sts.mint(),
        "subject_token_type": ACCESS_TOKEN,
        "audience": "orders-api",
        "scope": "orders.read",
        **values,
    }
    return await post(session, sts, auth, given)
