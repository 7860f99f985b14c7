import pytest
from pydantic import ValidationError

from sidecar.config.schema.mcp import Operation, Operations
from tests.config.conftest import read


def test_requests_are_refused_and_the_rest_is_allowed_by_default() -> None:
    left_out = read(Operations, {})
    assert left_out.default == "refuse"
    assert {left_out.get, left_out.delete, left_out.responses, left_out.notifications} == {"allow"}
    assert (left_out.allowed_origins, left_out.tools, left_out.methods) == ((), {}, {})


def test_what_an_operation_asks_for() -> None:
    tools = read(Operations, {"tools": {"delete_*": {"scope": ["a"], "max_age": "1m"}}}).tools
    assert tools == {"delete_*": Operation(scope=("a",), max_age=60)}


@pytest.mark.parametrize("wrong", [{"tools": {"a": None}}, {"default": None}, {"other": 1}, {"tools": {"a": {"x": 1}}}])
def test_what_is_no_such_section(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        read(Operations, wrong)
