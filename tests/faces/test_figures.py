import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.faces.figures import NOTHING, count, duration, rate, share, size


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, NOTHING),
        (0, "0 ms"),
        (0.00051, "0.51 ms"),
        (0.25, "250 ms"),
        (2.5, "2.5 s"),
        (42.4, "42 s"),
        (59.9, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_399.7, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


@given(st.floats(0, 1e9))
def test_a_duration_is_never_more_than_two_units(seconds: float) -> None:
    assert len(duration(seconds).split()) in (2, 4)


@pytest.mark.parametrize(
    ("per_second", "told"),
    [(0, "0"), (0.05, "0.05"), (0.117, "0.12"), (4.25, "4.2"), (99.9, "99.9"), (1280.4, "1,280")],
)
def test_rates(per_second: float, told: str) -> None:
    assert rate(per_second) == told


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        (None, NOTHING),
        (0, "0%"),
        (1, "100%"),
        (0.5, "50%"),
        (0.98, "98%"),
        (0.995, "99.5%"),
        (0.99999, "99.9%"),
        (1e-6, "0.1%"),
    ],
)
def test_shares(ratio: float | None, told: str) -> None:
    assert share(ratio) == told


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_what_is_not_all_or_nothing_is_not_told_so(ratio: float) -> None:
    assert share(ratio) not in ("0%", "100%", "100.0%", "0.0%")


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0 bytes"), (812, "812 bytes"), (1536, "1.5 KiB"), (64 * 1024**2, "64 MiB"), (5000 * 1024**3, "5000 GiB")],
)
def test_sizes(number: int, told: str) -> None:
    assert size(number) == told


def test_counts() -> None:
    assert count(12345) == "12,345"
