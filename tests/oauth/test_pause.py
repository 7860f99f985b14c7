"""How long a server is left alone, and how those who waited come back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.oauth.pause import Pause


def latest(low: float, high: float) -> float:
    return high


def test_nobody_asked_for_one() -> None:
    assert (Pause(latest).left(0), Pause(latest).delay(0)) == (0, 0)


def test_it_lasts_as_long_as_was_asked_for() -> None:
    pause = Pause(latest)
    pause.begin(7, 100)
    assert [pause.left(now) for now in (100, 106.5, 107, 108)] == [7, 0.5, 0, 0]


def test_none_is_cut_short_by_another() -> None:
    pause = Pause(latest)
    pause.begin(7, 100)
    pause.begin(1, 101)
    assert pause.left(101) == 6
    pause.begin(20, 101)
    assert pause.left(101) == 20


@pytest.mark.parametrize(("seconds", "spread"), [(0, 0), (1, 0.2), (4, 0.8), (5, 1), (60, 1)])
def test_right_after_it_exchanges_are_spread(seconds: float, spread: float) -> None:
    pause = Pause(latest)
    pause.begin(seconds, 100)
    end = 100 + seconds
    assert pause.delay(end) == pytest.approx(spread)
    assert pause.delay(end + spread / 2) == pytest.approx(spread / 2)
    assert pause.delay(end + spread) == 0


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 10)), min_size=1), st.floats(0, 100))
def test_nothing_is_sent_before_the_last_end(pauses: list[tuple[float, float]], later: float) -> None:
    pause, now, end = Pause(), 0.0, 0.0
    for seconds, passed in pauses:
        now += passed
        pause.begin(seconds, now)
        end = max(end, now + seconds)
    now += later
    assert now + pause.left(now) >= end - 1e-6
    assert (pause.left(now) > 0) is (now < end)
    assert 0 <= pause.delay(max(now, end)) <= 1
