"""Which files a configuration comes from, and whether they are still what they were: by content, looked at in turns.

Neither the time of a file nor its inode says anything reliable about an editor's rename, a write in place or the
symbolic link that Kubernetes swaps, so every look reads. What is in the files is never judged here.
"""

import asyncio
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path as FilePath
from typing import Final

from sidecar.config.loaded import Loaded
from sidecar.config.teams import files

EVERY: Final = 1.0  # seconds between two looks
SETTLED: Final = 0.25  # seconds that a change has to stay as it is before it counts: files are written in pieces

#: A digest of each file's content, or of why it can't be read, by the file's absolute name.
Contents = Mapping[str, bytes]


def look(path: str | FilePath, patterns: Iterable[str]) -> Contents:
    """Read the configuration file and those that the patterns of its includes name, now."""
    file = FilePath(path).absolute()
    found = _read([file.name], file.parent)
    for pattern in patterns:
        try:
            found |= _read(files.find(pattern, file.parent), file.parent, below=pattern)
        except files.UnreadableFilesError as error:
            found[pattern] = _digest(str(error).encode())
    return found


def known(before: Contents, loaded: Loaded) -> Contents:
    """Return what a load has seen for certain: what was there before it, and the files of includes that it took.

    A file that changed while the load ran, or that it was the first to hear of and did not take, is then a change.
    """
    taken = (source for included in loaded.includes if not included.problems for source in included.sources)
    return {**before, **{str(FilePath(source.name).absolute()): _digest(source.data) for source in taken}}


async def changed(path: str | FilePath, patterns: Iterable[str], contents: Contents) -> None:
    """Return once the files are others than these, and rest."""
    patterns = tuple(patterns)
    earlier = contents
    while True:
        await asyncio.sleep(EVERY if earlier == contents else SETTLED)
        now = await asyncio.to_thread(look, path, patterns)
        if now == earlier != contents:
            return
        earlier = now


def _read(names: Iterable[str], directory: FilePath, below: str | None = None) -> dict[str, bytes]:
    sources, problems = files.read(names, directory, str(directory), below)
    found = {problem.file: _digest(problem.message.encode()) for problem in problems}
    return found | {source.name: _digest(source.data) for source in sources}


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()
