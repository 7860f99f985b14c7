"""YAML, the part of it that a configuration file may use, with the position of every key and value.

Built on the parser's events, so that nothing is ever constructed from a tag, copied through an alias or guessed from
a spelling: only ``true``, ``false``, ``null`` (``~``, nothing) and plain decimal numbers are other than text. The
traps of YAML 1.1 (``no``, ``010``, ``12:30``, dates) are therefore text, and the schema says where text is wrong.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from sidecar.config.problems import ConfigError, ConfigProblem, Mark, Path, Positions, show

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 250_000  # bounds the memory for positions, some 300 bytes each

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content (dict, list, str, int, float, bool, None), where it stands, and what YAML is wrong with it."""

    content: object
    positions: Positions
    problems: tuple[ConfigProblem, ...]


def parse(data: bytes, file: str) -> Document:
    """Read one document. What can be read around is in ``problems``.

    ConfigError: it can't be read to its end: no UTF-8, no YAML, empty, larger than 8 MiB, 64 levels or 250,000 values.
    """
    text = _decode(data, file)
    reader = _Reader(file)
    try:
        content = reader.document(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        raise reader.end(_mark(mark) if mark else Mark(1, 1), f"not YAML: {_reason(error)}") from None
    return Document(content, Positions(file, reader.keys, reader.values), tuple(reader.problems))


def _decode(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigError([ConfigProblem(file, 1, 1, "", "larger than 8 MiB")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        valid = data[: error.start].decode("utf-8-sig", "ignore")
        raise ConfigError([ConfigProblem(file, *_end(valid), "", "not UTF-8 from here on")]) from None
    if (match := _UNPRINTABLE.search(text)) is not None:
        before = _end(text[: match.start()])
        raise ConfigError([ConfigProblem(file, *before, "", "a control character, which YAML does not allow")])
    return text


def _reason(error: yaml.YAMLError) -> str:
    reason = ", ".join(text for name in ("context", "problem") if (text := getattr(error, name, None)))
    # {path: /orders/{id}} and {issuer: ${ISSUER}} end up here
    return f"{reason}; inside braces, quote values that have braces" if "flow mapping" in reason else reason


def _end(text: str) -> Mark:
    """The place right after a text."""
    return Mark(text.count("\n") + 1, len(text) - text.rfind("\n"))


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _scalar(event: yaml.ScalarEvent) -> object:
    """What a scalar means: quoted and block text is text, plain text only where it spells nothing else."""
    text = str(event.value)
    if event.style:  # the C parser says "" for plain
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


@dataclass(slots=True)
class _Reader:
    """Builds one document's content from the parser's events."""

    file: str
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)

    def document(self, events: Iterator[Any]) -> object:
        event = next(events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = next(events)
        if isinstance(event, yaml.StreamEndEvent):
            raise self.end(Mark(1, 1), "the file is empty")
        content = self._value(event, events, ())
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise self.end(_mark(event.start_mark), "a second document begins; a file holds one")
        return content

    def end(self, mark: Mark, message: str) -> ConfigError:
        """Return the error that ends the reading, with what was found before."""
        return ConfigError([*self.problems, ConfigProblem(self.file, *mark, "", message)])

    def _report(self, event: Any, path: Path, message: str) -> None:
        self.problems.append(ConfigProblem(self.file, *_mark(event.start_mark), show(path), message))

    def _value(self, event: Any, events: Iterator[Any], path: Path) -> object:
        mark = _mark(event.start_mark)
        if len(path) > MAX_DEPTH:
            raise self.end(mark, f"nested deeper than {MAX_DEPTH} levels")
        if len(self.values) == MAX_VALUES:
            raise self.end(mark, f"more than {MAX_VALUES} values")
        self.values[path] = mark
        if isinstance(event, yaml.AliasEvent):
            self._report(event, path, "aliases are not supported; write the value out")
            return None
        if event.anchor is not None:
            self._report(event, path, "anchors are not supported; write the value out where it is needed")
        elif event.tag is not None:
            self._report(event, path, "tags are not supported; quotes make text")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        return _scalar(event)

    def _sequence(self, events: Iterator[Any], path: Path) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._value(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, object]:
        members: dict[str, object] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is None:
                _skip(event, events)
                _skip(next(events), events)
            elif (first := self.keys.get((*path, key))) is not None:
                self._report(event, (*path, key), f"duplicate key, first on line {first.line}")
                _skip(next(events), events)
            else:
                self.keys[*path, key] = _mark(event.start_mark)
                members[key] = self._value(next(events), events, (*path, key))
        return members

    def _key(self, event: Any, path: Path) -> str | None:
        """Return the text of a key; None where it can't be one, which is then reported."""
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None or event.tag is not None:
            self._report(event, path, "anchors, aliases and tags are not supported")
            return None
        key = _scalar(event) if isinstance(event, yaml.ScalarEvent) else None
        if not isinstance(key, str):
            self._report(event, path, "a key should be text; quotes make it so")
            return None
        if key == "<<" and not event.style:
            self._report(event, path, "merge keys are not supported; write the keys out")
            return None
        return key


def _skip(event: Any, events: Iterator[Any]) -> None:
    """Pass over one node that is not kept."""
    depth = 0
    while True:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth == 0:
            return
        event = next(events)
