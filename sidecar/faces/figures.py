"""Numbers in words for people: rates, durations, sizes, shares. None is a dash: there is nothing to tell."""

from typing import Final

NOTHING: Final = "–"
_SIZES: Final = ("bytes", "KiB", "MiB", "GiB")


def count(number: int) -> str:
    """Return a number with its thousands apart: ``12,345``."""
    return f"{number:,}"


def rate(per_second: float) -> str:
    """Return a rate per second, with as many digits as say something: ``0.05``, ``4.2``, ``1,280``."""
    if per_second >= 100:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2g}"


def share(ratio: float | None) -> str:
    """Return a share in percent; what is not all or nothing is never rounded to it."""
    if ratio is None:
        return NOTHING
    if 0 < ratio < 1:
        ratio = min(max(ratio, 0.001), 0.999)
    return f"{ratio:.1%}" if 0.99 < ratio < 1 or 0 < ratio < 0.01 else f"{ratio:.0%}"


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: ``250 ms``, ``42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def size(number: int) -> str:
    """Return a number of bytes: ``812 bytes``, ``1.4 MiB``."""
    value, unit = float(number), 0
    while value >= 1024 and unit + 1 < len(_SIZES):
        value, unit = value / 1024, unit + 1
    return f"{value:.3g} {_SIZES[unit]}" if value < 1000 else f"{value:.0f} {_SIZES[unit]}"
