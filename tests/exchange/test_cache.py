import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.exchange.cache import ENTRY_OVERHEAD, Entry, TokenCache
from sidecar.exchange.schedule import Schedule
from sidecar.model.flush import About
from sidecar.model.refusal import Kind, Refusal
from tests.support.values import ABOUT, issued

REFUSAL = Refusal(Kind.INVALID_TOKEN, "no")


def entry(deadline: float = 100.0, size: int = 100, sent: float = 0.0, about: About = ABOUT) -> Entry:
    return Entry(issued("x" * size), None, "id", Schedule(300, deadline, math.inf, kept=True, sent=sent), about)


def cache(**changes: Any) -> TokenCache:
    return TokenCache(**{"max_entries": 10, "max_bytes": 1 << 20, "negative_lifetime": 10, **changes})


def test_an_entry_serves_until_its_deadline_and_not_at_it() -> None:
    evicted: list[str] = []
    tokens = cache(on_evict=evicted.append)
    tokens.put(b"k", kept := entry(deadline=100))
    assert tokens.get(b"k", 99.999) is kept
    assert tokens.get(b"k", 100) is None
    assert (len(tokens), tokens.size, evicted) == (0, 0, ["expired"])


def test_the_least_recently_used_goes_first_in_entries_and_in_bytes() -> None:
    for limits in ({"max_entries": 2}, {"max_bytes": 2 * (ENTRY_OVERHEAD + 100)}):
        evicted: list[str] = []
        tokens = cache(**limits, on_evict=evicted.append)
        tokens.put(b"a", entry())
        tokens.put(b"b", entry())
        tokens.get(b"a", 0)
        tokens.put(b"c", entry())
        assert tokens.get(b"b", 0) is None
        assert tokens.get(b"a", 0) is not None
        assert evicted == ["size"]


def test_a_token_larger_than_the_cache_is_not_kept_and_pushes_nothing_out() -> None:
    tokens = cache(max_bytes=2 * (ENTRY_OVERHEAD + 100))
    tokens.put(b"a", entry())
    tokens.put(b"b", entry(size=100_000))
    assert tokens.get(b"a", 0) is not None
    assert tokens.get(b"b", 0) is None


@pytest.mark.threat("S18")
def test_refusals_last_seconds_and_push_no_token_out() -> None:
    tokens = cache(max_entries=3)
    tokens.put(b"good", entry())
    for number in range(1000):
        tokens.put_refusal(b"%d" % number, REFUSAL, ABOUT, now=0)
    assert tokens.get(b"good", 0) is not None
    assert tokens.refusal(b"999", 9.9) is REFUSAL
    assert tokens.refusal(b"999", 10) is None
    assert tokens.refusal(b"0", 0) is None  # bounded, too
    tokens.put_refusal(b"good", REFUSAL, ABOUT, now=0)
    tokens.put(b"good", entry())
    assert tokens.refusal(b"good", 0) is None  # a token outdates a refusal


def test_a_sweep_takes_the_dead_and_does_not_count_as_a_use() -> None:
    tokens = cache(max_entries=2)
    tokens.put(b"old", entry(deadline=200))
    tokens.put(b"new", entry(deadline=200))
    tokens.get(b"old", 0)
    tokens.sweep(50)
    tokens.put(b"newest", entry(deadline=100))
    assert tokens.get(b"new", 50) is None  # it was the least recently used before the sweep, and still after it
    tokens.sweep(100)
    assert len(tokens) == 1


def test_the_oldest_token_is_told_as_the_last_sweep_found_it() -> None:
    tokens = cache()
    assert tokens.oldest is None
    tokens.put(b"first", entry(deadline=50, sent=3))
    tokens.put(b"second", entry(sent=7))
    tokens.put(b"third", entry(sent=5))
    assert tokens.oldest == 3
    tokens.sweep(49)
    assert tokens.oldest == 3
    tokens.sweep(50)
    assert tokens.oldest == 5
    tokens.sweep(100)
    assert tokens.oldest is None
    tokens.put(b"fourth", entry(deadline=200, sent=101))
    assert tokens.oldest == 101


def test_a_flush_takes_what_it_is_told_to() -> None:
    evicted: list[str] = []
    tokens = cache(on_evict=evicted.append)
    other = replace(ABOUT, sub="bob")
    for key, about in ((b"a", ABOUT), (b"b", other), (b"c", ABOUT)):
        tokens.put(key, entry(about=about))
        tokens.put_refusal(key * 2, REFUSAL, about, now=0)
    assert tokens.flush(lambda about: about == ABOUT) == (2, 2)
    assert [tokens.get(key, 0) is not None for key in (b"a", b"b", b"c")] == [False, True, False]
    assert [tokens.refusal(key * 2, 0) is not None for key in (b"a", b"b", b"c")] == [False, True, False]
    assert evicted == ["flush", "flush"]
    assert tokens.size == ENTRY_OVERHEAD + 100
    assert tokens.flush(lambda _: True) == (1, 1)
    assert (len(tokens), tokens.size) == (0, 0)


def test_no_token_in_a_repr() -> None:
    assert "x" * 20 not in repr(entry())


class CacheMachine(RuleBasedStateMachine):
    """Holds the cache against a plain model: nothing is served that was not put, is dead, or was pushed out."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.evicted: list[str] = []
        self.cache = TokenCache(max_entries=4, max_bytes=6000, negative_lifetime=5, on_evict=self.evicted.append)
        self.put: dict[bytes, Entry] = {}
        self.refused: dict[bytes, float] = {}

    keys = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])

    @rule(key=keys, life=st.floats(0, 20), size=st.integers(0, 8000))
    def keep(self, key: bytes, life: float, size: int) -> None:
        self.put[key] = entry(self.now + life, size)
        self.cache.put(key, self.put[key])
        self.refused.pop(key, None)

    @rule(key=keys)
    def use(self, key: bytes) -> None:
        found = self.cache.get(key, self.now)
        if found is not None:
            assert found is self.put[key]
            assert self.now < found.schedule.deadline

    @rule(key=keys)
    def refuse(self, key: bytes) -> None:
        self.cache.put_refusal(key, REFUSAL, ABOUT, self.now)
        self.refused[key] = self.now + 5

    @rule(key=keys)
    def ask_refusal(self, key: bytes) -> None:
        if self.cache.refusal(key, self.now) is not None:
            assert self.now < self.refused[key]

    @rule(key=keys)
    def forget(self, key: bytes) -> None:
        self.cache.discard(key, "replaced")
        assert self.cache.get(key, self.now) is None

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        self.cache.sweep(self.now)
        live = [key for key in self.put if self.cache.get(key, self.now) is not None]
        assert len(self.cache) == len(live)

    @invariant()
    def bounded(self) -> None:
        assert len(self.cache) <= 4
        assert self.cache.size <= 6000
        assert (self.cache.size == 0) is (len(self.cache) == 0)


TestCacheMachine = CacheMachine.TestCase
