"""Answers who asks what token a route takes (RFC 9728 §3): public documents, served before any route is looked for."""

from typing import Final

from sidecar.faces.responses import Headers, OwnResponse
from sidecar.model.request import RequestHead
from sidecar.model.resource_metadata import WELL_KNOWN
from sidecar.model.route import Route
from sidecar.snapshot import Snapshot

#: Whoever has it may keep it a while: a change of the configuration is no matter of seconds.
MAX_AGE: Final = 300
_PREFIX: Final = WELL_KNOWN.encode()
#: Pages of any origin may read it: it holds nothing but what everybody is told, and needs no credential.
_OPEN: Final[Headers] = ((b"Access-Control-Allow-Origin", b"*"),)
_METHODS: Final = b"GET, HEAD, OPTIONS"


def resource_metadata(request: RequestHead, snapshot: Snapshot) -> OwnResponse | None:
    """Return the document that is asked for; None where none is served at this place."""
    if not request.path.startswith(_PREFIX):
        return None
    by_host = snapshot.documents.get((request.listener, request.path), {})
    document = by_host.get(request.host) or by_host.get("")
    if document is None:
        return None
    if request.method == "OPTIONS":
        allowed = ((b"Access-Control-Allow-Methods", _METHODS), (b"Access-Control-Allow-Headers", b"*"))
        return OwnResponse(204, ((b"Allow", _METHODS), *_OPEN, *allowed), b"")
    if request.method not in ("GET", "HEAD"):
        return OwnResponse(405, ((b"Allow", _METHODS), (b"Cache-Control", b"no-store"), *_OPEN), b"")
    headers = (
        (b"Content-Type", b"application/json"),
        (b"Cache-Control", b"public, max-age=%d" % MAX_AGE),
        *_OPEN,
    )
    return OwnResponse(200, headers, document.document)


def told_by(route: Route | None) -> str:
    """Return the URL of a route's metadata, for its challenges; empty where there is none."""
    return "" if route is None or route.resource_metadata is None else route.resource_metadata.url
