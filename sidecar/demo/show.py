"""How the demo's story looks on a terminal: titles, paragraphs, claims side by side, and whether all was as told.

Only what is passed in is printed, ASCII and at most 100 columns wide. What is told, and what is true, is the story's.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

from sidecar.demo.caller import Answer

WIDTH: Final = 100
_INDENT: Final = "   "
_BOLD, _DIM, _GREEN, _RED, _CYAN = "1", "2", "32", "31", "36"


class Show:
    """Prints. colour: whether the terminal understands it. ``as_told`` is whether every expectation was met so far."""

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        self._out = out
        self._colour = colour
        self.as_told = True
        self._after_marks = False

    def title(self, text: str) -> None:
        """Begin the story, or its end."""
        self._paragraph(self._styled(text, _BOLD))

    def step(self, number: int, title: str) -> None:
        """Begin a step."""
        self._paragraph(self._styled(f"{number}. {title}", _BOLD, _CYAN))

    def text(self, paragraph: str) -> None:
        """Tell something in a paragraph; its line breaks are made here."""
        self._paragraph(*(f"{_INDENT}{line}" for line in _wrapped(paragraph, WIDTH - len(_INDENT))))

    def lines(self, *lines: str) -> None:
        """Print lines as they are, to be copied."""
        self._paragraph(*(f"{_INDENT}{line}" if line else "" for line in lines))

    def asked(self, request: str, answer: Answer) -> None:
        """Tell a request of alice's in a few words, and what the gateway answered."""
        title = answer.members.get("title")
        said = f"{answer.phrase}{f': {title}' if isinstance(title, str) else ''}"
        self.lines(f"alice asks       {request}", f"gateway answers  {said}")

    def claims(self, columns: Mapping[str, Mapping[str, Any]]) -> None:
        """Show what tokens say, side by side, each under its name; ids are cut where there are more than two."""
        told = [_told(claims, whole=len(columns) <= 2) for claims in columns.values()]
        names = [name for name in told[0] if name != "acr" or any(each[name] != "-" for each in told)]
        self.table(["", *columns], [[name, *(each[name] for each in told)] for name in names])

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table."""
        widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]

        def line(row: Sequence[str]) -> str:
            return "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()

        self._paragraph(f"{_INDENT}{self._styled(line(heads), _DIM)}", *(f"{_INDENT}{line(row)}" for row in rows))

    def expect(self, told: str, expected: object, found: object) -> None:
        """Say something of which the story knows that it is true if these two are equal; otherwise show both."""
        if expected == found:
            self._marked("ok", told, _GREEN)
            return
        self.as_told = False
        self._marked("NO", told, _RED)
        self._print(f"{_INDENT}    expected: {expected}", f"{_INDENT}    found:    {found}")

    def broken(self, why: str) -> None:
        """Say that a step could not be told to its end."""
        self.as_told = False
        self._marked("NO", f"the story ends here: {why}", _RED)

    def _marked(self, mark: str, text: str, colour: str) -> None:
        first, *rest = _wrapped(text, WIDTH - len(_INDENT) - 4)
        self._print(f"{_INDENT}{self._styled(mark, colour)}  {first}", *(f"{_INDENT}    {line}" for line in rest))
        self._after_marks = True

    def _paragraph(self, *lines: str) -> None:
        """Print lines with an empty one after them, and one before them where marks came before."""
        self._print(*([""] if self._after_marks else []), *lines, "")
        self._after_marks = False

    def _styled(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self._colour else text

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._out, flush=True)


def folded(text: str) -> list[str]:
    """Return a text's lines, long ones broken; what is broken off keeps the indentation."""
    return [part for line in text.splitlines() for part in _folded_line(line)]


def _folded_line(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()))
    width = WIDTH - len(_INDENT)
    return textwrap.wrap(
        line, width, subsequent_indent=f"{indent}  ", break_on_hyphens=False, break_long_words=False
    ) or [""]


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines; what is to be copied, such as a path, is never broken."""
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


def _told(claims: Mapping[str, Any], *, whole: bool) -> dict[str, str]:
    """The claims that matter here, in the order in which they are best read."""
    issued_at, expires = claims.get("iat"), claims.get("exp")
    lifetime = f"{expires - issued_at} s" if isinstance(issued_at, int) and isinstance(expires, int) else "-"
    told = {name: _text(claims.get(name)) for name in ("sub", "act", "aud", "scope", "acr")}
    jti = _text(claims.get("jti"))
    return {**told, "lifetime": lifetime, "jti": jti if whole or len(jti) < 12 else f"{jti[:9]}..."}


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ", ".join(map(str, value))
        case {"sub": str(sub), "act": inner}:
            return f"{sub} < {_text(inner)}"
        case {"sub": str(sub)}:
            return sub
        case _:
            return str(value)
