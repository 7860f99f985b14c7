from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.route import Match, Route
from sidecar.routing.conditions import UNMATCHED_METHODS, takes_headers, takes_method
from sidecar.routing.ties import Meeting
from tests.routing.builders import request, route

METHODS = ("GET", "HEAD", "PUT", "TRACE")
FIELDS = tuple((name, value) for name in (b"x", b"y", b"z") for value in (b"1", b"2"))
MATCHES = st.builds(
    lambda methods, fields: Match(path="/", methods=methods, headers=tuple(fields.items())),
    st.frozensets(st.sampled_from(METHODS), max_size=3),
    st.dictionaries(st.sampled_from([b"x", b"y", b"z"]), st.sampled_from([b"1", b"2"]), max_size=3),
)


def routes_of(matches: list[Match]) -> list[Route]:
    return [
        route(f"r{number}", path="/", methods=tuple(match.methods), headers=match.headers)
        for number, match in enumerate(matches)
    ]


def can_meet(one: Match, two: Match) -> bool:
    """Whether some request meets the methods and fields of both: all that are worth a try are tried."""
    fields = [*dict.fromkeys((*one.headers, *two.headers))]
    return any(
        takes_method(one, method)
        and takes_method(two, method)
        and takes_headers(one, head)
        and takes_headers(two, head)
        for method in {*METHODS, "FRESH"} - UNMATCHED_METHODS
        for head in [request(b"/", method=method, fields=tuple(fields))]
    )


@given(st.lists(MATCHES, max_size=8), MATCHES)
def test_it_is_the_first_of_those_that_meet(matches: list[Match], wanted: Match) -> None:
    meeting, routes = Meeting(), routes_of(matches)
    for each in routes:
        meeting.add(each)
    assert meeting.first(wanted) is next((each for each in routes if can_meet(each.match, wanted)), None)


def test_nothing_meets_nobody() -> None:
    assert Meeting().first(Match(path="/")) is None
