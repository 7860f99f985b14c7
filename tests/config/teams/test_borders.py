import pytest

from sidecar.config.schema import Route as RouteSection
from sidecar.config.schema.include import Allow
from sidecar.config.teams.borders import Ground, before, between, ground_route, may_meet, within
from sidecar.model.route import Route
from tests.config.conftest import read
from tests.config.teams.writing import route as section
from tests.routing.builders import route

PLATFORM = Ground(
    [
        route("prefix", prefix="/a", hosts=("a.example.com",)),
        route("get", path="/a/x", hosts=("a.example.com",), methods=("GET",)),
        route("anywhere", prefix="/any"),
    ]
)


@pytest.mark.parametrize(
    ("own", "loses"),
    [
        (route("t", prefix="/b", hosts=("a.example.com",)), None),
        (route("t", prefix="/", hosts=("a.example.com",)), "anywhere"),  # whose host is less specific
        (route("t", prefix="/", hosts=("*.example.com",)), "anywhere"),
        (route("t", prefix="/"), None),  # behind all of them
        (route("t", prefix="/a/b", hosts=("a.example.com",)), "prefix"),
        (route("t", prefix="/a", hosts=("a.example.com",)), "prefix"),  # a tie
        (route("t", prefix="/a", hosts=("a.example.com",), methods=("PUT",)), "prefix"),
        (route("t", prefix="/a", hosts=("a.example.com",), headers=((b"x", b"1"),)), "prefix"),
        (route("t", path="/{x}", hosts=("a.example.com",)), "prefix"),
        (route("t", prefix="/a", hosts=("*.example.com",)), None),
        (route("t", prefix="/any", listener="other"), None),
    ],
)
def test_no_include_goes_before_the_platform(own: Route, loses: str | None) -> None:
    found = list(before(Ground([route("first", path="/none", hosts=("z",)), own]), PLATFORM))
    if loses is None:
        assert found == []
    else:
        (finding,) = found
        assert finding.path == ("routes", 1, "match")
        assert finding.message.startswith(f"would take requests that the platform's route {loses} serves (")


def test_two_includes_share_no_request() -> None:
    mine = Ground([route("a/x", prefix="/x"), route("a/y", path="/y/{z}", methods=("GET",))])
    other = Ground([route("b/y", path="/y/1", methods=("GET", "PUT"))])
    assert [finding.path for finding in between(mine, other)] == [("routes", 1, "match")]
    assert [finding.path for finding in between(other, mine)] == [("routes", 0, "match")]
    assert list(between(mine, Ground([route("b/y", path="/y/1", methods=("PUT",))]))) == []
    assert list(between(mine, Ground([]))) == []


def test_within_one_house_the_usual_rules_hold() -> None:
    tie = [route("x", prefix="/x"), route("y", prefix="/x"), route("z", prefix="/x", methods=("GET",))]
    (finding,) = within(Ground(tie))
    assert finding.path == ("routes", 1, "match")
    assert "neither goes first" in finding.message


def test_only_includes_that_allow_the_same_may_meet() -> None:
    def allow(hosts: list[str], prefixes: list[str]) -> Allow:
        return read(Allow, {"hosts": hosts, "path_prefixes": prefixes})

    one = allow(["a.example.com"], ["/a"])
    assert may_meet(one, allow(["*.example.com"], ["/a/b"]))
    assert may_meet(allow(["*.x.example.com"], ["/"]), allow(["*.example.com"], ["/"]))
    assert may_meet(one, allow(["*"], ["/"]))
    assert not may_meet(one, allow(["b.example.com"], ["/a"]))
    assert not may_meet(one, allow(["a.example.com"], ["/ab", "/b"]))
    assert not may_meet(one, allow([], ["/a"]))


def test_a_section_on_the_ground() -> None:
    made = ground_route(read(RouteSection, section()), "in", "x.yaml:1")
    assert (made.name, made.listener, made.place, made.match.path_prefix) == ("orders", "in", "x.yaml:1", "/a/orders")
