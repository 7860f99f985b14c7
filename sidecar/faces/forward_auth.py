"""The decision listener: a proxy asks about a request that it holds, and forwards it itself, with the token we answer.

Everything up to the decision is the gateway's. Here a decision becomes the header fields that the proxy has to set and
to remove, never a token that came in. The proxy forwards only on 200: that is what it must be configured for.
"""

from functools import lru_cache
from typing import Final

from sidecar.faces.forward import credential_field
from sidecar.faces.gateway import Gateway, Passage
from sidecar.faces.responses import OwnResponse
from sidecar.inbound.named import named
from sidecar.model.decision import Decision
from sidecar.model.listener import Form
from sidecar.model.refusal import Kind, refuse
from sidecar.model.request import RequestHead
from sidecar.wire.fields import CREDENTIALS

#: Understood by Envoy alone; the others have to be told by their own configuration what to remove.
REMOVE: Final = b"x-envoy-auth-headers-to-remove"


class ForwardAuth(Gateway):
    """Answers what proxies ask. Its limits are the gateway's, and counted for itself."""

    def _accept(self, passage: Passage) -> RequestHead:
        passage.question = super()._accept(passage)
        return named(passage.question, passage.listener, passage.snapshot.guarded)

    def _body(self, passage: Passage) -> None:  # noqa: ARG002 - the proxy has the body, and shows none of it
        return None

    async def _go_on(self, passage: Passage, request: RequestHead, decision: Decision) -> OwnResponse:
        route = self._authorized(decision)
        _only_what_can_be_held_back(request, decision, passage.listener.form)
        grant, fields = decision.grant, [(b"X-Sidecar-Route", route.name.encode()), (b"Cache-Control", b"no-store")]
        if grant is not None:
            fields.append(credential_field(route, grant))
            if any(needle in fields[-1][1] for needle in decision.left_behind):
                raise refuse(Kind.LEAK_GUARD, "The caller's token was about to leave.")
        given = route.upstream.token_header if grant is not None else b""
        others = {b"cookie"} if decision.preflight or route.upstream.drop_cookies else set()
        if route.approval is not None and route.approval.reason_header is not None:
            others.add(route.approval.reason_header.encode())
        fields.append((REMOVE, _removed(passage.snapshot.credentials, given, frozenset(others))))
        duration = self._now() - passage.began
        waited = grant.waited if grant is not None else 0.0
        self._journal.metrics.route(route.name).overhead.observe(duration - waited)
        self._journal.used(request, decision, None, duration)
        return OwnResponse(200, tuple(fields), b"")


def _only_what_can_be_held_back(request: RequestHead, decision: Decision, form: Form | None) -> None:
    """Refuse what a gateway would take out of a request, and no answer has a proxy take out."""
    if request.values(b"upgrade") and not decision.websocket:
        raise refuse(Kind.NOT_SUPPORTED, "The upgrade is not supported.")
    if decision.preflight and form is not Form.ENVOY and request.values(b"cookie"):
        raise refuse(Kind.INVALID_REQUEST, "A preflight has no cookies.")


@lru_cache(maxsize=64)
def _removed(credentials: frozenset[bytes], given: bytes, others: frozenset[bytes]) -> bytes:
    """The fields that must not go on: wherever a credential may stand, but for the one that is set, and others."""
    return b",".join(sorted((CREDENTIALS | credentials) - {given.lower()} | others))
