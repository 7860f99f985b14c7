import pytest

from sidecar.model.request import Fields
from sidecar.routing.conditions import (
    ANY_HOST,
    PathKind,
    PathPattern,
    fills,
    host_patterns,
    matched_method,
    methods_of,
    path_pattern,
    preflight_method,
    segments_of,
    takes_headers,
    takes_host,
    takes_method,
)
from tests.routing.builders import request, route


@pytest.mark.parametrize(
    ("path", "prefix", "pattern"),
    [
        ("/", None, PathPattern(PathKind.EXACT, (b"",))),
        ("/a/b", None, PathPattern(PathKind.EXACT, (b"a", b"b"))),
        ("/a/", None, PathPattern(PathKind.EXACT, (b"a", b""))),
        ("/{id}", None, PathPattern(PathKind.TEMPLATE, (None,))),
        ("/a/{id}/b", None, PathPattern(PathKind.TEMPLATE, (b"a", None, b"b"))),
        ("/a/x{id}", None, PathPattern(PathKind.EXACT, (b"a", b"x{id}"))),
        ("/a/{}", None, PathPattern(PathKind.EXACT, (b"a", b"{}"))),
        (None, "/", PathPattern(PathKind.PREFIX, ())),
        (None, "/a", PathPattern(PathKind.PREFIX, (b"a",))),
        (None, "/a/", PathPattern(PathKind.PREFIX, (b"a",))),
        (None, "/a//b", PathPattern(PathKind.PREFIX, (b"a", b"", b"b"))),
        (None, "/{id}", PathPattern(PathKind.PREFIX, (b"{id}",))),
    ],
)
def test_path_pattern(path: str | None, prefix: str | None, pattern: PathPattern) -> None:
    assert path_pattern(route("r", path=path, prefix=prefix).match) == pattern


def test_templates_are_the_same_whatever_their_names() -> None:
    assert path_pattern(route("r", path="/a/{b}").match) == path_pattern(route("r", path="/a/{c}").match)


@pytest.mark.parametrize(
    ("path", "prefix", "taken", "not_taken"),
    [
        ("/", None, [b"/"], [b"/a", b"//"]),
        ("/a", None, [b"/a"], [b"/", b"/a/", b"/A", b"/a/b", b"/ab"]),
        ("/a/", None, [b"/a/"], [b"/a", b"/a/b", b"/a//"]),
        ("/a/{id}", None, [b"/a/b", b"/a/%2F1", b"/a/b;c"], [b"/a", b"/a/", b"/a/b/", b"/a/b/c", b"/b/b", b"/a/;x"]),
        ("/{a}/x/", None, [b"/1/x/"], [b"/1/x", b"//x/", b"/1/x/2"]),
        (None, "/", [b"/", b"/a", b"//", b"/a/b"], []),
        (None, "/a", [b"/a", b"/a/", b"/a/b", b"/a//b"], [b"/", b"/ab", b"/A", b"/b/a", b"//a"]),
        (None, "/a/b/", [b"/a/b", b"/a/b/", b"/a/b/c"], [b"/a", b"/a/", b"/a/bc"]),
    ],
)
def test_takes_a_path(path: str | None, prefix: str | None, taken: list[bytes], not_taken: list[bytes]) -> None:
    pattern = path_pattern(route("r", path=path, prefix=prefix).match)
    assert [each for each in taken + not_taken if pattern.takes(segments_of(each))] == taken


@pytest.mark.parametrize(
    ("path", "common"), [(b"/", 0), (b"/a", 1), (b"/b/1", 0), (b"/a/1", 2), (b"/a/1/x", 2), (b"/a/1/b/c", 3)]
)
def test_common_part(path: bytes, common: int) -> None:
    assert path_pattern(route("r", path="/a/{id}/b").match).common(segments_of(path)) == common


@pytest.mark.parametrize(
    ("path", "prefix", "example"),
    [("/", None, b"/"), ("/a/{id}/", None, b"/a/x/"), (None, "/", b"/"), (None, "/a", b"/a/"), (None, "//", b"//")],
)
def test_example(path: str | None, prefix: str | None, example: bytes) -> None:
    pattern = path_pattern(route("r", path=path, prefix=prefix).match)
    assert pattern.example() == example
    assert pattern.takes(segments_of(example))


def test_a_name_takes_no_segment_that_an_upstream_reads_as_empty() -> None:
    blank = [b"", b";", b";x=1", b"%3B", b"%3Bx", b"%2F", b"%2F%2F", b"%2F;x", b"%2F%3Bx", b";%2Fa"]
    filled = [b"a", b".", b"%20", b"%2Fa", b"a;x", b"a%2F", b"%3Ca", b"%2F%20"]
    assert [segment for segment in blank + filled if fills(segment)] == filled


def test_host_patterns_are_folded_and_each_there_once() -> None:
    assert host_patterns(route("r", prefix="/", hosts=("B.example", "*.A.example", "b.example")).match) == (
        "b.example",
        "*.a.example",
    )
    assert host_patterns(route("r", prefix="/").match) == (ANY_HOST,)


@pytest.mark.parametrize(
    ("pattern", "taken", "not_taken"),
    [
        (ANY_HOST, ["", "a", "[::1]"], []),
        ("a.example", ["a.example"], ["", "b.a.example", "example", "xa.example"]),
        ("*.example", ["a.example", "b.a.example"], ["", "example", ".example", "xexample", "a.example.x", "*"]),
    ],
)
def test_takes_a_host(pattern: str, taken: list[str], not_taken: list[str]) -> None:
    assert [host for host in taken + not_taken if takes_host(pattern, host)] == taken


@pytest.mark.parametrize(
    ("methods", "taken", "not_taken"),
    [
        ((), ["GET", "HEAD", "OPTIONS", "BREW", "get"], ["CONNECT", "TRACE"]),
        (("GET",), ["GET", "HEAD"], ["POST", "get", "OPTIONS", "TRACE"]),
        (("HEAD",), ["HEAD"], ["GET"]),
        (("POST", "CONNECT", "TRACE"), ["POST"], ["GET", "HEAD", "CONNECT", "TRACE"]),
    ],
)
def test_takes_a_method(methods: tuple[str, ...], taken: list[str], not_taken: list[str]) -> None:
    match = route("r", prefix="/", methods=methods).match
    assert [method for method in taken + not_taken if takes_method(match, method)] == taken


def test_methods_of_a_route() -> None:
    assert methods_of(route("r", prefix="/").match) == frozenset()
    assert methods_of(route("r", prefix="/", methods=("GET", "TRACE")).match) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        (((b"a", b"1"), (b"b", b"2")), True),
        (((b"B", b"2"), (b"x", b"y"), (b"A", b"1")), True),
        (((b"a", b"1"),), False),
        (((b"a", b"1"), (b"b", b"3")), False),
        (((b"a", b"1"), (b"b", b"2"), (b"B", b"2")), False),
        (((b"a", b"1"), (b"b", b"2 ")), False),
        ((), False),
    ],
)
def test_takes_headers(fields: Fields, taken: bool) -> None:
    match = route("r", prefix="/", headers=((b"a", b"1"), (b"b", b"2"))).match
    assert takes_headers(match, request(fields=fields)) is taken


ORIGIN = (b"Origin", b"https://app.example")


@pytest.mark.parametrize(
    ("method", "fields", "asked"),
    [
        ("OPTIONS", (ORIGIN, (b"Access-Control-Request-Method", b"PUT")), "PUT"),
        ("OPTIONS", ((b"access-control-request-method", b"GET"), ORIGIN), "GET"),
        ("OPTIONS", (ORIGIN, (b"Access-Control-Request-Method", b"TRACE")), "TRACE"),
        ("OPTIONS", (ORIGIN,), None),
        ("OPTIONS", ((b"Access-Control-Request-Method", b"PUT"),), None),
        ("OPTIONS", (ORIGIN, (b"Access-Control-Request-Method", b"")), None),
        ("OPTIONS", (ORIGIN, (b"Access-Control-Request-Method", b"PUT, GET")), None),
        ("OPTIONS", (ORIGIN, (b"Access-Control-Request-Method", b"\xff")), None),
        ("OPTIONS", (ORIGIN, *[(b"Access-Control-Request-Method", b"PUT")] * 2), None),
        ("GET", (ORIGIN, (b"Access-Control-Request-Method", b"PUT")), None),
    ],
)
def test_preflight(method: str, fields: Fields, asked: str | None) -> None:
    head = request(method=method, fields=fields)
    assert preflight_method(head) == asked
    assert matched_method(head) == (asked or method)
