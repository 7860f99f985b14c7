import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.environment import Surroundings, substitute, unreadable
from sidecar.config.problems import Finding

ENVIRON = {"HOST": "login.example.com", "NESTED": "${HOST}", "EMPTY": "", "BYTES": "\udcff"}


def replaced(text: str) -> str:
    found: list[Finding] = []
    value = substitute({"k": [text]}, ENVIRON, found)
    assert found == []
    assert isinstance(value, dict)
    return str(value["k"][0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("https://${HOST}/x", "https://login.example.com/x"),
        ("${HOST}${HOST}", "login.example.comlogin.example.com"),
        ("${NESTED}", "${HOST}"),
        ("${EMPTY}", ""),
        ("$${HOST}", "${HOST}"),
        ("$$${HOST}", "$${HOST}"),
        ("$$", "$$"),
        ("$HOST", "$HOST"),
        ("a$", "a$"),
    ],
)
def test_a_reference_takes_the_environments_value_once(text: str, value: str) -> None:
    assert replaced(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${GONE}", "the environment has no variable GONE"),
        ("${GONE} ${GONE} ${LOST}", "the environment has no variable GONE; the environment has no variable LOST"),
        ("${BYTES}", "the environment's BYTES is not UTF-8"),
        ("${", "should be ${NAME} for the environment's value, or $${ for a literal ${"),
        ("${A:-default}", "should be ${NAME} for the environment's value, or $${ for a literal ${"),
        ("${1A}", "should be ${NAME} for the environment's value, or $${ for a literal ${"),
        ("${HOST }", "should be ${NAME} for the environment's value, or $${ for a literal ${"),
    ],
)
@pytest.mark.threat("S62")
def test_what_can_not_be_replaced_is_found_and_left(text: str, message: str) -> None:
    found: list[Finding] = []
    assert substitute(["x", {"a": text}], ENVIRON, found) == ["x", {"a": text}]
    assert found == [Finding((1, "a"), message)]


def test_keys_and_other_values_are_left() -> None:
    found: list[Finding] = []
    tree = {"${HOST}": [1, 0.5, True, None]}
    assert substitute(tree, ENVIRON, found) == tree
    assert found == []


@given(st.text())
def test_an_escaped_text_is_itself_again(text: str) -> None:
    assert replaced(text.replace("${", "$${")) == text


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "blank").write_text(" \n\t")
    return Surroundings(tmp_path, {"SECRET": "s3cret", "BLANK": " "})


def test_files_are_found_beside_the_configuration_or_where_they_say(surroundings: Surroundings, tmp_path: Path) -> None:
    assert surroundings.readable("secret") == str(tmp_path / "secret")
    assert surroundings.readable(str(tmp_path / "secret")) == str(tmp_path / "secret")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone", "there is no such file"),
        ("secret/gone", "there is no such file"),
        (".", "is not a file"),
        ("/dev/null", "is not a file"),
        ("blank", "the file is empty"),
        ("x" * 5000, "the file can't be read"),
    ],
)
def test_a_file_that_can_not_serve_says_why(surroundings: Surroundings, path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surroundings.readable(path)


def test_a_pipe_is_no_file_and_nobody_waits_for_it(surroundings: Surroundings, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is not a file"):
        surroundings.readable("pipe")


def test_a_file_to_write_needs_its_directory(surroundings: Surroundings, tmp_path: Path) -> None:
    assert surroundings.writable("receipts.jsonl") == str(tmp_path / "receipts.jsonl")
    with pytest.raises(ValueError, match="directory does not exist"):
        surroundings.writable("gone/receipts.jsonl")


@pytest.mark.threat("S62")
def test_a_variable_with_a_secret_is_set_and_says_something(surroundings: Surroundings) -> None:
    assert surroundings.variable("SECRET") == "SECRET"
    for name in ("GONE", "BLANK"):
        with pytest.raises(ValueError, match="no such variable, or it is empty"):
            surroundings.variable(name)


def test_the_environment_stays_out_of_the_repr(surroundings: Surroundings) -> None:
    assert "s3cret" not in repr(surroundings)


def test_reasons_are_constant() -> None:
    assert unreadable(PermissionError("/secret/path")) == "the file may not be read"
    assert unreadable(IsADirectoryError()) == "is a directory, not a file"
    assert unreadable(OSError("/secret/path")) == "the file can't be read"
