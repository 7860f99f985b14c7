"""Routes and requests for tests: everything that matching does not look at has one fixed value."""

from sidecar.model.request import Fields, RequestHead
from sidecar.model.route import Match, PathRelaxation, Route, SubjectPolicy, Upstream

_UPSTREAM = Upstream(
    host="127.0.0.1",
    port=9000,
    unix_path=None,
    base_path=b"",
    host_header=b"127.0.0.1:9000",
    tls=None,
    strip_prefix=b"",
)
ALL = frozenset(PathRelaxation)


def route(
    name: str,
    *,
    path: str | None = None,
    prefix: str | None = None,
    hosts: tuple[str, ...] = (),
    methods: tuple[str, ...] = (),
    headers: tuple[tuple[bytes, bytes], ...] = (),
    allow: frozenset[PathRelaxation] = frozenset(),
    listener: str = "default",
) -> Route:
    match = Match(hosts, path, prefix, frozenset(methods), headers, allow)
    return Route(name, listener, match, _UPSTREAM, SubjectPolicy(frozenset({"corp"})), None)


def request(
    path: bytes = b"/",
    *,
    method: str = "GET",
    host: str = "api.example.com",
    fields: Fields = (),
    listener: str = "default",
) -> RequestHead:
    return RequestHead(
        listener=listener,
        method=method,
        path=path,
        query=None,
        host=host,
        authority=host.encode(),
        fields=fields,
        version=(1, 1),
        scheme="http",
        peer="127.0.0.1",
        content_length=None,
        chunked=False,
        expects_continue=False,
        request_id="r",
    )
