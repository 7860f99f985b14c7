"""Watches one exchange from where its plan calls the server: what came back, and how long each part took."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from sidecar.exchange.plan import Plan
from sidecar.model.route import Expect
from sidecar.oauth.server import AuthorizationServer, ErrorReply, TokenReply


class Watch:
    """Stands in for a plan's server, of which only ``token_request`` is called: keeps the answer and the times.

    Its wall clock is read when a form is sent, and not before: that is where discovery ends. timings: seconds.
    """

    def __init__(self) -> None:
        self.answer: TokenReply | ErrorReply | None = None
        self.timings: dict[str, float] = {}
        self.ended = 0.0
        self._looks: list[float] = []

    @property
    def error(self) -> ErrorReply | None:
        """The answer, where it was an error."""
        return self.answer if isinstance(self.answer, ErrorReply) else None

    def wall(self) -> float:
        self._looks.append(time.monotonic())
        return time.time()

    def over(self, plan: Plan) -> Plan:
        """Return the plan with its server watched; what the route expects is left to be judged afterwards."""
        self._server = plan.server
        exchange = replace(plan.exchange, expect=Expect(same_subject=False))
        return replace(plan, exchange=exchange, server=cast(AuthorizationServer, self))

    async def token_request(self, pairs: Sequence[tuple[str, str]], key: bytes) -> TokenReply | ErrorReply:
        began = time.monotonic()
        self._looks.clear()
        try:
            self.answer = await self._server.token_request(pairs, key)
            return self.answer
        finally:
            self.ended = time.monotonic()
            sent = self._looks[0] if self._looks else self.ended
            self.timings |= {"discovery": sent - began, "exchange": self.ended - sent}
