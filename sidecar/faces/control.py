"""The control socket: what an operator on this machine has the gateway do, JSON over HTTP on a unix socket.

The socket's mode is 0600; whoever connects must also be this process' user or root, as the kernel says, which a mode
that was changed does not change. ``POST /flush`` is all there is.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from sidecar.faces.problems import problem, status_problem
from sidecar.faces.responses import OwnResponse, written
from sidecar.inbound.accept import accept
from sidecar.inbound.server import ClientGone, Incoming
from sidecar.model.flush import Flushed
from sidecar.model.listener import CONTROL, Direction, Listener
from sidecar.model.refusal import Kind, Refusal, Refused, refuse
from sidecar.model.request import RequestHead

LISTENER: Final = Listener(CONTROL, Direction.INGRESS, "http", max_header_bytes=16 * 1024)
MOST: Final = 16 * 1024  # bytes of a request's body
PATIENCE: Final = 5.0  # seconds for the next bytes of it
_UNREADABLE: Final = (
    'The body must be one of {"subject": [ISSUER, SUB]}, {"issuer": …}, {"route": …}, {"server": …} and {"all": true}.'
)


class UnknownName(Exception):
    """The configuration in use has nothing of this name; the message says of what kind, and is constant."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What is to be forgotten, as people name it: one of these; none is everything.

    subject: an issuer and a ``sub``. An issuer is given by its name in the file, or by its ``iss``.
    """

    subject: tuple[str, str] | None = None
    issuer: str | None = None
    route: str | None = None
    server: str | None = None


class Controlled(Protocol):
    """Who does what is asked here."""

    def flush(self, meant: Meant, request_id: str) -> Flushed:
        """Forget what is meant, put that on record, and say how much it was. UnknownName: nothing was forgotten."""


class Control:
    """Answers on the control socket."""

    def __init__(self, controlled: Controlled) -> None:
        self._controlled = controlled

    async def serve(self, incoming: Incoming) -> Incoming:
        """Answer one request."""
        request: RequestHead | None = None
        try:
            request = accept(incoming.message, LISTENER, peer=incoming.peer, guarded=frozenset(), own_via=None)
            answer = await self._answer(request, incoming)
        except Refused as refused:
            answer = problem(refused.refusal, "")
            incoming.keep_open = False
        except ClientGone:
            return incoming
        with suppress(ClientGone):
            incoming.write(written(answer, request, keep_open=incoming.keep_open and incoming.complete))
        return incoming

    def malformed(self, refusal: Refusal) -> bytes:
        """Return the whole response for a request that could not be parsed."""
        return written(problem(refusal, ""), None, keep_open=False)

    async def _answer(self, request: RequestHead, incoming: Incoming) -> OwnResponse:
        if incoming.peer_user not in (0, os.geteuid()):
            return status_problem(HTTPStatus.FORBIDDEN, "Only for root and the gateway's own user.")
        if request.path != b"/flush":
            return status_problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if request.method != "POST":
            return status_problem(HTTPStatus.METHOD_NOT_ALLOWED, "This takes a POST.")
        meant = _meant(await _body(incoming))
        if meant is None:
            return status_problem(HTTPStatus.BAD_REQUEST, _UNREADABLE)
        try:
            flushed = self._controlled.flush(meant, request.request_id)
        except UnknownName as error:
            return status_problem(HTTPStatus.NOT_FOUND, str(error))
        body = json.dumps({"dropped": asdict(flushed)}).encode()
        return OwnResponse(200, ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")), body)


async def _body(incoming: Incoming) -> bytes:
    """The request's body. Refused: it is too large, malformed, or does not come."""
    body = b""
    try:
        while piece := await incoming.read(PATIENCE):
            body += piece
            if len(body) > MOST:
                raise refuse(Kind.TOO_LARGE, "The body is too large.", close=True)
    except TimeoutError:
        raise refuse(Kind.REQUEST_TIMEOUT, "The request's body stalled.", close=True) from None
    return body


def _meant(body: bytes) -> Meant | None:
    """What a body means; None where it is not exactly one of those there are."""
    try:
        asked = json.loads(body, object_pairs_hook=_strictly)
    except (ValueError, RecursionError):
        return None
    match asked:
        case {"all": True, **rest} if not rest:
            return Meant()
        case {"subject": [str(issuer), str(sub)], **rest} if not rest:
            return Meant(subject=(issuer, sub))
        case {"issuer": str(issuer), **rest} if not rest:
            return Meant(issuer=issuer)
        case {"route": str(route), **rest} if not rest:
            return Meant(route=route)
        case {"server": str(server), **rest} if not rest:
            return Meant(server=server)
        case _:
            return None


def _strictly(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found
