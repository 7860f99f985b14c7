from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model.route import Match
from sidecar.routing.conditions import path_pattern, segments_of, takes_host
from sidecar.routing.rules import Box, Rule, Rules, rules_of
from tests.routing.builders import route

HOSTS = ("", "h", "a.h", "*.h", "*.b.h", "a.b.h", "*.x")
PATHS = ("/", "/a", "/a/", "/a/b", "/{x}", "/{x}/b", "/a/{x}", "/{x}/{y}", "/a/;x", "/a//b")
PREFIXES = ("/", "/a", "/a/b", "/b", "/a/;x")
X1, X2, Y1 = (b"x", b"1"), (b"x", b"2"), (b"y", b"1")

BOXES = st.builds(
    Box,
    st.sampled_from(HOSTS),
    st.sampled_from([Match(path=path) for path in PATHS] + [Match(path_prefix=prefix) for prefix in PREFIXES]).map(
        path_pattern
    ),
    st.frozensets(st.sampled_from(["GET", "PUT", "OPTIONS"]), max_size=2),
    st.sampled_from([frozenset(), frozenset({X1}), frozenset({X2}), frozenset({Y1}), frozenset({X1, Y1})]),
)

#: Values that tell any two boxes apart; a box takes those of each kind that meet its condition.
ALL_HOSTS = ("", "h", "a.h", "c.h", "b.h", "a.b.h", "c.b.h", "a.x", "other")
ALL_PATHS = (
    *(b"/", b"/a", b"/b", b"/c", b"/a/", b"/b/", b"/a/b", b"/a/c", b"/b/b", b"/c/b", b"/c/c", b"/a/;x", b"/c/;x"),
    *(b"/a//b", b"/a/b/c", b"/b/c/", b"/a/;x/c", b"/c//b", b"/a/b/"),
)
ALL_METHODS = ("GET", "PUT", "OPTIONS", "BREW")
ALL_FIELDS = [frozenset(fields) for fields in ([], [X1], [X2], [Y1], [X1, Y1], [X2, Y1])]


def taken(box: Box) -> list[set[object]]:
    return [
        {host for host in ALL_HOSTS if takes_host(box.host, host)},
        {path for path in ALL_PATHS if box.path.takes(segments_of(path))},
        {method for method in ALL_METHODS if not box.methods or method in box.methods},
        {fields for fields in ALL_FIELDS if box.headers <= fields},
    ]


@settings(deadline=None, max_examples=500)
@given(BOXES, BOXES)
def test_what_two_boxes_share_is_what_both_take(one: Box, two: Box) -> None:
    shared = one.meet(two)
    both = [mine & other for mine, other in zip(taken(one), taken(two), strict=True)]
    assert shared == two.meet(one)
    assert one.meet(one) == one
    if shared is None:
        assert not all(both)
    else:
        assert taken(shared) == both


@settings(deadline=None)
@given(st.lists(BOXES, max_size=12), BOXES)
def test_the_rules_that_meet_a_box_are_found_once_each(boxes: list[Box], box: Box) -> None:
    (sample,) = rules_of(route("r", prefix="/"))
    rules = [Rule(sample.route, each, sample.rank) for each in boxes]
    expected = [(each, shared) for each in rules if (shared := each.box.meet(box)) is not None]
    assert sorted(map(repr, Rules(rules).meeting(box))) == sorted(map(repr, expected))


def test_a_route_has_a_rule_for_each_of_its_hosts() -> None:
    made = route("r", path="/a/{x}", hosts=("B.h", "*.h"), methods=("GET",), headers=(X1,))
    rules = rules_of(made)
    assert [each.box.host for each in rules] == ["b.h", "*.h"]
    assert all(each.route is made for each in rules)
    assert rules[0].box.methods == {"GET", "HEAD"}
    assert rules[0].box.headers == {X1}
    assert rules[0].rank < rules[1].rank
    assert [each.box.host for each in rules_of(route("any", prefix="/"))] == [""]
