"""An authorization server that is one object: it answers token requests as a test wants and counts them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from sidecar.exchange.ask import Asker
from sidecar.exchange.dialects import Dialect
from sidecar.exchange.grants import GRANTS
from sidecar.exchange.plan import IssuedKeys, Plan
from sidecar.exchange.schedule import Lifetimes
from sidecar.exchange.workload.source import WorkloadSource
from sidecar.model.route import Route
from sidecar.oauth.introspection import Introspection
from sidecar.oauth.server import AuthorizationServer, ErrorReply, TokenReply
from tests.support.clock import FakeClock
from tests.support.values import route

Answer = dict[str, Any] | ErrorReply | Exception
Form = dict[str, str]


def token_for(subject_token: str) -> str:
    """The opaque token that is issued for a subject token: whose it is can be told."""
    return f"issued-for-{subject_token}"


def granted(form: Form, **changes: Any) -> dict[str, Any]:
    """A good reply: an opaque token, good for 300 seconds. A member that is None is left out."""
    members = {
        "access_token": token_for(form["subject_token"]),
        "token_type": "Bearer",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "expires_in": 300,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not None}


class FakeServer:
    """The answers are what ``answer`` makes of the form; while ``gate`` is not set, nobody is answered.

    latency: seconds that pass on the clock while it answers. ready: as of ``AuthorizationServer``.
    """

    name = "corp"
    max_in_flight = 64

    def __init__(self, time: FakeClock) -> None:
        self.answer: Callable[[Form], Answer] = granted
        self.asked: list[Form] = []
        self.keys: list[bytes] = []
        self.asked_at: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.latency = 0.0
        self.ready = True
        self.under_way = 0
        self._time = time

    async def token_request(self, pairs: Sequence[tuple[str, str]], key: bytes) -> TokenReply | ErrorReply:
        """Count, wait at the gate, answer."""
        form = dict(pairs)
        self.asked.append(form)
        self.keys.append(key)
        self.asked_at.append(self._time.monotonic)
        sent, sent_wall = self._time.monotonic, self._time.wall
        self.under_way += 1
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        self._time.advance(self.latency)
        answer = self.answer(form)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, ErrorReply) else TokenReply(answer, sent, sent_wall)


def plan(
    server: object,
    serves: Route | None = None,
    *,
    subject: WorkloadSource | None = None,
    actor: WorkloadSource | None = None,
    lifetimes: Lifetimes | None = None,
    issued_keys: dict[str, IssuedKeys] | None = None,
    dialect: Dialect | None = None,
    introspection: Introspection | None = None,
) -> Plan:
    """Return the plan of a route whose exchanges this server is asked for."""
    serves = serves or route()
    if serves.exchange is None:
        raise ValueError("this route exchanges nothing")
    speaks = dialect or Dialect()
    asker = Asker(
        serves.exchange,
        GRANTS[speaks.grant],
        server=serves.exchange.authorization_server,
        endpoint="https://as/token",
        client_id="gateway",
        extra_params={},
    )
    return Plan(
        route=serves,
        exchange=serves.exchange,
        server=cast(AuthorizationServer, server),
        dialect=speaks,
        asker=asker,
        subject=subject,
        actor=actor,
        client={"iss": "https://issuer.example", "sub": "gateway", "client_id": "gateway"},
        lifetimes=lifetimes or Lifetimes(),
        issued_keys=issued_keys or {},
        introspection=introspection,
    )
