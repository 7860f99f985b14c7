import time

from sidecar.model.clock import SYSTEM_CLOCK, Clock


def test_the_systems_clock_is_the_systems() -> None:
    before = time.monotonic(), time.time()
    read = SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.wall()
    assert before[0] <= read[0] <= time.monotonic()
    assert abs(read[1] - before[1]) < 3600  # the same epoch


def test_a_clock_is_two_functions() -> None:
    clock = Clock(lambda: 1.0, lambda: 2.0)
    assert (clock.monotonic(), clock.wall()) == (1.0, 2.0)
