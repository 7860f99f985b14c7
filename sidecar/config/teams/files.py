"""Finds and reads the files of an include; what is in them is looked at elsewhere.

A team decides what lies in its directory, so what is there may be a link to somewhere else, a pipe, or far too much:
only ordinary files that lie below the pattern's own directory are read, and a bounded number of bytes.
"""

import os
import stat
from collections.abc import Iterable
from glob import escape, glob, has_magic
from pathlib import Path as FilePath
from typing import Final

from sidecar.config.environment import unreadable
from sidecar.config.loaded import Source
from sidecar.config.problems import ConfigProblem

MAX_FILES: Final = 1000  # of one include
MAX_BYTES: Final = 8 * 1024 * 1024  # of all files of one include


class UnreadableFilesError(Exception):
    """Whether and which files there are can't be told; the message says why."""


def find(pattern: str, directory: FilePath) -> list[str]:
    """Return the paths of the files that a pattern such as ``teams/a/*.yaml`` names, sorted; none is no error.

    A relative pattern, and its paths, start at the directory. UnreadableFilesError: a directory can't be looked into.
    """
    root = directory / _fixed(pattern)
    try:
        os.scandir(root).close()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UnreadableFilesError(f"the directory can't be looked into: {error.strerror}") from None
    found = sorted(glob(os.path.join(escape(str(directory)), pattern), recursive=True))
    if len(found) > MAX_FILES:
        raise UnreadableFilesError(f"more than {MAX_FILES} files")
    start = f"{directory}/"
    return [path.removeprefix(start) for path in found]


def read(
    names: Iterable[str], directory: FilePath, shown: str = "", below: str | None = None
) -> tuple[tuple[Source, ...], list[ConfigProblem]]:
    """Read files, and return them with what is wrong with those that can't be.

    names: paths that start at the directory. shown: the directory, as problems name it. below: the pattern that named
    the files; each must lie in the directory that the pattern begins with, wherever symbolic links lead.
    """
    sources: list[Source] = []
    problems: list[ConfigProblem] = []
    home = None if below is None else FilePath(os.path.realpath(directory / _fixed(below)))
    left = MAX_BYTES
    for name in names:
        title = os.path.join(shown, name)
        try:
            data = _read(directory / name, home, left)
        except OSError as error:
            problems.append(ConfigProblem(title, 1, 1, "", unreadable(error)))
        except ValueError as error:
            problems.append(ConfigProblem(title, 1, 1, "", str(error)))
        else:
            left -= len(data)
            sources.append(Source(title, data))
    return tuple(sources), problems


def _read(path: FilePath, home: FilePath | None, most: int) -> bytes:
    # Not Path.resolve, which raises RuntimeError for a link to itself.
    if home is not None and not FilePath(os.path.realpath(path)).is_relative_to(home):
        raise ValueError("a symbolic link leads out of the include's directory")
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is not a file")
    with open(path, "rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError("the files of an include are larger than 8 MiB together")
    return data


def _fixed(pattern: str) -> str:
    """The directory that a pattern begins with, before anything that stands for several."""
    parts = FilePath(pattern).parts[:-1]
    fixed = next((index for index, part in enumerate(parts) if has_magic(part)), len(parts))
    return os.path.join("", *parts[:fixed])
