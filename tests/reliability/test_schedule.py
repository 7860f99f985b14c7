"""A schedule can be repeated, ends well, and never has the authorization server fail for longer than is promised."""

import pytest

from tests.reliability.faults import Fault, Manner
from tests.reliability.schedule import Step, schedule

SECONDS = 3600.0


def test_the_same_number_gives_the_same_steps() -> None:
    assert schedule(7, SECONDS) == schedule(7, SECONDS)
    assert schedule(7, SECONDS) != schedule(8, SECONDS)


def test_every_fault_of_either_place_is_there() -> None:
    steps = schedule(1, 4 * SECONDS)
    manners = {place: {step.fault.manner for step in steps if step.place == place} for place in ("server", "upstream")}
    assert manners == {"server": set(Manner), "upstream": set(Manner) - {Manner.BUSY}}
    assert any(step.place == "configuration" for step in steps)


@pytest.mark.parametrize("seed", range(20))
def test_everything_is_well_at_the_end_and_between(seed: int) -> None:
    steps = schedule(seed, SECONDS)
    assert steps == sorted(steps, key=lambda step: step.at)
    assert all(0 < step.at <= SECONDS for step in steps)
    for place, longest in (("server", 8.0), ("upstream", 10.0)):
        own = [step for step in steps if step.place == place]
        for begins, ends in zip(own[::2], own[1::2], strict=True):
            assert begins.fault.manner is not Manner.PASS
            assert ends == Step(ends.at, begins.place, Fault())
            assert ends.at - begins.at <= longest
