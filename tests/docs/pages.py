"""Reads the pages: their fenced blocks, each with what the comment right before it says about it.

Comments that a page's reader never sees tell what becomes of a block:

- ``<!-- file: NAME -->``: it is this file, or the next part of it;
- ``<!-- fragment -->``: YAML, a part of a configuration file, from its top level on;
- ``<!-- run -->``, ``<!-- run: exits with 1 -->``: a command, which ends with 0 or as it says;
- ``<!-- background: NAME, PORT -->``: a command that stays, and listens on the port when it is ready;
- ``<!-- output -->``, ``<!-- output of: NAME -->``: what the command before, or the one that stays, says;
- ``<!-- not run: REASON -->``: a command that is only shown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK: Final = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK: Final = re.compile(r"(file|fragment|run|background|output of|output|not run)(?:: (.+))?")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. place: page and line. mark, detail: what the comment says, before and after its colon."""

    place: str
    language: str
    text: str
    mark: str = ""
    detail: str = ""


class BadMark(Exception):
    """The comment before a block is none of those that are known."""


def blocks(page: str, name: str) -> Iterator[Block]:
    """Return a page's blocks in order. BadMark: for a comment right before one that means nothing here."""
    for found in _BLOCK.finditer(page):
        comment, language, text = found.groups()
        place = f"{name}:{page.count(chr(10), 0, found.start()) + 1}"
        if comment is None:
            yield Block(place, language, text)
        elif (mark := _MARK.fullmatch(comment)) is None:
            raise BadMark(f"{place}: {comment}")
        else:
            yield Block(place, language, text, mark[1], mark[2] or "")


def read(path: Path) -> list[Block]:
    """Return the blocks of a page that is a file."""
    return list(blocks(path.read_text(encoding="utf-8"), path.name))


def files(page: list[Block]) -> dict[str, str]:
    """Return the files that a page shows, by name, each with all its parts."""
    shown: dict[str, str] = {}
    for block in page:
        if block.mark == "file":
            shown[block.detail] = shown.get(block.detail, "") + block.text
    return shown
