"""Compiles ``resource_metadata`` of routes, and holds it against what the routes really ask for (RFC 9728 §2, §3).

A document that is wrong sends callers to the wrong server, or for a token that is then refused; so every flaw is an
error of the file.
"""

from collections.abc import Iterator, Mapping, Sequence

from sidecar.config.schema import Config
from sidecar.config.schema import Route as RouteSection
from sidecar.model.resource_metadata import ResourceMetadata
from sidecar.model.route import Route
from sidecar.routing.conditions import host_patterns, path_pattern, segments_of, takes_host

#: By listener and path, and then by host; an empty one stands for every host.
Documents = Mapping[tuple[str, bytes], Mapping[str, ResourceMetadata]]


def resource_metadata_of(config: Config, section: RouteSection) -> ResourceMetadata | None:
    """Return what a route says of itself, true or not; None where it says nothing."""
    said = section.resource_metadata
    if said is None:
        return None
    issuers = dict.fromkeys(config.issuer_of(config.trusted_issuers[name]) for name in config.issuers_of(section))
    scopes = section.subject.require_scope if said.scopes_supported is None else said.scopes_supported
    return ResourceMetadata(said.resource, tuple(filter(None, issuers)), scopes)


def documents_of(routes: Sequence[Route]) -> Documents:
    """Return the documents of routes without flaws, by where they are served."""
    documents: dict[tuple[str, bytes], dict[str, ResourceMetadata]] = {}
    for route in routes:
        if (metadata := route.resource_metadata) is not None:
            host = metadata.host if route.match.hosts else ""
            documents.setdefault((route.listener, metadata.place), {})[host] = metadata
    return documents


def flaws(routes: Sequence[Route]) -> Iterator[tuple[int, str, str]]:
    """Return what is wrong: the route's number, a key of ``resource_metadata`` or none, and why."""
    served: dict[tuple[str, bytes, str], tuple[str, ResourceMetadata]] = {}
    for number, route in enumerate(routes):
        if (metadata := route.resource_metadata) is None:
            continue
        yield from ((number, key, why) for key, why in _flaws(route, metadata))
        place = route.listener, metadata.place, metadata.host if route.match.hosts else ""
        other, known = served.setdefault(place, (route.name, metadata))
        if known != metadata:
            yield number, "resource", f"route {other} says something else of itself at the same place"


def _flaws(route: Route, metadata: ResourceMetadata) -> Iterator[tuple[str, str]]:
    if not route.takes_token:
        yield "", "has no effect on a route that asks for no caller's token"
        return
    if not metadata.authorization_servers:
        yield "", "needs a trusted issuer with an issuer: its tokens are what callers are told to get"
    if route.subject.header != "authorization":
        yield "", "says that the token goes into Authorization, and subject.header is another field"
    if missing := [scope for scope in route.subject.require_scope if scope not in metadata.scopes]:
        yield "scopes_supported", f"lacks {', '.join(missing)} of subject.require_scope"
    if not any(takes_host(pattern, metadata.host) for pattern in host_patterns(route.match)):
        yield "resource", "its host is none of match.hosts"
    if not path_pattern(route.match).takes(segments_of(metadata.path.encode("ascii"))):
        yield "resource", "its path is none that the route takes"
