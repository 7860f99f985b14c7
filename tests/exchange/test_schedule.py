import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.exchange.schedule import (
    AFTER_THE_END,
    JITTER,
    MARGIN_SHARE,
    REFRESH_INTERVAL,
    SHORTEST_KEPT,
    Lifetimes,
    Schedule,
    schedule,
)

SENT, WALL = 1000.0, 1_700_000_000.0
DEFAULTS = Lifetimes()


def times(
    expires_in: float | None = None,
    issued: float | None = None,
    subject: float = 10_000,
    jitter: float = 0.0,
    sent: float = SENT,
    lifetimes: Lifetimes = DEFAULTS,
    approved: float = math.inf,
) -> Schedule:
    """A schedule with lifetimes given in seconds from now."""
    return schedule(
        lifetimes,
        sent=sent,
        sent_wall=WALL,
        expires_in=expires_in,
        issued_exp=None if issued is None else WALL + issued,
        subject_exp=WALL + subject,
        jitter=jitter,
        approved_until=sent + approved,
    )


@pytest.mark.parametrize(
    ("expires_in", "issued", "life"),
    [
        (300, None, 300),
        (None, 300, 300),
        (600, 60, 60),  # a server that promises more than its token holds
        (60, 600, 60),
        (None, None, 60),  # default_lifetime
        (10**9, None, 3600),  # max_lifetime
        (0, 300, 0),
        (-5, None, -5),
    ],
)
def test_life_is_the_least_that_is_said(expires_in: float | None, issued: float | None, life: float) -> None:
    assert times(expires_in, issued).life == life


@pytest.mark.parametrize(("life", "deadline"), [(300, 270), (100, 80), (150, 120), (3600, 3570), (10, 8)])
def test_the_margin_is_early_expiry_or_a_fifth(life: float, deadline: float) -> None:
    assert times(life).deadline == SENT + deadline


@pytest.mark.threat("S15")
def test_the_subject_token_caps_without_margin() -> None:
    result = times(300, subject=280)
    assert result.deadline == SENT + 270
    assert times(300, subject=200).deadline == SENT + 200
    assert times(300, subject=200).refresh_at == math.inf  # a newer token could not live longer


@pytest.mark.parametrize(("life", "kept"), [(0, False), (-1, False), (SHORTEST_KEPT, False), (1.5, True)])
def test_a_token_of_a_second_serves_now_only(life: float, kept: bool) -> None:
    assert times(life).kept is kept


@pytest.mark.parametrize("subject", [0, -5, -30])
def test_what_is_issued_past_the_subject_tokens_end_serves_one_moment(subject: float) -> None:
    # It was accepted within leeway; leeway never extends what is issued for it beyond that.
    result = times(300, subject=subject)
    assert (result.kept, result.deadline, result.refresh_at) == (True, SENT + AFTER_THE_END, math.inf)
    assert not times(1, subject=subject).kept


def test_a_refresh_comes_at_the_configured_part_with_jitter() -> None:
    assert times(300).refresh_at == SENT + 0.8 * 270
    assert times(300, jitter=1).refresh_at == pytest.approx(SENT + 0.8 * 270 * (1 + JITTER))
    assert times(300, jitter=-1).refresh_at == pytest.approx(SENT + 0.8 * 270 * (1 - JITTER))


def test_short_tokens_are_not_refreshed_more_often_than_the_interval() -> None:
    assert times(15).refresh_at == SENT + REFRESH_INTERVAL  # 0.8 of 12 s would be earlier
    assert times(12).refresh_at == math.inf  # the deadline comes first


@given(
    expires_in=st.none() | st.floats(-10, 10**6),
    issued=st.none() | st.floats(-10, 10**6),
    subject=st.floats(-30, 10**6),
    jitter=st.floats(-1, 1),
    early=st.floats(0, 600),
    ahead=st.floats(0.1, 0.99),
)
@pytest.mark.threat("S15")
def test_no_token_is_used_when_it_might_be_dead(
    expires_in: float | None, issued: float | None, subject: float, jitter: float, early: float, ahead: float
) -> None:
    lifetimes = Lifetimes(early_expiry=early, refresh_ahead=ahead)
    result = times(expires_in, issued, subject, jitter, lifetimes=lifetimes)
    subject = subject if WALL + subject > WALL else AFTER_THE_END  # as far as floats can tell
    for end in (expires_in, issued, subject, lifetimes.max_lifetime):
        if end is not None:
            assert result.deadline <= SENT + end + 1e-6
    if result.life > 0:
        assert result.deadline >= min(SENT + (1 - MARGIN_SHARE) * result.life, SENT + subject) - 1e-6
    assert result.refresh_at == math.inf or SENT + REFRESH_INTERVAL <= result.refresh_at < result.deadline
    if result.kept:
        assert result.life > SHORTEST_KEPT
        assert result.deadline > SENT


def exchanges(
    rate: float, subject_life: float, issued_life: float, *, capped: bool = False, jitter: float = 0.0
) -> int:
    """Count the exchanges of one user at a steady rate until the subject token dies: an oracle that only knows
    when a token was got and what its schedule said."""
    count, held, next_refresh = 0, None, math.inf
    for tick in range(int(subject_life * rate)):
        now = tick / rate
        if held is None or now >= held.deadline or now >= next_refresh:
            count += 1
            life = min(issued_life, subject_life - now) if capped else issued_life
            new = schedule(
                Lifetimes(),
                sent=now,
                sent_wall=WALL + now,
                expires_in=life,
                issued_exp=WALL + now + life,
                subject_exp=WALL + subject_life,
                jitter=jitter,
            )
            if new.kept and (held is None or now >= held.deadline or new.deadline > held.deadline):
                held = new
            elif held is not None and now >= held.deadline:
                held = None
            next_refresh = held.refresh_at if held is new else now + REFRESH_INTERVAL
    return count


@pytest.mark.parametrize("jitter", [-1.0, 0.0, 1.0])
def test_a_subject_and_an_issued_token_of_five_minutes_cost_two_exchanges(jitter: float) -> None:
    assert exchanges(10, 300, 300, jitter=jitter) == 2


@pytest.mark.parametrize(("subject_life", "issued_life", "most"), [(3600, 300, 17), (300, 60, 8), (600, 15, 61)])
def test_steady_load_costs_one_exchange_a_lifetime(subject_life: float, issued_life: float, most: int) -> None:
    assert exchanges(10, subject_life, issued_life) <= most


def test_a_server_that_caps_at_the_subject_is_not_asked_in_a_loop() -> None:
    # Each newer token is shorter; the last second is served one by one.
    assert exchanges(10, 300, 300, capped=True) <= 4 + 10


@pytest.mark.parametrize(
    ("approved", "deadline", "kept"),
    [(1000, 270, True), (270, 270, True), (100, 100, True), (1, 1, True), (0, 0, False), (-5, -5, False)],
)
def test_nothing_is_kept_longer_than_its_approval(approved: float, deadline: float, kept: bool) -> None:
    got = times(300, subject=10_000, approved=approved)
    assert (got.deadline - SENT, got.kept) == (deadline, kept)


def test_an_approval_that_ends_is_no_reason_to_refresh() -> None:
    assert times(300, approved=280).refresh_at < math.inf
    assert times(300, approved=270).refresh_at == math.inf
    assert times(300, approved=100).refresh_at == math.inf


@given(st.floats(-10, 500), st.floats(1, 500), st.floats(-100, 500))
def test_an_approval_only_ever_shortens(approved: float, life: float, subject: float) -> None:
    with_it, without = times(life, subject=subject, approved=approved), times(life, subject=subject)
    assert with_it.deadline == min(without.deadline, SENT + approved)
    assert with_it.kept <= without.kept
    assert with_it.refresh_at >= without.refresh_at
