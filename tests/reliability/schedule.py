"""What goes wrong in a run of chaos, and when: it follows from a number alone, so that a run can be repeated.

Pure. Faults of the authorization server are short beside the time in which a token is renewed ahead of its end, as an
outage must be that warm users are promised not to notice; those of the upstream may be anything.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tests.reliability.faults import Fault, Manner

Place = Literal["server", "upstream", "configuration"]

_SERVER: Final = (*Manner,)
#: Its 429 is for the caller to understand.
_UPSTREAM: Final = tuple(manner for manner in Manner if manner not in (Manner.PASS, Manner.BUSY))
_RELOAD_EVERY: Final = (5.0, 40.0)  # seconds


@dataclass(frozen=True, slots=True)
class Step:
    """At so many seconds from the start, a place fails so, or is well again; ``configuration`` is reloaded."""

    at: float
    place: Place
    fault: Fault = Fault()  # noqa: RUF009  # it is frozen


def schedule(seed: int, seconds: float) -> list[Step]:
    """Return the steps of a run of so many seconds, in order; at its end everything is well."""
    chosen = random.Random(seed)
    steps = [
        *_windows("server", chosen, seconds, lasts=(2.0, 8.0), between=(12.0, 20.0)),
        *_windows("upstream", chosen, seconds, lasts=(2.0, 10.0), between=(1.0, 6.0)),
        *_reloads(chosen, seconds),
    ]
    return sorted(steps, key=lambda step: step.at)


def _windows(
    place: Literal["server", "upstream"],
    chosen: random.Random,
    seconds: float,
    *,
    lasts: tuple[float, float],
    between: tuple[float, float],
) -> Iterator[Step]:
    at = chosen.uniform(*between)
    while at < seconds:
        yield Step(at, place, _fault(place, chosen))
        at = min(seconds, at + chosen.uniform(*lasts))
        yield Step(at, place)
        at += chosen.uniform(*between)


def _fault(place: Literal["server", "upstream"], chosen: random.Random) -> Fault:
    manner = chosen.choice(_SERVER[1:] if place == "server" else _UPSTREAM)
    return Fault(
        manner,
        share=chosen.choice((0.3, 0.6, 1.0)),
        seconds=chosen.choice((1, 2, 4)) if manner is Manner.BUSY else chosen.uniform(0.1, 1.5),
        status=chosen.choice((500, 502, 503)),
        bodies=place == "server",
    )


def _reloads(chosen: random.Random, seconds: float) -> Iterator[Step]:
    at = chosen.uniform(*_RELOAD_EVERY)
    while at < seconds:
        yield Step(at, "configuration")
        at += chosen.uniform(*_RELOAD_EVERY)
