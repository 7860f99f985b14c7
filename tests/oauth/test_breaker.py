"""The breaker against examples, and in any order against a model that knows only what was decided about it."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.oauth.breaker import DIFFERENT_KEYS, FAILURES_IN_A_ROW, JITTER, LAST, PROBE_EVERY, Breaker, BreakerState

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


def exactly(low: float, high: float) -> float:
    """Chance that always takes the middle."""
    return (low + high) / 2


def test_the_states_for_people_and_for_the_metric() -> None:
    assert {state.word: state.value for state in BreakerState} == {"closed": 0, "half-open": 1, "open": 2}


def exchange(breaker: Breaker, now: float, key: bytes | None) -> None:
    """One exchange that ends at once; without a key it succeeds."""
    period = breaker.enter(now)
    assert period is not None
    if key is None:
        breaker.succeeded(period)
    else:
        breaker.failed(period, key, now)


def opened(now: float = 0.0, uniform: Callable[[float, float], float] = exactly) -> Breaker:
    breaker = Breaker(uniform)
    for key in (b"a", b"b", b"c", b"d", b"e"):
        exchange(breaker, now, key)
    assert breaker.state(now) is OPEN
    return breaker


@pytest.mark.parametrize(
    ("keys", "opens"),
    [
        ("abcd", False),
        ("abcde", True),
        ("aabbc", True),
        ("aaabb", False),  # two asks that fail say nothing of the server
        ("a" * 100, False),
        ("aaaaabc", True),
        ("abcd-e", False),
        ("abcd-abcde", True),
    ],
)
def test_five_in_a_row_of_three_asks(keys: str, opens: bool) -> None:
    breaker = Breaker(exactly)
    for key in keys:
        exchange(breaker, 0, None if key == "-" else key.encode())
    assert (breaker.state(0) is OPEN) is opens


@pytest.mark.parametrize(
    ("keys", "opens"),
    [
        ("abc-" * 4 + "---", False),  # 19 so far
        ("abc-" * 4 + "----", True),
        ("a-b-" * 5, False),
        ("a-b-" * 4 + "c-b-", True),
        ("ab--" * 4 + "c---", False),  # nine of twenty
        ("-" * 11 + "abcdabcd-a", True),  # what is older than the last twenty is forgotten
    ],
)
def test_half_of_the_last_twenty(keys: str, opens: bool) -> None:
    breaker = Breaker(exactly)
    states = set()
    for key in keys:
        if breaker.state(0) is CLOSED:
            exchange(breaker, 0, None if key == "-" else key.encode())
        states.add(breaker.state(0))
    # It is judged when one fails, never when one succeeds.
    if breaker.state(0) is CLOSED and opens:
        exchange(breaker, 0, b"a")
    assert (breaker.state(0) is OPEN) is opens


def test_while_it_is_open_nobody_is_let_through() -> None:
    breaker = opened(10)
    assert breaker.enter(10) is None
    assert breaker.wait(10) == PROBE_EVERY
    assert breaker.wait(10.75) == 0.25
    assert breaker.enter(10.99) is None


def test_then_one_exchange_decides() -> None:
    breaker = opened()
    assert breaker.state(1) is HALF_OPEN  # without anybody having come
    period = breaker.enter(1)
    assert period is not None
    assert (breaker.state(50), breaker.enter(50), breaker.wait(50)) == (OPEN, None, PROBE_EVERY)
    breaker.failed(period, b"a", 50)
    assert (breaker.state(50), breaker.wait(50)) == (OPEN, PROBE_EVERY)
    period = breaker.enter(51)
    assert period is not None
    breaker.succeeded(period)
    assert (breaker.state(51), breaker.wait(51)) == (CLOSED, 0)


def test_a_probe_that_is_given_up_decides_nothing() -> None:
    breaker = opened()
    period = breaker.enter(1)
    assert period is not None
    breaker.given_up(period, 1)
    assert breaker.state(1) is OPEN
    assert breaker.enter(2) is not None


def test_it_starts_afresh_when_it_closes() -> None:
    breaker = opened()
    exchange(breaker, 1, None)
    for key in (b"a", b"b", b"c", b"d"):
        exchange(breaker, 1, key)
    assert breaker.state(1) is CLOSED


@pytest.mark.parametrize("end", ["succeeded", "failed", "given_up"])
def test_what_was_sent_before_changes_nothing_any_more(end: str) -> None:
    breaker = Breaker(exactly)
    late = breaker.enter(0)
    assert late is not None
    for key in (b"a", b"b", b"c", b"d", b"e"):
        exchange(breaker, 0, key)

    def ends() -> None:
        if end == "succeeded":
            breaker.succeeded(late)
        elif end == "failed":
            breaker.failed(late, b"x", 5)
        else:
            breaker.given_up(late, 5)

    ends()
    assert (breaker.state(0.5), breaker.wait(0.5)) == (OPEN, 0.5)
    probe = breaker.enter(1)
    assert probe is not None
    ends()
    assert (breaker.state(5), breaker.wait(5)) == (OPEN, PROBE_EVERY)  # that one is still under way
    breaker.succeeded(probe)
    for key in (b"a", b"b", b"c", b"d"):
        exchange(breaker, 1, key)
    ends()
    assert breaker.state(5) is CLOSED


def test_probes_of_many_gateways_are_spread() -> None:
    moments = [opened(uniform=chance).wait(0) for chance in (min, exactly, max)]
    assert moments == [PROBE_EVERY * (1 - JITTER), PROBE_EVERY, PROBE_EVERY * (1 + JITTER)]
    assert len({opened(uniform=Breaker()._uniform).wait(0) for _ in range(50)}) > 40


class AnyOrder(RuleBasedStateMachine):
    """Exchanges begin, end and are given up in any order and at any time.

    The model is the list of what ended since the breaker last closed, and the one probe that may be out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(exactly)
        self.now = 0.0
        self.ended: list[bytes | None] = []
        self.current: list[int] = []  # begun since it last changed
        self.stale: list[int] = []  # begun before
        self.open_since: float | None = None
        self.probe: int | None = None

    def change(self) -> None:
        self.stale += self.current
        self.current = []

    @rule(seconds=st.sampled_from([0.125, 0.875, 1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        period = self.breaker.enter(self.now)
        may = self.open_since is None or (self.probe is None and self.now >= self.open_since + PROBE_EVERY)
        assert (period is not None) is may
        if period is None:
            return
        if self.open_since is None:
            self.current.append(period)
        else:
            self.probe = period

    @precondition(lambda self: self.current)
    @rule(choice=st.integers(0, 100), key=st.sampled_from([b"a", b"b", b"c", b"d", None]))
    def end(self, choice: int, key: bytes | None) -> None:
        period = self.current.pop(choice % len(self.current))
        self.ended.append(key)
        if key is None:
            self.breaker.succeeded(period)
            return
        self.breaker.failed(period, key, self.now)
        row = []
        for ended in reversed(self.ended[-LAST:]):
            if ended is None:
                break
            row.append(ended)
        failed = [ended for ended in self.ended[-LAST:] if ended is not None]
        if (len(row) >= FAILURES_IN_A_ROW and len(set(row)) >= DIFFERENT_KEYS) or (
            len(self.ended) >= LAST and len(failed) >= LAST / 2 and len(set(failed)) >= DIFFERENT_KEYS
        ):
            self.open_since = self.now
            self.change()

    @precondition(lambda self: self.probe is not None)
    @rule(outcome=st.sampled_from(["succeeded", "failed", "given up"]))
    def probe_ends(self, outcome: str) -> None:
        probe, self.probe = self.probe, None
        assert probe is not None
        if outcome == "succeeded":
            self.breaker.succeeded(probe)
            self.open_since, self.ended = None, []
        elif outcome == "failed":
            self.breaker.failed(probe, b"a", self.now)
            self.open_since = self.now
        else:
            self.breaker.given_up(probe, self.now)
            self.open_since = self.now

    @precondition(lambda self: self.stale)
    @rule(choice=st.integers(0, 100), key=st.sampled_from([b"x", None]))
    def a_late_one_ends(self, choice: int, key: bytes | None) -> None:
        period = self.stale.pop(choice % len(self.stale))
        if key is None:
            self.breaker.succeeded(period)
        else:
            self.breaker.failed(period, key, self.now)

    @rule(choice=st.integers(0, 100))
    def give_up(self, choice: int) -> None:
        if self.current:
            self.breaker.given_up(self.current.pop(choice % len(self.current)), self.now)

    @invariant()
    def the_state_is_the_models(self) -> None:
        if self.open_since is None:
            expected = CLOSED
        elif self.probe is None and self.now >= self.open_since + PROBE_EVERY:
            expected = HALF_OPEN
        else:
            expected = OPEN
        assert self.breaker.state(self.now) is expected
        assert (self.breaker.wait(self.now) > 0) is (expected is OPEN)
        assert self.breaker.wait(self.now) <= PROBE_EVERY

    @invariant()
    def it_remembers_no_more_than_it_needs(self) -> None:
        assert len(self.breaker._last) <= LAST


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestAnyOrder = AnyOrder.TestCase
