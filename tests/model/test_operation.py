from sidecar.model.operation import Operation
from tests.support.canary import Canary, search


def test_nothing_that_a_body_says_is_shown() -> None:
    method, tool, argument = (Canary.fresh(part) for part in ("method", "tool", "argument"))
    operation = Operation(method.text, tool.text, {"path": argument.text})
    assert (operation.method, operation.tool, operation.arguments["path"]) == (method.text, tool.text, argument.text)
    assert not search(repr(operation).encode(), method, tool, argument)
