"""That regions are what differs and all that differs: by example, and against looking at every request there is."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model.request import Fields, RequestHead
from sidecar.model.route import Match, Route
from sidecar.routing.changes import changes
from sidecar.routing.conditions import PathKind, matched_method, segments_of, takes_host
from sidecar.routing.index import HostIndex
from sidecar.routing.precedence import conflicts
from sidecar.routing.regions import MOST_EXCEPTIONS, Region, regions
from sidecar.routing.rules import Box
from tests.routing.builders import request, route


def differ(old: Route | None, new: Route | None) -> bool:
    return bool(changes(old, new))


def compared(old: Sequence[Route], new: Sequence[Route]) -> list[str]:
    return [told(region) for region in regions(old, new, differ)]


def told(region: Region) -> str:
    """A region in a line: its routes, its boxes, and what is excepted."""
    names = " → ".join(each.name if each is not None else "-" for each in (region.old, region.new))
    boxes = " | ".join(written(box) for box in region.boxes)
    return f"{names}: {boxes}" + "".join(f" but {written(box)}" for box in region.exceptions)


def written(box: Box) -> str:
    path = "".join(f"/{'*' if segment is None else segment.decode()}" for segment in box.path.segments)
    path += "/**" if box.path.kind is PathKind.PREFIX else ""
    fields = [f"{name.decode()}={value.decode()}" for name, value in sorted(box.headers)]
    return " ".join([box.host or "any", path, *sorted(box.methods), *fields])


def elsewhere(each: Route) -> Route:
    return replace(each, upstream=replace(each.upstream, port=9001))


# --- by example

ROOT = route("root", prefix="/")
ORDERS = route("orders", prefix="/orders", hosts=("api.h", "b.h"))


def test_nothing_changes() -> None:
    assert compared([], []) == []
    assert compared([ROOT, ORDERS], [ORDERS, ROOT]) == []
    assert compared([replace(ROOT, place="a:1")], [replace(ROOT, place="b:2")]) == []


def test_what_goes_to_another_upstream_is_told_but_for_what_others_take() -> None:
    assert compared([ROOT, ORDERS], [elsewhere(ROOT), ORDERS]) == [
        "root → root: any /** but api.h /orders/** but b.h /orders/**"
    ]
    assert compared([ROOT, ORDERS], [ROOT, elsewhere(ORDERS)]) == ["orders → orders: api.h /orders/** | b.h /orders/**"]


def test_a_rename_is_a_change() -> None:
    assert compared([ROOT], [replace(ROOT, name="all")]) == ["root → all: any /**"]


def test_a_new_route_takes_from_whoever_had_it() -> None:
    new = route("new", path="/orders/{id}", methods=("GET",))
    box = "any /orders/* GET HEAD but api.h /orders/* GET HEAD but b.h /orders/* GET HEAD"
    assert compared([ROOT, ORDERS], [ROOT, ORDERS, new]) == [f"root → new: {box}"]
    assert compared([ORDERS], [ORDERS, new]) == [f"- → new: {box}"]
    assert compared([ORDERS, new], [ORDERS]) == [f"new → -: {box}"]


def test_one_host_less() -> None:
    assert compared([ROOT, ORDERS], [ROOT, route("orders", prefix="/orders", hosts=("api.h",))]) == [
        "orders → root: b.h /orders/**"
    ]
    assert compared([ORDERS], [route("orders", prefix="/orders", hosts=("api.h",))]) == ["orders → -: b.h /orders/**"]


def test_what_an_exception_takes_besides_is_not_told_twice() -> None:
    inner = [route("a", prefix="/a"), route("b", prefix="/a/b"), route("c", path="/a/{x}", methods=("PUT",))]
    assert compared([ROOT, *inner], [elsewhere(ROOT), *inner]) == ["root → root: any /** but any /a/**"]
    hosts = [route("one", prefix="/a", hosts=("a.h",)), route("all", prefix="/a", hosts=("*.h",))]
    assert compared([ROOT, *hosts], [elsewhere(ROOT), *hosts]) == ["root → root: any /** but *.h /a/**"]


def test_methods_that_only_some_have_left() -> None:
    both = route("both", path="/a", methods=("GET", "PUT"))
    put = route("put", path="/a", methods=("PUT",))
    assert compared([both], [put]) == ["both → -: any /a GET HEAD", "both → put: any /a PUT"]


def test_fields() -> None:
    tool = route("tool", path="/mcp", headers=((b"mcp-name", b"search"),))
    mcp = route("mcp", path="/mcp")
    assert compared([mcp], [mcp, tool]) == ["mcp → tool: any /mcp mcp-name=search"]
    assert compared([mcp, tool], [elsewhere(mcp), tool]) == [
        "mcp → mcp: any /mcp but any /mcp mcp-name=search",
    ]


def test_a_rule_for_options_that_only_preflights_would_meet_has_no_region() -> None:
    fields = ((b"access-control-request-method", b"PUT"), (b"origin", b"https://app.h"))
    assert compared([], [route("odd", path="/a", methods=("OPTIONS",), headers=fields)]) == []
    (region,) = regions([], [route("odd", path="/a", methods=("OPTIONS", "PUT"), headers=fields)], differ)
    assert region.boxes[0].methods == {"PUT"}


def test_listeners_are_apart() -> None:
    out = route("out", prefix="/", listener="out")
    found = regions([ROOT, out], [elsewhere(ROOT)], differ)
    assert [(each.listener, told(each)) for each in found] == [
        ("default", "root → root: any /**"),
        ("out", "out → -: any /**"),
    ]


def test_examples_are_easy_to_read_and_name_nothing_that_a_route_names() -> None:
    tables: list[tuple[list[Route], str, bytes, str]] = [
        ([ROOT], "GET", b"/", "other"),
        ([route("r", prefix="/orders", hosts=("*.h",))], "GET", b"/orders", "other.h"),
        ([route("r", path="/{x}/other", methods=("PUT", "GET"))], "GET", b"/other1/other", "other1"),
        ([route("r", path="/a", methods=("PUT", "DELETE"), hosts=("h",))], "DELETE", b"/a", "h"),
    ]
    for table, method, path, host in tables:
        (region,) = regions(table, [], differ)
        assert (region.example.method, region.example.path, region.example.host) == (method, path, host)
    get = route("get", prefix="/", methods=("GET",))
    (region,) = regions([ROOT, get], [elsewhere(ROOT), get], differ)
    assert region.example.method == "OTHER"
    slash = route("slash", path="/")
    (region,) = regions([ROOT, slash], [elsewhere(ROOT), slash], differ)
    assert region.example.path == b"/other"


def test_very_many_exceptions_are_not_told_one_by_one() -> None:
    others = [route(f"r{number}", prefix=f"/{number:03}") for number in range(MOST_EXCEPTIONS + 1)]
    for count, more in ((MOST_EXCEPTIONS, False), (MOST_EXCEPTIONS + 1, True)):
        (region,) = regions([ROOT, *others[:count]], [elsewhere(ROOT), *others[:count]], differ)
        assert (len(region.exceptions), region.more) == (MOST_EXCEPTIONS, more)


def test_large_tables_are_not_held_against_each_other_pair_by_pair() -> None:
    many = [route(f"r{n}", prefix=f"/team{n % 100}/service{n}", hosts=(f"h{n % 7}.example.com",)) for n in range(2_000)]
    few = [elsewhere(each) if number % 500 == 0 else each for number, each in enumerate([ROOT, *many])]
    asked = 0

    def counted(old: Route | None, new: Route | None) -> bool:
        nonlocal asked
        asked += 1
        return differ(old, new)

    assert len(regions([ROOT, *many], few, counted)) == 5
    assert len(regions([ROOT, *many], [ROOT, *map(elsewhere, many)], counted)) == len(many)
    assert len(regions([ROOT, *many], [ROOT, *many[:-10]], counted)) == 10
    assert len(regions([ROOT, *many], [ROOT], counted)) == len(many)
    assert asked < 6 * len(many)


# --- against every request there is, of alphabets so small that everything collides

X1, X2, Y1 = (b"x", b"1"), (b"x", b"2"), (b"y", b"1")
PREFLIGHT = ((b"origin", b"o"), (b"access-control-request-method", b"PUT"))
SEGMENTS = (b"a", b"b", b"c", b"")
DEEPER = (b"/a/b/c", b"/a/b/a", b"/a/a/a", b"/c/c/c", b"/b/c/a", b"/a/b/", b"/a/b/c/d", b"/c/c/c/c/c")
ALL_FIELDS: tuple[Fields, ...] = ((), (X1,), (X2, Y1), (X1, Y1), (X1, X2), PREFLIGHT)
ALL_REQUESTS = [
    request(path, method=method, host=host, fields=fields)
    for path in (*(b"/" + b"/".join(way) for size in (1, 2) for way in product(SEGMENTS, repeat=size)), *DEEPER)
    for method in ("GET", "HEAD", "PUT", "OPTIONS", "BREW")
    for host in ("", "h", "a.h", "b.h", "a.b.h", "x")
    for fields in ALL_FIELDS
]

MATCHES = st.builds(
    Match,
    st.lists(st.sampled_from(["h", "a.h", "*.h", "*.b.h"]), max_size=2).map(tuple),
    st.none()
    | st.lists(st.sampled_from(["a", "b", "{x}", ""]), min_size=1, max_size=3).map(lambda s: "/" + "/".join(s)),
    st.lists(st.sampled_from(["a", "b"]), max_size=3).map(lambda segments: "/" + "/".join(segments)),
    st.frozensets(st.sampled_from(["GET", "HEAD", "PUT", "OPTIONS"]), max_size=2),
    st.lists(st.sampled_from([X1, X2, Y1, *PREFLIGHT]), max_size=2).map(tuple),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Route], list[Route]]:
    """Two tables without conflicts that have most routes in common."""
    old: list[Route] = []
    new: list[Route] = []
    for number, match in enumerate(draw(st.lists(MATCHES, max_size=10))):
        only = replace(match, path_prefix=match.path_prefix if match.path is None else None)
        each = replace(route(f"r{number}", path="/"), match=only)
        where = draw(st.sampled_from(["both", "both", "changed", "old", "new"]))
        if where != "new" and not conflicts([*old, each]):
            old.append(each)
        if where != "old" and not conflicts([*new, each]):
            new.append(elsewhere(each) if where == "changed" else each)
    return old, new


def winners(routes: list[Route]) -> list[Route | None]:
    index = HostIndex()
    for each in routes:
        index.add(each)
    return [index.find(head, matched_method(head), head.path) for head in ALL_REQUESTS]


def takes(box: Box, head: RequestHead, *, any_host: bool) -> bool:
    method = matched_method(head)
    return (
        ((any_host and not box.host) or takes_host(box.host, head.host))
        and box.path.takes(segments_of(head.path))
        and (not box.methods or method in box.methods)
        and all(head.values(name) == [value] for name, value in box.headers)
    )


def lies_in(head: RequestHead, region: Region) -> bool:
    return any(takes(box, head, any_host=False) for box in region.boxes) and not any(
        takes(box, head, any_host=True) for box in region.exceptions
    )


@settings(deadline=None, max_examples=60)
@given(tables())
def test_every_request_that_differs_is_in_one_region_and_every_other_in_none(
    both: tuple[list[Route], list[Route]],
) -> None:
    old, new = both
    found = regions(old, new, differ)
    for head, before, after in zip(ALL_REQUESTS, winners(old), winners(new), strict=True):
        around = [region for region in found if lies_in(head, region)]
        assert [(region.old, region.new) for region in around] == ([(before, after)] if differ(before, after) else [])


@settings(deadline=None)
@given(tables())
def test_every_region_has_its_example(both: tuple[list[Route], list[Route]]) -> None:
    found = regions(*both, differ)
    for region in found:
        head = region.example
        assert [other for other in found if lies_in(head, other)] == [region]
        for routes, expected in zip(both, (region.old, region.new), strict=True):
            index = HostIndex()
            for each in routes:
                index.add(each)
            assert index.find(head, matched_method(head), head.path) is expected
        assert differ(region.old, region.new)
