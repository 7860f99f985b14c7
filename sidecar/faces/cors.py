"""What browsers ask before a page of another origin may call a route: CORS, as the Fetch standard has it (§3.3).

Pure. Pages present bearer tokens themselves, so the mode with credentials is never allowed and ``*`` lends nobody a
cookie. Whether a route answers preflights at all is ``decide``'s.
"""

import re
from typing import Final

from sidecar.faces.responses import OwnResponse
from sidecar.model.request import Fields, RequestHead
from sidecar.model.route import ANY_ORIGIN, Cors, Route
from sidecar.routing.conditions import matched_method, methods_of
from sidecar.wire.grammar import TOKEN

_READABLE: Final = (b"Access-Control-Expose-Headers", b"WWW-Authenticate, X-Request-ID, Retry-After")
_VARY: Final = (b"Vary", b"Origin")
_VARY_PREFLIGHT: Final = (b"Vary", b"Access-Control-Request-Method, Access-Control-Request-Headers")
_NAMES: Final = re.compile(rb"%b(?:[ \t]*,[ \t]*%b)*" % (TOKEN.pattern, TOKEN.pattern))


def opened(cors: Cors, request: RequestHead) -> Fields:
    """Return the fields by which the page that asked may read a response, where its origin is listed."""
    vary = () if ANY_ORIGIN in cors.origins else (_VARY,)
    return (*vary, *_allowed_origin(cors, request, _READABLE))


def preflight_answer(route: Route, cors: Cors, request: RequestHead) -> OwnResponse:
    """Return the answer to a preflight whose origin is listed: what a page may send to this route.

    Any field may be sent, since none changes what is decided here but the token's own.
    """
    methods = methods_of(route.match) or {matched_method(request)}
    allowed = [(b"Access-Control-Allow-Methods", ", ".join(sorted(methods)).encode())]
    asked = request.values(b"access-control-request-headers")
    if len(asked) == 1 and _NAMES.fullmatch(asked[0]):
        allowed.append((b"Access-Control-Allow-Headers", asked[0]))
    allowed.append((b"Access-Control-Max-Age", b"%d" % cors.max_age))
    vary = () if ANY_ORIGIN in cors.origins else (_VARY,)
    return OwnResponse(204, (*vary, _VARY_PREFLIGHT, *_allowed_origin(cors, request, *allowed)), b"")


def _allowed_origin(cors: Cors, request: RequestHead, *more: tuple[bytes, bytes]) -> Fields:
    """The field that names the origin, and more beside it; nothing where the origin is not listed."""
    if not cors.allows(request.values(b"origin")):
        return ()
    origin = b"*" if ANY_ORIGIN in cors.origins else request.values(b"origin")[0]
    return ((b"Access-Control-Allow-Origin", origin), *more)
