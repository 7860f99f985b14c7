"""Secrets and keys that live outside: a file that may be rotated while we run, or the environment.

A file is read again when its stat signature changes, which a Kubernetes volume's swapped symlink does too; a file that
can't be read after it once could leaves the last good value in use. Nothing here ever shows a value: not in a
``repr``, not in a message.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from sidecar.model.clock import SYSTEM_CLOCK, Clock

MAX_SECRET_BYTES: Final = 64 * 1024
CHECK_EVERY: Final = 1.0  # seconds between two looks at a file

_Signature = tuple[int, int, int]


class SecretError(Exception):
    """A secret can't be had. The message names the file or the variable, never content."""


class Secret(Protocol):
    """A value that may change while we run."""

    def value(self) -> bytes:
        """Return the value as it is now; never empty, never raises."""
        ...

    def reread(self) -> bool:
        """Look for a new value at once; True where there is one."""
        ...


class FileSecret:
    """A secret in a file, without the one newline that editors put at its end.

    observed: called with ``success`` when a changed file was read, with ``failure`` when a changed one can't be.

    SecretError: at construction, the file is missing, unreadable, no regular file, empty or over 64 KiB.
    """

    def __init__(
        self, path: str, *, clock: Clock = SYSTEM_CLOCK, observed: Callable[[str], None] | None = None
    ) -> None:
        self._path = path
        self._clock = clock
        self._observed = observed
        self._signature: _Signature | None = _signature(path)  # taken before reading: a later change is seen later
        self._value = _secret(path)
        self._looked_at = clock.monotonic()

    def __repr__(self) -> str:
        return f"FileSecret({self._path!r})"

    def value(self) -> bytes:
        """Return the secret; looks at the file's stat signature at most once a second, reads it when that changed."""
        now = self._clock.monotonic()
        if now - self._looked_at >= CHECK_EVERY:
            self._looked_at = now
            if _signature(self._path) != self._signature:
                self.reread()
        return self._value

    def reread(self) -> bool:
        """Read the file now, whatever its signature; True where the secret is another one than before."""
        self._signature = _signature(self._path)
        try:
            value = _secret(self._path)
        except SecretError:
            self._tell("failure")
            return False
        if value == self._value:
            return False
        self._value = value
        self._tell("success")
        return True

    def _tell(self, outcome: str) -> None:
        if self._observed is not None:
            self._observed(outcome)


class EnvSecret:
    """A secret in the environment, which can't change while we run.

    SecretError: at construction, the variable is not set or empty.
    """

    def __init__(self, name: str, environ: Mapping[str, str] = os.environ) -> None:
        self._name = name
        self._value = environ.get(name, "").encode("utf-8", "surrogateescape")
        if not self._value:
            raise SecretError(f"the environment variable {name} is not set or empty")

    def __repr__(self) -> str:
        return f"EnvSecret({self._name!r})"

    def value(self) -> bytes:
        """Return the secret."""
        return self._value

    def reread(self) -> bool:
        """Return False: the environment of a process stays as it is."""
        return False


def read_file(path: str, limit: int) -> bytes:
    """Return a regular file's content.

    SecretError: it is missing, unreadable, no regular file (a pipe would make us wait), or over ``limit`` bytes.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise SecretError(f"{path} is no regular file")
        with Path(path).open("rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError):
        raise SecretError(f"{path} can't be read") from None
    if len(content) > limit:
        raise SecretError(f"{path} is larger than {limit} bytes")
    return content


def _secret(path: str) -> bytes:
    value = read_file(path, MAX_SECRET_BYTES)
    value = value.removesuffix(b"\n").removesuffix(b"\r") if value.endswith(b"\n") else value
    if not value:
        raise SecretError(f"{path} is empty")
    return value


def _signature(path: str) -> _Signature | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
