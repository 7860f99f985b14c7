"""What a gateway leaves behind, sink by sink, and the search for secrets in all of it.

A sink is whatever somebody else may read: what upstreams and callers receive, logs, receipts, metrics, the status page,
and the ``repr`` of every value that a traceback or a debugger could show.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from sidecar.observe.logs import JsonFormatter
from tests.support.canary import search

MAX_OBJECTS = 20_000


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret found where it must not be; form: see ``canary.search``."""

    sink: str
    secret: str
    form: str


@dataclass
class Evidence:
    """Secrets by what they are called, and sinks by name."""

    secrets: dict[str, str] = field(default_factory=dict)
    sinks: dict[str, bytes] = field(default_factory=dict)

    def token(self, name: str, text: str) -> str:
        """Take note of a token: its text, and of a JWT also the parts that are nobody else's."""
        self.secrets[name] = text
        parts = text.split(".")
        if len(parts) == 3:
            self.secrets |= {f"{name}'s payload": parts[1], f"{name}'s signature": parts[2]}
        return text

    def leaks(self) -> list[Leak]:
        """Every secret in every sink."""
        names = {text: name for name, text in self.secrets.items()}
        return [
            Leak(sink, names[finding.secret], finding.form)
            for sink, haystack in self.sinks.items()
            for finding in search(haystack, *names)
        ]


def without_credentials(received: bytes, issued: Iterable[str]) -> bytes:
    """What an upstream received, without the one place where each issued token belongs."""
    for token in issued:
        received = received.replace(b"\r\nAuthorization: Bearer " + token.encode() + b"\r\n", b"\r\n")
    return received


def logged(records: Iterable[logging.LogRecord]) -> Mapping[str, bytes]:
    """Log records in both forms: as the standard library writes them, and as we do."""
    plain, ours = logging.Formatter("%(name)s %(levelname)s %(message)s"), JsonFormatter()
    kept = list(records)
    return {
        "plain log": "\n".join(plain.format(record) for record in kept).encode(errors="backslashreplace"),
        "JSON log": "\n".join(ours.format(record) for record in kept).encode(),
    }


def reprs(root: object) -> bytes:
    """The ``repr`` of every object of ours that can be reached."""
    return "\n".join(repr(each) for each in reachable(root) if _is_ours(each)).encode(errors="backslashreplace")


def reachable(root: object) -> Iterator[object]:
    """Every object that can be reached through attributes, items and closures."""
    seen: dict[int, object] = {}
    queue = deque([root])
    while queue:
        thing = queue.popleft()
        if id(thing) in seen or isinstance(thing, str | bytes | int | float | type | None):
            continue
        seen[id(thing)] = thing  # kept, so that no id is used twice
        if len(seen) > MAX_OBJECTS:
            raise AssertionError("there is no end to what can be reached")
        yield thing
        queue.extend(_children(thing))


def _children(thing: Any) -> Iterator[object]:
    if isinstance(thing, Mapping):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        yield from thing
    elif isinstance(thing, partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, MethodType):
        yield thing.__self__
    elif isinstance(thing, FunctionType):
        yield from (cell.cell_contents for cell in thing.__closure__ or ())
    elif _is_ours(thing):
        yield from getattr(thing, "__dict__", {}).values()
        slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
        yield from (getattr(thing, slot) for slot in slots if hasattr(thing, slot))


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] == "sidecar" or isinstance(thing, partial)
