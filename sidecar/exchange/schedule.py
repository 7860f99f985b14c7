"""How long an issued token is used, and when a newer one is asked for.

One pure function over numbers: no clock is read and nothing is awaited here. Every rule about time that concerns an
issued token lives in this module and nowhere else. Instants are seconds on the monotonic clock unless they are named
``…_wall`` or ``…_exp`` (seconds since the epoch); durations are seconds.
"""

import math
from dataclasses import dataclass
from typing import Final

#: A margin never eats more than this part of a token's life, so that short tokens stay usable.
MARGIN_SHARE: Final = 0.2
#: A token that lives no longer serves the request it was asked for, and those that waited with it.
SHORTEST_KEPT: Final = 1.0
#: So long serves a token that was issued for a subject token past its ``exp``.
AFTER_THE_END: Final = 1.0
#: One key is refreshed at most this often: a server that gives short tokens is not asked in a loop.
REFRESH_INTERVAL: Final = 10.0
#: Refreshes are spread by this part of the time to them, so that tokens got together are not renewed together.
JITTER: Final = 0.1


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """What the configuration says about time (``cache:`` and the server's ``default_lifetime``)."""

    early_expiry: float = 30.0
    refresh_ahead: float = 0.8
    max_lifetime: float = 3600.0
    default_lifetime: float = 60.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long one issued token is used.

    life: seconds it was issued for, from ``sent`` on, within the configured maximum.
    deadline: the instant after which it is not used.
    refresh_at: the first use from this instant on starts one exchange in the background; infinite where a newer token
        could not live longer.
    kept: whether it may serve later requests at all.
    sent: when the request for it was sent.
    """

    life: float
    deadline: float
    refresh_at: float
    kept: bool
    sent: float


def schedule(
    lifetimes: Lifetimes,
    *,
    sent: float,
    sent_wall: float,
    expires_in: float | None,
    issued_exp: float | None,
    subject_exp: float,
    jitter: float,
    approved_until: float = math.inf,
) -> Schedule:
    """Work out a token's times from what the reply, the token and the subject token say.

    sent, sent_wall: when the request for it was sent, on both clocks.
    expires_in: of the reply (RFC 6749 §5.1), None where it is missing.
    issued_exp: ``exp`` of the issued token, None where it can't be read.
    subject_exp: ``exp`` of the subject token: a cap without margin, since the server won't tell us (RFC 8693 §2.1).
        Where it lies before sent_wall, the cap is AFTER_THE_END.
    jitter: a random number from -1 to 1.
    approved_until: the instant from which the approval that it was got under counts no more: a cap without margin.
    """
    said = [life for life in (expires_in, None if issued_exp is None else issued_exp - sent_wall) if life is not None]
    life = min([*(said or [lifetimes.default_lifetime]), lifetimes.max_lifetime])
    subject_end = sent + (subject_exp - sent_wall)
    usable_until = sent + life - max(0.0, min(lifetimes.early_expiry, MARGIN_SHARE * life))
    # Past its end a subject token is still taken for as long as clocks may differ. What the server gives for it then
    # serves all requests of one moment, else each of them would cost an exchange.
    deadline = min(usable_until, subject_end if subject_end > sent else sent + AFTER_THE_END, approved_until)

    refresh_at = math.inf
    if usable_until < min(subject_end, approved_until):
        ahead = lifetimes.refresh_ahead * (deadline - sent) * (1 + JITTER * jitter)
        candidate = sent + max(ahead, REFRESH_INTERVAL)
        if candidate < deadline:
            refresh_at = candidate
    return Schedule(life, deadline, refresh_at, kept=life > SHORTEST_KEPT and deadline > sent, sent=sent)
