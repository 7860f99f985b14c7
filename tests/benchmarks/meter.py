"""What a process and its children have used, as Linux counts it: seconds of CPU, bytes of memory."""

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and the children it has now, in user and kernel mode."""
    total = 0
    for each in _family(pid):
        # The program's name may hold spaces, but no field behind its closing parenthesis does.
        fields = Path(f"/proc/{each}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def core_seconds(core: int) -> float:
    """Return the time that a core has been busy, with whatever."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, *interrupts = map(int, ticks[:8])
            return (user + nice + system + sum(interrupts)) / _TICKS
    return 0.0


def resident(pid: int) -> int:
    """Return the bytes of memory that a process and its children hold at present."""
    return sum(_status(each, "VmRSS") for each in _family(pid))


def peak(pid: int) -> int:
    """Return the most bytes they held since ``reset_peak``."""
    return sum(_status(each, "VmHWM") for each in _family(pid))


def reset_peak(pid: int) -> None:
    """Begin to watch for the most bytes anew."""
    for each in _family(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5", encoding="ascii")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
