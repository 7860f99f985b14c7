"""Starts a program the way a node starts a container: ``python confine.py SPEC``, where SPEC is a file of JSON.

In a mount namespace of its own it mounts the volumes, makes the root read-only and enters it; then it gives up every
capability, the way to get one back, its groups and its user, and becomes the program. Must be started as root.
Seccomp filters and resource limits are the node's and not played.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

CLONE_NEWNS: Final = 0x00020000
MS_RDONLY: Final = 1
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
LAST_CAPABILITY: Final = 63

libc = ctypes.CDLL(None, use_errno=True)


def main(spec: dict[str, Any]) -> None:
    """Become the program of this spec: root, user, group, mounts (path → folder), argv, env."""
    root = Path(spec["root"])
    _call("unshare", CLONE_NEWNS)
    _mount(None, "/", MS_REC | MS_PRIVATE)
    _mount(str(root), str(root), MS_BIND | MS_REC)
    for inside, outside in spec["mounts"].items():
        place = root / inside.lstrip("/")
        _mount(outside, str(place), MS_BIND)
        _mount(None, str(place), MS_BIND | MS_REMOUNT | MS_RDONLY)
    _mount(None, str(root), MS_BIND | MS_REMOUNT | MS_RDONLY)
    for shared in ("/proc", "/dev"):
        _mount(shared, str(root / shared.lstrip("/")), MS_BIND | MS_REC)
    os.chroot(root)
    os.chdir("/")
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # those that this kernel does not have can't be dropped
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(spec["group"])
    os.setuid(spec["user"])
    os.execve(spec["argv"][0], spec["argv"], spec["env"])


def _mount(source: str | None, target: str, flags: int) -> None:
    _call("mount", source.encode() if source else None, target.encode(), None, flags, None)


def _call(name: str, *arguments: Any) -> None:
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
