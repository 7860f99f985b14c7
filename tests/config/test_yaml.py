import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import yaml
from sidecar.config.problems import ConfigError


def content(text: str) -> Any:
    document = yaml.parse(text.encode(), "f")
    assert document.problems == ()
    return document.content


def complaints(text: str | bytes) -> list[str]:
    try:
        document = yaml.parse(text.encode() if isinstance(text, str) else text, "f")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("0", 0),
        ("-7", -7),
        ("0.8", 0.8),
        ("True", "True"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("Null", "Null"),
        ("010", "010"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1:30.5", "1:30.5"),
        ("1e3", "1e3"),
        (".5", ".5"),
        ("5.", "5."),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("+5", "+5"),
        ("2026-11-21", "2026-11-21"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
        ("=", "="),
        ("'true'", "true"),
        ('"5"', "5"),
        ("|\n  5\n", "5\n"),
        ("9" * 30, "9" * 30),
    ],
)
@pytest.mark.threat("S61")
def test_only_plain_words_and_decimal_numbers_are_other_than_text(text: str, value: object) -> None:
    read = content(f"a: {text}")["a"]
    assert read == value
    assert type(read) is type(value)


def test_keys_and_values_have_positions_from_one() -> None:
    document = yaml.parse("é: ü\nlist:\n  - a\n  - {b: c}\nempty:\n".encode(), "f")
    positions = document.positions
    assert positions.keys[("é",)] == (1, 1)
    assert positions.values[("é",)] == (1, 4)
    assert positions.values[("list", 0)] == (3, 5)
    assert positions.keys["list", 1, "b"] == (4, 6)
    assert positions.values["list", 1, "b"] == (4, 9)
    assert positions.values[("empty",)] == (5, 7)


def test_a_byte_order_mark_and_crlf_move_nothing() -> None:
    document = yaml.parse("\ufeffa: 1\r\nb: 2\r\n".encode(), "f")
    assert document.positions.values[("b",)] == (2, 4)


@pytest.mark.threat("S61")
def test_every_duplicate_key_is_reported_at_the_key_and_the_first_stays() -> None:
    document = yaml.parse(b"a: 1\nb: {x: 1, x: [2]}\n'a': 3\na: 4\n", "f")
    assert [str(problem) for problem in document.problems] == [
        "f:2:11: b.x: duplicate key, first on line 2",
        "f:3:1: a: duplicate key, first on line 1",
        "f:4:1: a: duplicate key, first on line 1",
    ]
    assert document.content == {"a": 1, "b": {"x": 1}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: &x 1", "f:1:4: a: anchors are not supported; write the value out where it is needed"),
        ("b: *x", "f:1:4: b: aliases are not supported; write the value out"),
        ("a: !!python/object:os.system x", "f:1:4: a: tags are not supported; quotes make text"),
        ("a: !!str 1", "f:1:4: a: tags are not supported; quotes make text"),
        ("<<: {b: 1}", "f:1:1: merge keys are not supported; write the keys out"),
        ("1: x", "f:1:1: a key should be text; quotes make it so"),
        ("true: x", "f:1:1: a key should be text; quotes make it so"),
        ("~: x", "f:1:1: a key should be text; quotes make it so"),
        ("? [a, {b: c}]\n: [d]", "f:1:3: a key should be text; quotes make it so"),
        ("&k a: 1", "f:1:1: anchors, aliases and tags are not supported"),
        ("!t a: 1", "f:1:1: anchors, aliases and tags are not supported"),
        ("*k : 1", "f:1:1: anchors, aliases and tags are not supported"),
    ],
)
@pytest.mark.threat("S61")
def test_what_gives_yaml_a_second_meaning_is_refused(text: str, complaint: str) -> None:
    assert complaints(text) == [complaint]
    assert [line.partition(" ")[2] for line in complaints(f"{text}\nzz: 1\nzz: 2")][1:] == [
        f"zz: duplicate key, first on line {len(text.splitlines()) + 1}"
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "f:1:1: the file is empty"),
        (b"# nothing\n", "f:1:1: the file is empty"),
        (b"a: 1\nb: caf\xe9\n", "f:2:7: not UTF-8 from here on"),
        (b"a: 1\nb: \x00\n", "f:2:4: a control character, which YAML does not allow"),
        (b"a: 1\n---\nb: 2\n", "f:2:1: a second document begins; a file holds one"),
        (b"a: 1\n b: 2\n", "f:2:3: not YAML: mapping values are not allowed in this context"),
        (b"a: [1\n", "f:2:1: not YAML: while parsing a flow sequence, did not find expected ',' or ']'"),
        (b"a: b\n\tc: d\n", "f:2:1: not YAML: "),
        (b"x: 1\nx: 2\na: {p: /orders/{id}}\n", "f:2:1: x: duplicate key, first on line 1"),
    ],
)
def test_what_can_not_be_read_says_where(text: bytes, complaint: str) -> None:
    found = complaints(text)
    assert found[0].startswith(complaint)
    if b"orders" in text:
        assert found[1].endswith("inside braces, quote values that have braces")


def test_bounds() -> None:
    assert complaints("[" * 64 + "]" * 64) == []
    assert complaints("[" * 65 + "1" + "]" * 65) == ["f:1:66: nested deeper than 64 levels"]
    assert complaints("[" * 100_000) == ["f:1:66: nested deeper than 64 levels"]
    assert complaints("[" + "1," * yaml.MAX_VALUES + "]")[0].endswith("more than 250000 values")
    assert complaints(b"#" * (yaml.MAX_BYTES + 1)) == ["f:1:1: larger than 8 MiB"]


@pytest.mark.threat("S61")
def test_a_bomb_of_aliases_is_never_expanded() -> None:
    levels = "".join(f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 9)}]\n" for n in range(20))
    found = complaints(f"l0: &l0 [x]\n{levels}")
    assert sum("aliases" in line for line in found) == 180


TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn")), max_size=8)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(TREES, st.none() | st.just(1))
def test_json_is_read_as_json(tree: object, indent: int | None) -> None:
    assert content(json.dumps(tree, ensure_ascii=False, indent=indent)) == tree


@given(st.binary(max_size=200) | st.text(alphabet=":-[]{}&*!|>'\"%@`,?# \n\tab0", max_size=60).map(str.encode))
@pytest.mark.fuzz
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for problem in complaints(data):
        assert problem.startswith("f:")
