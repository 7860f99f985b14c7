"""Alice's program: gets tokens at the authorization server, and calls the gateway with them.

It keeps its tokens as any client does, and gives nothing of them away but their claims. All HTTP that the demo itself
sends is here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, encode_basic_auth
from yarl import URL

from sidecar.oauth.jwt import JWTError, peek

TIMEOUT: Final = ClientTimeout(total=15)  # seconds for one answer


class StageError(Exception):
    """Somebody on the stage did not do his part; the message says who, and repeats nothing he said."""


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token, and what it says. Nobody verified it: that is for those to whom it is presented."""

    claims: Mapping[str, Any]
    text: str = field(repr=False)

    @property
    def signature(self) -> str:
        """Its last part, which no other token has: whoever searches for it finds the token, whole or cut."""
        return self.text.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. members: of its JSON object, empty where the body is something else."""

    status: int
    members: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)

    @property
    def kind(self) -> str | None:
        """The kind of problem it tells, None where it tells none."""
        kind = self.members.get("type")
        return kind.rpartition(":")[2] if isinstance(kind, str) else None

    @property
    def phrase(self) -> str:
        """The status as people know it."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def new_session() -> ClientSession:
    """Return a session that keeps no cookies and no connections, and uses no proxy whatever the environment says."""
    connector = TCPConnector(force_close=True)
    return ClientSession(connector=connector, timeout=TIMEOUT, cookie_jar=DummyCookieJar(), trust_env=False)


async def get(session: ClientSession, url: str, token: HeldToken | None = None) -> Answer:
    """Send a GET, its target byte for byte as given. StageError: no answer."""
    headers = {"Authorization": f"Bearer {token.text}"} if token is not None else {}
    try:
        async with session.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response:
            return _answer(response.status, await response.text())
    except (ClientError, TimeoutError, OSError, ValueError):
        raise StageError(f"no answer from {_origin(url)}") from None


async def post(
    session: ClientSession, url: str, token: HeldToken, members: Mapping[str, Any], headers: Mapping[str, str]
) -> Answer:
    """Send a JSON object. StageError: no answer."""
    sent = {"Authorization": f"Bearer {token.text}", **headers}
    try:
        async with session.post(url, json=members, headers=sent, allow_redirects=False) as response:
            return _answer(response.status, await response.text())
    except (ClientError, TimeoutError, OSError, ValueError):
        raise StageError(f"no answer from {_origin(url)}") from None


async def client_credentials(
    session: ClientSession, token_endpoint: str, client_id: str, secret: str, audience: str
) -> HeldToken:
    """Get a client's own token (RFC 6749 §4.4). StageError: there is none to be had."""
    form = {"grant_type": "client_credentials", "audience": audience}
    headers = {"Authorization": encode_basic_auth(client_id, secret)}
    try:
        async with session.post(token_endpoint, data=form, headers=headers, allow_redirects=False) as response:
            answer = _answer(response.status, await response.text())
        token = str(answer.members["access_token"])
        return HeldToken(peek(token).claims, token)
    except (ClientError, TimeoutError, OSError, ValueError):
        raise StageError(f"no answer from {_origin(token_endpoint)}") from None
    except (KeyError, JWTError):
        raise StageError(f"the authorization server gives {client_id} no token for {audience}") from None


class Caller:
    """One program of one person, in front of one gateway."""

    def __init__(
        self, session: ClientSession, *, client_id: str, secret: str, token_endpoint: str, gateway: str
    ) -> None:
        self._session = session
        self._client_id = client_id
        self._secret = secret
        self._token_endpoint = token_endpoint
        self._gateway = gateway
        self._tokens: dict[str, HeldToken] = {}

    async def token(self, audience: str) -> HeldToken:
        """Return the token for an audience, the same one every time. StageError: there is none to be had."""
        if audience not in self._tokens:
            self._tokens[audience] = await client_credentials(
                self._session, self._token_endpoint, self._client_id, self._secret, audience
            )
        return self._tokens[audience]

    async def get(self, target: str, token: HeldToken) -> Answer:
        """Ask the gateway. StageError: it does not answer."""
        return await get(self._session, self._gateway + target, token)


def _answer(status: int, text: str) -> Answer:
    try:
        members = json.loads(text)
    except ValueError:
        members = None
    return Answer(status, members if isinstance(members, dict) else {}, text)


def _origin(url: str) -> str:
    return str(URL(url).origin())
