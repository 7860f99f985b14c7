"""Whether lines still are the chain that was written: finds every line that is changed, missing, added or moved.

Needs the lines alone and keeps none of them. What is cut off at the end shows only against a digest kept elsewhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sidecar.commands.receipts.read import Line, lost, parse
from sidecar.observe import chain


@dataclass(slots=True)
class Verification:
    """after: the digest that the first line must name. anchor: a digest that some line must have, None for no such.

    head and lines: the digest of the last line, and how many there were, when all findings were taken.
    """

    after: str = chain.NONE
    anchor: str | None = None
    head: str = field(default=chain.NONE, init=False)
    lines: int = field(default=0, init=False)

    def findings(self, lines: Iterable[Line]) -> Iterator[str]:
        """Yield what is wrong, each with its place; nothing where the chain is whole."""
        before: Line | None = None
        self.head = self.after
        anchored = self.anchor is None or self.anchor == self.after
        for line in lines:
            self.lines += 1
            if (wrong := self._wrong(line, before)) is not None:
                yield f"{line.place}: {wrong}"
            self.head = chain.digest(line.raw or b"")
            anchored = anchored or self.head == self.anchor
            before = line
        if not anchored:
            yield f"no line has the digest {self.anchor}: lines were cut off at the end, or changed"

    def _wrong(self, line: Line, before: Line | None) -> str | None:
        if line.raw is None:
            return "longer than any receipt"
        if (named := chain.named(line.raw)) is None:
            return "not a line of a chain"
        if not line.raw.endswith(b"\n"):
            return "cut off in the middle"
        if named == self.head:
            if (receipt := parse(line.raw)) is None:
                return "not a receipt, though a line of the chain"
            return f"{number} receipts before this were never written" if (number := lost(receipt)) else None
        if before is not None:
            other = "a new chain begins here, and " if named == chain.NONE else ""
            return f"{other}it does not follow {before.place}: that line was changed, or lines are missing or moved"
        if self.after != chain.NONE:
            return f"the first line does not follow {self.after}, but {named}"
        return f"lines before it are missing: it follows {named}"
