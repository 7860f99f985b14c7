"""What a protected resource says of itself (RFC 9728): where its tokens come from, and where it says so.

Pure. Which routes have such metadata, and whether it is true of them, is for ``snapshot``; who is answered with it for
``faces``.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

#: RFC 9728 §3: put between the host of a resource identifier and its path.
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """The metadata of one route.

    resource: its identifier, an absolute URL without query. authorization_servers: identifiers of the issuers whose
    tokens it takes. scopes: those that callers may need.
    host: the identifier's, lower-case, without port. path: the identifier's, at least ``/``.
    url, place: where the document is, as a whole and as a request's path. document: JSON.
    """

    resource: str
    authorization_servers: tuple[str, ...]
    scopes: tuple[str, ...]
    host: str = field(init=False)
    path: str = field(init=False)
    url: str = field(init=False)
    place: bytes = field(init=False)
    document: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        split = urlsplit(self.resource)
        place = WELL_KNOWN + (split.path if split.path != "/" else "")
        known = {
            "host": (split.hostname or "").lower(),
            "path": split.path or "/",
            "url": f"{split.scheme}://{split.netloc}{place}",
            "place": place.encode("ascii"),
            "document": _document(self.resource, self.authorization_servers, self.scopes),
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)


def _document(resource: str, authorization_servers: Iterable[str], scopes: Iterable[str]) -> bytes:
    members: dict[str, object] = {
        "resource": resource,
        "authorization_servers": list(authorization_servers),
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
    }
    # RFC 9728 §3.2: a member without values is left out.
    return json.dumps({name: value for name, value in members.items() if value}, separators=(",", ":")).encode("ascii")
