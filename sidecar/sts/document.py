"""A YAML document and where its keys stand, for telling what is wrong with the embedded server's file.

Safe tags only, and no key twice. What the keys mean is not known here.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import yaml


class Mark(NamedTuple):
    """A place in a file, both counted from 1."""

    line: int
    column: int


START: Final = Mark(1, 1)


class DocumentError(Exception):
    """The text is no document that can be used. mark: where it stops being one; the message is without a value."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark


@dataclass(frozen=True, slots=True)
class Document:
    """What a document holds, as plain values."""

    content: object
    _root: yaml.Node | None

    def mark(self, path: Sequence[str | int]) -> Mark:
        """Where a key or an entry stands; for one that is not there, the nearest above it that is."""
        node, mark = self._root, START
        for part in path:
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
                if found is None:
                    break
                mark, node = _mark(found[0].start_mark), found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = _mark(node.start_mark)
            else:
                break
        return mark


def parse(data: bytes) -> Document:
    """Read one document. DocumentError: it is no YAML in UTF-8, has a key twice, or a tag that is not plain data."""
    try:
        loader = _UniqueKeys(data.decode("utf-8"))
        root = loader.get_single_node()
        return Document(loader.construct_document(root) if root is not None else None, root)
    except yaml.MarkedYAMLError as error:
        mark = _mark(error.problem_mark) if error.problem_mark is not None else START
        raise DocumentError(mark, error.problem or "not YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise DocumentError(START, "not a YAML file in UTF-8") from None


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML forbids and PyYAML overlooks."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if (key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)) in seen:
                raise yaml.constructor.ConstructorError(None, None, "a key is given twice", key.start_mark)
            seen.add((key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)))
        return super().construct_mapping(node, deep)


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)
