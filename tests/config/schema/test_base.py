import pytest
from pydantic import ValidationError

from sidecar.config.schema.base import Section, key


class Example(Section):
    text: str = key("a", "A text.")
    inner: tuple[str, ...] = key((), "Texts.")


def test_a_section_refuses_unknown_keys_and_converts_nothing() -> None:
    for wrong in ({"txt": "a"}, {"text": 1}, {"inner": "a"}):
        with pytest.raises(ValidationError):
            Example.model_validate(wrong)


def test_a_section_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Example.model_validate({}).text = "b"


def test_errors_show_no_values() -> None:
    with pytest.raises(ValidationError) as refused:
        Example.model_validate({"text": ["s3cret"]})
    assert "s3cret" not in str(refused.value)


def test_a_default_is_read_like_a_value() -> None:
    class Wrong(Section):
        text: str = key(5, "Not a text.")

    with pytest.raises(ValidationError):
        Wrong.model_validate({})
