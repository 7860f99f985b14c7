from sidecar.model.operation import Operation
from tests.support.canary import Canary, search


def test_arguments_are_never_shown() -> None:
    argument = Canary.fresh("argument")
    operation = Operation("tools/call", "delete_file", {"path": argument.text})
    assert operation.arguments["path"] == argument.text
    assert not search(repr(operation).encode(), argument)
