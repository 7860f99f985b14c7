import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.request import Fields, RequestHead
from sidecar.model.route import Match, PathRelaxation, Route
from sidecar.routing.precedence import conflicts, rank
from sidecar.routing.table import LONGEST_REMEMBERED, REMEMBERED, Table
from tests.routing.builders import ALL, request, route


def serve(table: Table, head: RequestHead) -> str:
    """The name of the route that serves a request, or the kind of the refusal."""
    try:
        return table.match(head).name
    except Refused as refused:
        return refused.refusal.kind


def refusal(table: Table, head: RequestHead) -> Refusal:
    with pytest.raises(Refused) as caught:
        table.match(head)
    return caught.value.refusal


TABLE_ROUTES = [
    route("exact", path="/orders/admin"),
    route("orders", prefix="/orders"),
    route("item", path="/orders/{id}/items"),
    route("post", prefix="/post", methods=("POST",)),
    route("get", prefix="/get", methods=("GET",)),
    route("tool", path="/mcp", headers=((b"mcp-name", b"search"),)),
    route("host", prefix="/", hosts=("*.example.org",)),
    route("out", prefix="/", listener="egress"),
]
TABLE = Table(TABLE_ROUTES)


@pytest.mark.parametrize(
    ("path", "served"),
    [
        (b"/orders", "orders"),
        (b"/orders/", "orders"),
        (b"/orders/x", "orders"),
        (b"/ordersx", Kind.NO_ROUTE),
        (b"/Orders", Kind.NO_ROUTE),
        (b"/", Kind.NO_ROUTE),
        (b"/orders/admin", "exact"),
        (b"/orders/%61dmin", "exact"),
        (b"/%6frders/%61dmin", "exact"),
        (b"/orders/admin/", "orders"),
        (b"/orders/ADMIN", "orders"),
        (b"/orders/1/items", "item"),
        (b"/orders/1/items/", "orders"),
        (b"/orders/caf%c3%a9/items", "item"),
        (b"/orders/%2561dmin", "orders"),
    ],
)
def test_paths(path: bytes, served: str) -> None:
    assert serve(TABLE, request(path)) == served


@pytest.mark.parametrize(
    ("method", "path", "served"),
    [
        ("POST", b"/post", "post"),
        ("GET", b"/post", Kind.NO_ROUTE),
        ("post", b"/post", Kind.NO_ROUTE),
        ("HEAD", b"/get", "get"),
        ("OPTIONS", b"/get", Kind.NO_ROUTE),
        ("BREW", b"/orders", "orders"),
        ("OPTIONS", b"/orders", "orders"),
        ("CONNECT", b"/orders", Kind.NO_ROUTE),
        ("TRACE", b"/orders", Kind.NO_ROUTE),
    ],
)
@pytest.mark.threat("S28")
def test_methods(method: str, path: bytes, served: str) -> None:
    assert serve(TABLE, request(path, method=method)) == served


def test_a_preflight_is_matched_by_the_method_it_asks_for_alone() -> None:
    table = Table([route("put", path="/a", methods=("PUT",)), route("options", path="/a", methods=("OPTIONS",))])

    def preflight(method: bytes) -> RequestHead:
        fields = ((b"Origin", b"https://app.example"), (b"Access-Control-Request-Method", method))
        return request(b"/a", method="OPTIONS", fields=fields)

    assert serve(table, preflight(b"PUT")) == "put"
    assert serve(table, preflight(b"DELETE")) == Kind.NO_ROUTE
    assert serve(table, preflight(b"CONNECT")) == Kind.NO_ROUTE
    assert serve(table, request(b"/a", method="OPTIONS")) == "options"


def test_header_fields() -> None:
    tool = (b"Mcp-Name", b"search")
    assert serve(TABLE, request(b"/mcp", fields=(tool,))) == "tool"
    for fields in ((), (tool, tool), ((b"Mcp-Name", b"Search"),)):
        assert serve(TABLE, request(b"/mcp", fields=fields)) == Kind.NO_ROUTE


def test_hosts_and_listeners() -> None:
    assert serve(TABLE, request(b"/x", host="a.example.org")) == "host"
    assert serve(TABLE, request(b"/orders", host="a.example.org")) == "host"
    assert serve(TABLE, request(b"/orders", host="example.org")) == "orders"
    assert serve(TABLE, request(b"/orders", host="")) == "orders"
    assert serve(TABLE, request(b"/orders", listener="egress")) == "out"
    assert serve(TABLE, request(b"/orders", listener="unknown")) == Kind.NO_ROUTE


@pytest.mark.threat("S22")
def test_no_other_header_or_the_query_changes_the_route() -> None:
    names = (
        *(
            b"X-Original-URL",
            b"X-Original-URI",
            b"X-Rewrite-URL",
            b"X-Forwarded-Host",
            b"X-Forwarded-Uri",
            b"Forwarded",
        ),
        *(
            b"X-Forwarded-Path",
            b"X-Forwarded-Prefix",
            b"X-Forwarded-Method",
            b"X-HTTP-Method-Override",
            b"X-Host",
            b"Host",
        ),
        *(b"X-Http-Method", b"X-Envoy-Original-Path", b"X-Method-Override"),
    )
    for value in (b"/orders/admin", b"a.example.org", b"POST", b"host=a.example.org"):
        fields: Fields = tuple((name, value) for name in names)
        assert serve(TABLE, request(b"/orders/x", fields=fields)) == "orders"


@pytest.mark.parametrize(
    "path", [b"/orders/../x", b"/orders/%2e%2e;/x", b"/orders/%5c", b"/orders/%00", b"/%zz", b"/\\", b"x"]
)
@pytest.mark.threat("S20")
def test_paths_that_may_not_be_matched(path: bytes) -> None:
    for table in (TABLE, Table([]), Table([route("all", prefix="/", allow=ALL)])):
        found = refusal(table, request(path))
        assert found.kind == Kind.INVALID_REQUEST
        assert found.reason.startswith("Bad request: the path has ")


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        (b"/orders/a%2fb", "encoded-slash"),
        (b"/orders//b", "empty-segment"),
        (b"/orders/a;b", "path-parameters"),
        (b"/orders/a%3Bb", "path-parameters"),
        (b"/orders/;b/c", "empty-segment, path-parameters"),
        (b"/nowhere/a%2fb", "encoded-slash"),
    ],
)
def test_features_that_the_winner_does_not_allow(path: bytes, needed: str) -> None:
    found = refusal(TABLE, request(path))
    assert found.kind == Kind.INVALID_REQUEST
    assert found.finding == f"match.allow: [{needed}] of the route would let it through"


def test_what_the_winner_allows_counts_and_no_other_route() -> None:
    table = Table([route("strict", prefix="/a"), route("relaxed", prefix="/", allow=ALL)])
    assert serve(table, request(b"/a/x;y")) == Kind.INVALID_REQUEST
    assert serve(table, request(b"/b/x;y")) == "relaxed"


def test_features_that_are_allowed_are_ordinary_bytes() -> None:
    table = Table([route("project", path="/projects/{id}/issues", allow=ALL), route("rest", prefix="/", allow=ALL)])
    assert serve(table, request(b"/projects/group%2Fname/issues")) == "project"
    assert serve(table, request(b"/projects/a;v=1/issues")) == "project"
    assert serve(table, request(b"/projects/group/name/issues")) == "rest"
    assert serve(table, request(b"/bucket//key;x%2Fy/")) == "rest"


@pytest.mark.parametrize(
    "path",
    [
        b"//admin",
        b"/admin;x",
        b"/admin%3Bx",
        b"/admin;x/users",
        b"/admin%2Fusers",
        b"/;x/admin",
        b"/%2Fadmin",
        b"/admin;%2F",
    ],
)
def test_what_is_allowed_does_not_get_round_a_route_that_goes_first(path: bytes) -> None:
    table = Table([route("root", prefix="/", allow=ALL), route("admin", prefix="/admin", allow=ALL)])
    found = refusal(table, request(path))
    assert (found.kind, found.reason) == (
        Kind.INVALID_REQUEST,
        "The path can be read as one that another route serves.",
    )
    assert "route admin;" in found.finding
    assert serve(Table([route("root", prefix="/", allow=ALL)]), request(path)) == "root"


def test_a_name_can_not_be_used_to_get_round_a_route_either() -> None:
    table = Table(
        [route("mine", path="/admin"), route("any", path="/{x}", allow=ALL), route("two", path="/{x}/admin", allow=ALL)]
    )
    assert serve(table, request(b"/admin;x")) == Kind.INVALID_REQUEST
    assert serve(table, request(b"/other;x")) == "any"
    assert serve(table, request(b"/;x/admin")) == Kind.INVALID_REQUEST
    assert serve(table, request(b"//admin")) == Kind.INVALID_REQUEST


def test_nothing_of_the_request_is_in_a_refusal() -> None:
    for path in (b"/canary", b"/canary;x", b"/canary%zz", b"/canary/.."):
        found = refusal(TABLE, request(path, host="canary", fields=((b"canary", b"canary"),)))
        assert "canary" not in f"{found!r}"


def test_near_names_the_winner_that_refuses_the_path_first() -> None:
    table = Table([route("root", prefix="/", allow=ALL), route("admin", prefix="/admin"), route("b", prefix="/b")])
    assert table.near(request(b"/admin/x;y")) == [
        (
            table.match(request(b"/admin")),
            "it goes first, but refuses the path: match.allow: [path-parameters] of the route would let it through",
        ),
        (table.match(request(b"/")), "it takes the request too, but admin goes first: its path is more specific"),
        (table.match(request(b"/b")), "the path differs from /b after /"),
    ]
    assert [each.name for each, _ in table.near(request(b"//admin"))] == ["root", "admin", "b"]
    assert len(table.near(request(b"/admin/x;y"), limit=1)) == 1


def test_near_is_empty_for_a_path_that_may_not_be_matched_and_keeps_to_the_listener() -> None:
    assert TABLE.near(request(b"/..")) == []
    assert [each.name for each, _ in TABLE.near(request(b"/a", listener="egress", method="TRACE"))] == ["out"]


# What follows says the same as the table, in the plainest way: look at every route, keep those that fit, sort them.

HOSTS = ["", "h", "a.h", "b.h", "a.b.h", "x"]
X1, X2, Y1 = (b"x", b"1"), (b"x", b"2"), (b"y", b"1")

ROUTES = st.lists(
    st.builds(
        Match,
        st.lists(st.sampled_from(["h", "a.h", "*.h", "*.b.h"]), max_size=2).map(tuple),
        st.none() | st.lists(st.sampled_from(["a", "b", "{x}", "{y}", ""]), min_size=1, max_size=3).map("/".join),
        st.lists(st.sampled_from(["a", "b"]), max_size=3).map("/".join),
        st.frozensets(st.sampled_from(["GET", "HEAD", "PUT", "OPTIONS"]), max_size=2),
        st.lists(st.sampled_from([X1, X2, Y1]), max_size=2).map(tuple),
        st.frozensets(st.sampled_from(PathRelaxation), max_size=3),
    ),
    max_size=12,
)
PREFLIGHT = ((b"Origin", b"o"), (b"Access-Control-Request-Method", b"PUT"))


def heads(segments: st.SearchStrategy[bytes], size: int) -> st.SearchStrategy[RequestHead]:
    return st.builds(
        request,
        st.lists(segments, min_size=1, max_size=size).map(lambda found: b"/" + b"/".join(found)),
        method=st.sampled_from(["GET", "HEAD", "PUT", "OPTIONS", "BREW", "TRACE"]),
        host=st.sampled_from(HOSTS),
        fields=st.lists(st.sampled_from([X1, X2, Y1, *PREFLIGHT]), max_size=4).map(tuple),
    )


def without_conflicts(matches: list[Match]) -> list[Route]:
    routes: list[Route] = []
    for number, match in enumerate(matches):
        made = Match(
            match.hosts,
            None if match.path is None else "/" + match.path,
            "/" + (match.path_prefix or "") if match.path is None else None,
            match.methods,
            match.headers,
            match.allow,
        )
        blank = route(f"r{number}", path="/")
        candidate = Route(blank.name, blank.listener, made, blank.upstream, blank.subject, None)
        if not conflicts([*routes, candidate]):
            routes.append(candidate)
    return routes


def slowly(routes: list[Route], head: RequestHead, path: bytes) -> Route | None:
    """The winner for a path, features or not."""
    fitting = [
        (rank(each.match, host), number)
        for number, each in enumerate(routes)
        for host in each.match.hosts or ("",)
        if _host_fits(host, head.host) and _path_fits(each.match, path) and _rest_fits(each.match, head)
    ]
    return routes[min(fitting)[1]] if fitting else None


def _host_fits(pattern: str, host: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"[^.]+(\.[^.]+)*") if pattern else ".*", host) is not None


def _path_fits(match: Match, path: bytes) -> bool:
    if match.path is None:
        prefix = (match.path_prefix or "").encode().rstrip(b"/") + b"/"
        return (path + b"/").startswith(prefix)
    name = rb"(?!(%2F)*((;|%3B)[^/]*)?(/|\Z))[^/]+"
    return re.fullmatch(re.sub(rb"\\\{.\\\}", lambda _: name, re.escape(match.path.encode())), path) is not None


def _rest_fits(match: Match, head: RequestHead) -> bool:
    names = [name.lower() for name, _ in head.fields]
    method = head.method
    asked = [value.decode() for name, value in head.fields if name.lower() == b"access-control-request-method"]
    if method == "OPTIONS" and b"origin" in names and len(asked) == 1:
        method = asked[0]
    methods = match.methods | ({"HEAD"} if "GET" in match.methods else set())
    return (
        method != "TRACE"
        and (not match.methods or method in methods)
        and all(names.count(name) == 1 and (name, value) in head.fields for name, value in match.headers)
    )


@settings(deadline=None)
@given(ROUTES, heads(st.sampled_from([b"a", b"b", b"c"]), 4), st.booleans())
@pytest.mark.fuzz
def test_a_table_finds_what_looking_at_every_route_finds(matches: list[Match], head: RequestHead, slash: bool) -> None:
    routes = without_conflicts(matches)
    path = head.path + b"/" if slash else head.path
    found = request(path, method=head.method, host=head.host, fields=head.fields)
    expected = slowly(routes, found, path)
    assert serve(Table(routes), found) == (expected.name if expected else Kind.NO_ROUTE)
    assert serve(Table(routes[::-1]), found) == (expected.name if expected else Kind.NO_ROUTE)


ODD = st.sampled_from(
    [b"a", b"b", b"", b";x", b"a;x", b"%3B", b"a%2Fb", b"%2F", b"%2Fa", b"b%2F", b"a%3Bb", b"%61", b"a;%2Fb"]
)


def _tomcat(path: bytes) -> bytes:
    return re.sub(rb"/+", b"/", unquote_to_bytes(re.sub(rb"(;|%3B)[^/]*", b"", path)))


def _decoder(path: bytes) -> bytes:
    return re.sub(rb"/+", b"/", re.sub(rb";[^/]*", b"", unquote_to_bytes(path)))


@settings(deadline=None)
@given(ROUTES, heads(ODD, 3))
@pytest.mark.threat("S20")
@pytest.mark.fuzz
def test_a_relaxed_path_never_gets_round_a_route(matches: list[Match], head: RequestHead) -> None:
    routes = without_conflicts(matches)
    served = serve(Table(routes), head)
    path = head.path.replace(b"%61", b"a")
    winner = slowly(routes, head, path)
    features = {
        *(["encoded-slash"] if b"%2F" in path else []),
        *(["path-parameters"] if b";" in path or b"%3B" in path else []),
        *(["empty-segment"] if b"//" in path else []),
    }
    if winner is None or features - winner.match.allow:
        assert served in (Kind.NO_ROUTE, Kind.INVALID_REQUEST)
        assert (served == Kind.INVALID_REQUEST) >= bool(features)
        return
    assert served in (winner.name, Kind.INVALID_REQUEST)
    if served == winner.name:
        for read in (_tomcat(path), _decoder(path)):
            assert not _path_fits(winner.match, read) or slowly(routes, head, read) is winner


def test_a_remembered_match_is_that_of_its_listener_host_method_and_path_alone() -> None:
    """Each question is asked twice, between others that differ from it in one thing."""
    heads = [
        request(b"/orders/x"),
        request(b"/orders/x", listener="egress"),
        request(b"/post/x", method="POST"),
        request(b"/post/x", method="GET"),
        request(b"/any", host="a.example.org"),
        request(b"/any", host="a.example.net"),
        request(b"/orders/admin"),
        request(b"/orders//admin"),
    ]
    expected = [serve(Table([each for each in TABLE_ROUTES if not each.match.headers]), head) for head in heads]
    table = Table([each for each in TABLE_ROUTES if not each.match.headers])
    assert [[serve(table, head) for head in heads] for _ in range(3)] == [expected] * 3
    assert len(set(expected)) > 4


def test_where_fields_decide_no_match_is_remembered() -> None:
    table = Table([route("tool", path="/mcp", headers=((b"mcp-name", b"search"),)), route("rest", prefix="/")])
    with_field, without = request(b"/mcp", fields=((b"mcp-name", b"search"),)), request(b"/mcp")
    assert [serve(table, head) for head in (with_field, without, with_field)] == ["tool", "rest", "tool"]


def test_a_preflight_is_matched_by_the_method_it_asks_for_every_time() -> None:
    table = Table([route("get", prefix="/", methods=("GET",)), route("post", prefix="/", methods=("POST",))])

    def preflight(method: bytes) -> RequestHead:
        return request(
            b"/x", method="OPTIONS", fields=((b"origin", b"https://a"), (b"access-control-request-method", method))
        )

    asked = [b"GET", b"POST", b"GET", b"POST"]
    assert [serve(table, preflight(method)) for method in asked] == ["get", "post", "get", "post"]


def test_what_is_remembered_of_paths_is_bounded() -> None:
    table = Table([route("all", prefix="/")])
    for number in range(REMEMBERED + 10):
        assert serve(table, request(b"/%d" % number)) == "all"
    assert serve(table, request(b"/" + b"x" * LONGEST_REMEMBERED)) == "all"
    assert len(table._remembered) == REMEMBERED
