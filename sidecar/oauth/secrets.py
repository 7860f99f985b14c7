"""Where secrets and keys come from: a file that may be rotated while we run, or the environment.

How files are watched is ``sidecar.rotation``'s. Nothing here ever shows a value: not in a ``repr``, not in a message.
"""

import os
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from sidecar.rotation import FileError, Rotated

MAX_SECRET_BYTES: Final = 64 * 1024

T = TypeVar("T")


def file_secret(path: str, make: Callable[[bytes], T]) -> Rotated[T]:
    """Return what ``make`` makes of a secret in a file, which is never empty.

    The one newline that editors put at the end is not part of it. ValueError of ``make``: it is no good.
    FileError: at once, the file is missing, unreadable, no regular file, empty, over 64 KiB or no good.
    """
    return Rotated((path,), lambda contents: _made(path, _text(path, contents[0]), make), limit=MAX_SECRET_BYTES)


def env_secret(name: str, make: Callable[[bytes], T], environ: Mapping[str, str] = os.environ) -> Rotated[T]:
    """Return what ``make`` makes of an environment variable, which can't change while we run.

    FileError: the variable is not set or empty, or no good.
    """
    value = environ.get(name, "").encode("utf-8", "surrogateescape")
    if not value:
        raise FileError(f"the environment variable {name} is not set or empty")
    return Rotated((), lambda _: _made(f"the environment variable {name}", value, make))


def _text(path: str, content: bytes) -> bytes:
    value = content.removesuffix(b"\n").removesuffix(b"\r") if content.endswith(b"\n") else content
    if not value:
        raise FileError(f"{path} is empty")
    return value


def _made(where: str, value: bytes, make: Callable[[bytes], T]) -> T:
    try:
        return make(value)
    except ValueError as error:
        raise FileError(f"{where}: {error}") from None
