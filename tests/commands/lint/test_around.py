from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.commands.lint.around import Around, covers
from sidecar.model.route import Match, Route
from sidecar.routing.rules import Box, Rule, rules_of
from tests.routing.builders import route

HOSTS = ["h", "a.h", "b.a.h", "*.h", "*.a.h"]
SEGMENTS = st.sampled_from(["a", "A", "b", "{x}", ""])
FIELDS = ((b"x", b"1"), (b"y", b"1"))


def _path(segments: list[str]) -> str:
    return "/" + "/".join(f"{{v{number}}}" if each == "{x}" else each for number, each in enumerate(segments))


PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map(_path)
MATCHES = st.builds(
    lambda hosts, path, is_prefix, headers: Match(
        hosts=tuple(hosts),
        path=None if is_prefix else path,
        path_prefix=path.replace("{", "").replace("}", "") if is_prefix else None,
        headers=tuple(headers),
    ),
    st.lists(st.sampled_from(HOSTS), max_size=2, unique=True),
    PATHS,
    st.booleans(),
    st.lists(st.sampled_from(FIELDS), max_size=2, unique=True),
)


def routes_of(matches: list[Match]) -> list[Route]:
    return [replace(route(f"r{number}", path="/"), match=match) for number, match in enumerate(matches)]


def folded(box: Box) -> Box:
    segments = tuple(segment if segment is None else segment.lower() for segment in box.path.segments)
    return replace(box, path=replace(box.path, segments=segments), headers=frozenset())


def is_around(other: Rule, rule: Rule) -> bool:
    """The definition, without an index: all that the rule takes is what the other takes, case aside."""
    inner, outer = folded(rule.box), folded(other.box)
    fields_fit = other.box.headers in (frozenset(), rule.box.headers)
    same_place = (rule.box.host, rule.box.path) == (other.box.host, other.box.path)
    return inner.meet(outer) == inner and fields_fit and not same_place


@settings(deadline=None)
@given(st.lists(MATCHES, min_size=1, max_size=7))
def test_it_finds_what_the_definition_says(matches: list[Match]) -> None:
    routes = routes_of(matches)
    around = Around(routes)
    for each in routes:
        found = {(rule.box, other.route.name, other.box) for rule, other in around.of(each)}
        assert found == {
            (rule.box, other.name, outer.box)
            for rule in rules_of(each)
            for other in routes
            for outer in rules_of(other)
            if other is not each and is_around(outer, rule)
        }


@settings(deadline=None)
@given(st.lists(MATCHES, min_size=1, max_size=7))
def test_the_case_is_told(matches: list[Match]) -> None:
    routes = routes_of(matches)
    for each in routes:
        for rule, other in Around(routes).of(each):
            inner = replace(rule.box, headers=frozenset())
            outer = replace(other.box, headers=frozenset())
            assert covers(other.box.path, rule.box.path) is (inner.meet(outer) == inner)


def test_the_nearest_goes_first() -> None:
    routes = routes_of([Match(path_prefix=path) for path in ("/", "/a", "/a/b", "/a/b/c", "/a/x")])
    assert [other.route.name for _, other in Around(routes).of(routes[3])] == ["r2", "r1", "r0"]


def test_listeners_are_apart() -> None:
    inner, outer = route("inner", prefix="/a"), route("outer", prefix="/", listener="out")
    assert list(Around([inner, outer]).of(inner)) == []
