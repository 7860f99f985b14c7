"""What is wrong between what a route says of the Model Context Protocol and its other keys.

Works on the file's content, as ``rules`` does; a value that the schema refuses is passed over here.
"""

from collections.abc import Iterator

from sidecar.config import values
from sidecar.config.problems import Finding
from sidecar.config.tree import Part
from sidecar.config.workload import is_ours


def findings(root: Part) -> Iterator[Finding]:
    """Return what is wrong with the ``mcp`` of the routes of a file."""
    for route in root["routes"].items():
        if "mcp" in route:
            yield from _route(route, route["mcp"])


def operations(mcp: Part) -> Iterator[Part]:
    """Return what is asked for each tool and each method that is named."""
    return (operation for kind in ("tools", "methods") for _, operation in mcp[kind].members())


def _route(route: Part, mcp: Part) -> Iterator[Finding]:
    if route["exchange"].value == "none":
        yield mcp.finding("has no effect with exchange: none, where nobody's token is looked at")
    if route["upstream"]["websocket"].value is True:
        yield route["upstream"]["websocket"].finding("should be false beside mcp: messages in a WebSocket are not read")
    ours = is_ours(route["exchange"]["subject_token"]) and not list(route["subject"]["issuers"].items())
    allowed = [item.text for item in route["subject"]["acr_values"].items()]
    longest = _seconds(route["subject"]["max_age"])
    for operation in operations(mcp):
        for value in operation["acr_values"].items():
            if allowed and value.text is not None and value.text not in allowed:
                yield value.finding("should be among subject.acr_values, which count for every operation")
        yield from _approval(str(operation.path[-2]), operation)
        for login in ("acr_values", "max_age"):
            if ours and login in operation:
                yield operation[login].finding("needs subject.issuers: without a caller's token nobody has logged in")
        if longest is not None and (_seconds(operation["max_age"]) or 0) > longest:
            yield operation["max_age"].finding("should be no longer than subject.max_age, which counts as well")


def _approval(kind: str, operation: Part) -> Iterator[Finding]:
    arguments = operation["approval"]["arguments"]
    if kind == "methods" and list(arguments.items()):
        yield arguments.finding("has no effect: only tools have arguments")


def _seconds(part: Part) -> int | None:
    try:
        return values.whole_seconds(part.value)
    except ValueError:
        return None
