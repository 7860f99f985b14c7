"""YAML as the embedded server reads it, and where things stand in it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.sts.document import START, Document, DocumentError, Mark, parse

TEXT = b"""\
a: 1
b:
  - x
  - {c: 2, d: [3]}
5: five
e: &shared {f: 1}
g: *shared
"""


def test_what_it_holds() -> None:
    document = parse(TEXT)
    assert document.content == {
        "a": 1,
        "b": ["x", {"c": 2, "d": [3]}],
        5: "five",
        "e": {"f": 1},
        "g": {"f": 1},
    }


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        ((), START),
        (("a",), Mark(1, 1)),
        (("b",), Mark(2, 1)),
        (("b", 0), Mark(3, 5)),
        (("b", 1, "c"), Mark(4, 6)),
        (("b", 1, "d", 0), Mark(4, 16)),
        (("5",), Mark(5, 1)),
        (("g", "f"), Mark(6, 13)),  # where it is written
        (("b", 1, "no"), Mark(4, 5)),
        (("b", 2), Mark(2, 1)),
        (("b", "x"), Mark(2, 1)),
        (("a", "deeper"), Mark(1, 1)),
        (("no", "a"), START),
    ],
)
def test_where_things_stand(path: tuple[str | int, ...], mark: Mark) -> None:
    assert parse(TEXT).mark(path) == mark


@pytest.mark.parametrize(
    ("text", "mark", "message"),
    [
        (b"a: 1\nb: 2\na: 3\n", Mark(3, 1), "a key is given twice"),
        (b"a: {x: 1, x: 2}\n", Mark(1, 11), "a key is given twice"),
        (b"a: [\n", Mark(2, 1), ""),
        (b"a: !!python/object/apply:os.system [ls]\n", Mark(1, 4), "could not determine a constructor"),
        (b"{[a]: b}", Mark(1, 2), "found unhashable key"),
        (b"a: 1\n---\nb: 2\n", Mark(2, 1), "but found another document"),
        (b"a: 2026-99-99\n", START, "not a YAML file in UTF-8"),
        (b"a: \xff\n", START, "not a YAML file in UTF-8"),
        (b"\x00", START, "not a YAML file in UTF-8"),
        (b"[" * 100_000, START, "not a YAML file in UTF-8"),
    ],
)
def test_what_is_none(text: bytes, mark: Mark, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(text)
    assert caught.value.mark == mark
    assert str(caught.value).startswith(message)


def test_nothing_at_all() -> None:
    for text in (b"", b"# nothing\n"):
        document = parse(text)
        assert document.content is None
        assert document.mark(("a", 0)) == START
    assert Document(None, None).mark(("a",)) == START


def test_a_document_that_holds_itself() -> None:
    assert parse(b"a: &a [*a]").mark(("a", 0, 0, 0, 0)) == Mark(1, 4)


@given(st.binary(max_size=100))
def test_no_bytes_break_it(data: bytes) -> None:
    with suppress(DocumentError):
        assert parse(data).mark(("a", 0)) >= START
