"""Values made from files that others replace while we run: secrets, keys, certificates, tokens.

What counts is content, so a Kubernetes volume's swapped symlink is a change and a touched file is none. A value is
never lost: files that are gone, half-written or no good leave the last good one in use. Files are read in
``Rotation.look`` and ``Rotated.reread``, which both belong in a thread, never on the way of a request.
"""

import asyncio
import stat
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Final, Generic, TypeVar, cast
from weakref import WeakSet, WeakValueDictionary

MAX_BYTES: Final = 1024 * 1024
LOOK_EVERY: Final = 2.0  # seconds; a change is taken at the second look that finds it

T = TypeVar("T")
Contents = Sequence[bytes]


class FileError(Exception):
    """A file can't be used. The message names the file, never content."""


class Rotated(Generic[T]):
    """A value that is made from files, and made again when their content is another.

    make: gets the contents in the order of ``paths``. It may also read the paths itself: what it returns is taken only
    if they are the same afterwards. It raises FileError where they are no good.
    observed: called with ``success`` when a new value was taken, with ``failure`` once for each content that was not.

    FileError: at construction, the files can't be used.
    """

    def __init__(self, paths: Sequence[str], make: Callable[[Contents], T], *, limit: int = MAX_BYTES) -> None:
        self.paths = tuple(paths)
        self.observed: Callable[[str], None] | None = None
        self._make = make
        self._limit = limit
        self._lock = Lock()
        contents = self._read()
        self._value = make(contents)
        self._taken = self._candidate = _digest(contents)
        self._refused: bytes | None = None
        self._generation = 0

    def __repr__(self) -> str:
        return f"Rotated{self.paths!r}"

    @property
    def value(self) -> T:
        """The value as it is now; no file is read."""
        return self._value

    @property
    def generation(self) -> int:
        """A number that grows with every new value."""
        return self._generation

    def look(self) -> None:
        """Read the files; take what changed once two looks in a row find the same, since it may be half-written."""
        self._look(patient=True)

    def reread(self) -> None:
        """Read the files, and take what changed at once."""
        self._look(patient=False)

    def _look(self, *, patient: bool) -> None:
        with self._lock:
            try:
                contents = self._read()
            except FileError:
                contents = None
            found = b"" if contents is None else _digest(contents)
            settled = found == self._candidate or not patient
            self._candidate = found
            if found == self._taken:
                self._refused = None
            elif settled and found != self._refused:
                self._take(contents, found)

    def _take(self, contents: Contents | None, found: bytes) -> None:
        try:
            if contents is None:
                raise FileError("the files can't be read")
            value = self._make(contents)
            if _digest(self._read()) != found:
                raise FileError("the files changed while they were read")
        except FileError:
            self._refused = found
            self._tell("failure")
            return
        self._value, self._taken, self._refused = value, found, None
        self._generation += 1
        self._tell("success")

    def _read(self) -> Contents:
        return [read_file(path, self._limit) for path in self.paths]

    def _tell(self, outcome: str) -> None:
        if self.observed is not None:
            self.observed(outcome)


R = TypeVar("R", bound=Rotated[Any])


class Rotation:
    """Looks after the rotated values that somebody still uses.

    observed: called with the first path of a value and ``success`` or ``failure``, from any thread.
    """

    def __init__(self, observed: Callable[[str, str], None] | None = None) -> None:
        self._observed = observed
        self._watched: WeakSet[Rotated[Any]] = WeakSet()
        self._shared: WeakValueDictionary[Hashable, Rotated[Any]] = WeakValueDictionary()

    def watch(self, rotated: R) -> R:
        """Look after a value from now on, for as long as it is in use; returns it."""
        if rotated.paths:
            if self._observed is not None:
                rotated.observed = partial(self._observed, rotated.paths[0])
            self._watched.add(rotated)
        return rotated

    def shared(self, key: Hashable, make: Callable[[], R]) -> R:
        """Return the watched value of this key that is in use, or make one. FileError: as ``make`` raises it."""
        rotated = self._shared.get(key)
        if rotated is None:
            rotated = self._shared[key] = self.watch(make())
        return cast(R, rotated)

    def names(self) -> frozenset[str]:
        """The first paths of all values in use: how ``observed`` calls them."""
        return frozenset(rotated.paths[0] for rotated in self._watched)

    async def look(self) -> None:
        """Look at all files once, beside the loop."""
        watched = list(self._watched)
        await asyncio.to_thread(_look_at, watched)


def _look_at(watched: Sequence[Rotated[Any]]) -> None:
    for rotated in watched:
        rotated.look()


def read_file(path: str, limit: int) -> bytes:
    """Return a regular file's content.

    FileError: it is missing, unreadable, no regular file (a pipe would make us wait), or over ``limit`` bytes.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise FileError(f"{path} is no regular file")
        with Path(path).open("rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError):
        raise FileError(f"{path} can't be read") from None
    if len(content) > limit:
        raise FileError(f"{path} is larger than {limit} bytes")
    return content


def _digest(contents: Contents) -> bytes:
    return b"".join(sha256(content).digest() for content in contents)
