"""A refusal as a response: status, header fields and body. The one place where that is decided.

Problem details are RFC 9457's, challenges RFC 6750 §3's and RFC 9470 §3's. Only constant text is shown, and the scopes
and the login that are demanded; a refusal's ``finding`` never is. Refusals may come as a flood, so all but the
request's own id is kept.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from sidecar.faces.forward import SWITCHING
from sidecar.faces.responses import Headers, OwnResponse
from sidecar.model.refusal import Kind, Oversize, Refusal, StepUp
from sidecar.wire.handshake import VERSION

PROBLEM_TYPE: Final = "urn:token-exchange-sidecar:problem:"
CONTENT_TYPE: Final = b"application/problem+json"
REALM: Final = "token-exchange-sidecar"
MAX_RETRY_AFTER: Final = 3600


@dataclass(frozen=True, slots=True)
class Row:
    """How one kind is shown.

    error: the OAuth code for the body. registered: RFC 6750 or RFC 9470 registers it, so that it may stand in a
    challenge too.
    """

    status: int
    title: str
    error: str | None = None
    registered: bool = False


KINDS: Final[Mapping[Kind, Row]] = {
    Kind.INVALID_REQUEST: Row(400, "Invalid request", "invalid_request", registered=True),
    Kind.MISSING_TOKEN: Row(401, "A token is required"),
    Kind.INVALID_TOKEN: Row(401, "The token is not accepted", "invalid_token", registered=True),
    Kind.STEP_UP_REQUIRED: Row(
        401, "A stronger login is required", "insufficient_user_authentication", registered=True
    ),
    Kind.INSUFFICIENT_SCOPE: Row(403, "The token's scope is not enough", "insufficient_scope", registered=True),
    Kind.POLICY_DENIED: Row(403, "Not allowed by this gateway", "access_denied"),
    Kind.APPROVAL_DENIED: Row(403, "Not approved", "access_denied"),
    Kind.EXCHANGE_DENIED: Row(403, "Not allowed by the authorization server", "access_denied"),
    Kind.NO_ROUTE: Row(404, "No such route"),
    Kind.TOO_LARGE: Row(413, "Too large"),
    Kind.REQUEST_TIMEOUT: Row(408, "The request took too long to arrive"),
    Kind.EXPECTATION_FAILED: Row(417, "Expectation not understood"),
    Kind.UPGRADE_REQUIRED: Row(426, "Another version of WebSocket is required"),
    Kind.VERSION_NOT_SUPPORTED: Row(505, "HTTP version not supported"),
    Kind.NOT_SUPPORTED: Row(501, "Not supported"),
    Kind.EXCHANGE_MISCONFIGURED: Row(502, "The token exchange is misconfigured"),
    Kind.EXCHANGE_UNUSABLE: Row(502, "The token exchange gave nothing usable"),
    Kind.ISSUED_TOKEN_REFUSED: Row(502, "The upstream does not accept the issued token"),
    Kind.LEAK_GUARD: Row(502, "Stopped to protect the caller's token"),
    Kind.UPSTREAM_UNAVAILABLE: Row(502, "The upstream can't be reached"),
    Kind.EXCHANGE_UNAVAILABLE: Row(503, "The token exchange is unavailable"),
    Kind.ISSUER_UNAVAILABLE: Row(503, "The token can't be checked at present"),
    Kind.APPROVAL_UNAVAILABLE: Row(503, "The request can't be approved at present"),
    Kind.OVERLOADED: Row(503, "Overloaded"),
    Kind.UPSTREAM_TIMEOUT: Row(504, "The upstream did not answer in time"),
    Kind.EXCHANGE_TIMEOUT: Row(504, "The token exchange did not end in time"),
    Kind.LOOP: Row(508, "The request came back to this gateway"),
}

OVERSIZE: Final[Mapping[Oversize, int]] = {Oversize.BODY: 413, Oversize.TARGET: 414, Oversize.HEADERS: 431}

#: RFC 6749 §3.3; a scope, or an acr value, that is none can't be quoted in a challenge.
_WORD: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def problem(refusal: Refusal, request_id: str, resource_metadata: str = "") -> OwnResponse:
    """Return the response for a refusal. resource_metadata: the URL where its route's is, for challenges (RFC 9728)."""
    status, headers, beginning = _constant(
        refusal.kind, refusal.reason, refusal.oversize, refusal.scope, refusal.step_up, resource_metadata
    )
    if status == 503:
        headers = (*headers, (b"Retry-After", b"%d" % _retry_after(refusal.retry_after)))
    return OwnResponse(status, headers, b'%b,"request_id":%b}' % (beginning, json.dumps(request_id).encode("ascii")))


def status_problem(status: HTTPStatus, detail: str) -> OwnResponse:
    """Return the response for a status that is no refusal's, as on the admin listener (RFC 9457 §4.2.1)."""
    members = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return OwnResponse(status.value, _headers(), _json(members))


@lru_cache(maxsize=512)
def _constant(
    kind: Kind,
    reason: str,
    oversize: Oversize | None,
    scope: tuple[str, ...],
    step_up: StepUp | None,
    resource_metadata: str,
) -> tuple[int, Headers, bytes]:
    """What does not differ from request to request: status, header fields, the body up to the request's id."""
    row = KINDS[kind]
    status = row.status if oversize is None else OVERSIZE[oversize]
    members: dict[str, object] = {
        "type": f"{PROBLEM_TYPE}{kind.value}",
        "title": row.title,
        "status": status,
        "detail": reason,
    }
    if row.error is not None:
        members["error"] = row.error
    challenged = status in (401, 403)
    headers = _headers(_challenge(row, scope, step_up or StepUp(), resource_metadata) if challenged else None)
    if status == 426:
        headers = (*headers, *SWITCHING, (b"Sec-WebSocket-Version", VERSION))  # RFC 9110 §15.5.22, RFC 6455 §4.4
    return status, headers, _json(members)[:-1]


def _challenge(row: Row, scope: tuple[str, ...], step_up: StepUp, resource_metadata: str) -> str:
    """A challenge (RFC 6750 §3, RFC 9470 §3, RFC 9728 §5.1). Codes that nobody registered stay in the body."""
    parameters = {"realm": REALM}
    if row.error is not None and row.registered:
        parameters["error"] = row.error
    if row.error == "insufficient_scope":
        parameters["scope"] = _words(scope)
    parameters["acr_values"] = _words(step_up.acr_values)
    parameters["max_age"] = str(step_up.max_age) if step_up.max_age is not None else ""
    parameters["resource_metadata"] = resource_metadata
    if step_up.claims is not None:
        # Entra's clients look for this code, and for no other, beside the claims.
        parameters |= {"error": "insufficient_claims", "claims": step_up.claims}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)


def _words(values: tuple[str, ...]) -> str:
    return " ".join(value for value in values if _WORD.fullmatch(value))


def _headers(challenge: str | None = None) -> Headers:
    headers = ((b"Content-Type", CONTENT_TYPE), (b"Cache-Control", b"no-store"))
    return headers if challenge is None else (*headers, (b"WWW-Authenticate", challenge.encode("ascii")))


def _retry_after(seconds: float | None) -> int:
    """Whole seconds (RFC 9110 §10.2.3): rounded up, at least 1, at most an hour."""
    return 1 if seconds is None else math.ceil(min(max(seconds, 1), MAX_RETRY_AFTER))


def _json(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode("ascii")
