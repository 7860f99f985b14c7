from dataclasses import dataclass

from sidecar.model.clock import Clock
from sidecar.model.refusal import Kind
from sidecar.observe.recent import RecentRefusals


@dataclass
class Hand:
    now: float = 6000.0


def _recent() -> tuple[RecentRefusals, Hand]:
    hand = Hand()
    return RecentRefusals(Clock(monotonic=lambda: hand.now)), hand


def test_the_most_frequent_comes_first() -> None:
    recent, _ = _recent()
    for kind in (Kind.NO_ROUTE, Kind.MISSING_TOKEN, Kind.MISSING_TOKEN):
        recent.note(kind)
    assert list(recent.counts().items()) == [(Kind.MISSING_TOKEN, 2), (Kind.NO_ROUTE, 1)]


def test_a_refusal_is_forgotten_after_15_minutes() -> None:
    recent, hand = _recent()
    recent.note(Kind.NO_ROUTE)
    hand.now += 14 * 60
    recent.note(Kind.LOOP)
    assert recent.counts() == {Kind.NO_ROUTE: 1, Kind.LOOP: 1}
    hand.now += 60
    assert recent.counts() == {Kind.LOOP: 1}
    hand.now += 24 * 3600
    assert recent.counts() == {}


def test_a_long_run_is_counted_over_the_last_minutes_only() -> None:
    recent, hand = _recent()
    for _ in range(100):
        recent.note(Kind.OVERLOADED)
        hand.now += 60
    hand.now -= 60
    assert recent.counts() == {Kind.OVERLOADED: 15}
