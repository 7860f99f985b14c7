import pytest

from sidecar.model.request import RequestHead
from sidecar.model.route import Route
from sidecar.routing.index import HostIndex
from tests.routing.builders import request, route


def index(*routes: Route) -> HostIndex:
    made = HostIndex()
    for each in routes:
        made.add(each)
    return made


def find(made: HostIndex, head: RequestHead) -> str | None:
    found = made.find(head, head.method, head.path)
    return found.name if found else None


def test_an_empty_index_finds_nothing() -> None:
    assert find(index(), request(b"/a")) is None


def test_hosts_are_looked_up_from_the_most_to_the_least_specific() -> None:
    made = index(
        route("any", prefix="/"),
        route("com", hosts=("*.com",), prefix="/"),
        route("example", hosts=("*.Example.com",), prefix="/"),
        route("api", hosts=("api.example.com", "other.org"), prefix="/"),
    )
    hosts = [
        "api.example.com",
        "other.org",
        "x.example.com",
        "x.api.example.com",
        "example.com",
        "x.com",
        "com",
        "",
        ".",
    ]
    assert [find(made, request(host=host)) for host in hosts] == [
        *("api", "api", "example", "example", "com", "com", "any", "any", "any"),
    ]


def test_what_a_more_specific_host_lacks_is_found_below_it() -> None:
    made = index(
        route("exact", hosts=("a.b.c",), path="/exact"),
        route("near", hosts=("*.b.c",), path="/near"),
        route("far", hosts=("*.c",), prefix="/far"),
        route("any", prefix="/", methods=("POST",)),
    )
    paths = [b"/exact", b"/near", b"/far/x", b"/else"]
    assert [find(made, request(path, host="a.b.c")) for path in paths] == ["exact", "near", "far", None]
    assert find(made, request(b"/else", host="a.b.c", method="POST")) == "any"


def test_a_literal_that_leads_nowhere_still_lets_the_name_be_found() -> None:
    made = index(
        route("literals", path="/a/b/{x}"), route("mixed", path="/{x}/b/c/d"), route("names", path="/{x}/{y}/{z}")
    )
    assert [
        find(made, request(path)) for path in (b"/a/b/1", b"/a/b/c/d", b"/a/c/1", b"/z/b/c", b"/a/b", b"/a/b/c/e")
    ] == [
        *("literals", "mixed", "names", "names", None, None),
    ]


def test_routes_with_a_method_or_field_too_many_are_passed_over() -> None:
    made = index(
        route("long", prefix="/a/b", methods=("PUT",)),
        route("short", prefix="/a", headers=((b"x", b"1"),)),
        route("root", prefix="/"),
    )
    assert find(made, request(b"/a/b/c")) == "root"
    assert find(made, request(b"/a/b/c", fields=((b"X", b"1"),))) == "short"
    assert find(made, request(b"/a/b/c", method="PUT")) == "long"


def test_fields_are_looked_up_by_all_their_values() -> None:
    made = index(
        route("both", path="/", headers=((b"y", b"2"), (b"x", b"1"))),
        route("one", path="/", headers=((b"x", b"2"),)),
        route("method", path="/", headers=((b"x", b"2"),), methods=("GET",)),
        route("none", path="/"),
    )
    x1, x2, y2 = (b"X", b"1"), (b"x", b"2"), (b"Y", b"2")
    assert find(made, request(fields=(x1, y2))) == "both"
    assert find(made, request(fields=(x2, y2))) == "method"
    assert find(made, request(fields=(x2,), method="PUT")) == "one"
    assert [find(made, request(fields=fields)) for fields in ((), (x1,), (y2,), (x1, x2), (x2, x2))] == ["none"] * 5


def test_of_routes_that_tie_the_first_is_found() -> None:
    for where in ({"path": "/a"}, {"path": "/{x}"}, {"prefix": "/a"}):
        for more in ({}, {"methods": ("GET",)}, {"headers": ((b"x", b"1"),)}):
            made = index(*(route(name, **where, **more) for name in ("first", "second")))  # type: ignore[arg-type]
            assert find(made, request(b"/a", fields=((b"x", b"1"),))) == "first"


@pytest.mark.threat("S67")
def test_a_deep_path_and_a_deep_template_are_no_trouble() -> None:
    made = index(route("deep", path="/{x}" * 3000), route("root", prefix="/"))
    assert find(made, request(b"/a" * 3000)) == "deep"
    assert find(made, request(b"/a" * 30_000)) == "root"
