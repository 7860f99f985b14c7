"""What a request asks a tool server to do, and by which rule of its route (Model Context Protocol, Streamable HTTP).

The body is read once, whole, and goes on byte for byte. Header fields that name the operation must say the same as the
body does; a session's id is never looked at, since it proves nothing about the caller.
"""

import asyncio
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sidecar.caller.json_rpc import Form, Message, holds, malformed, read_message, refuse_lookalikes
from sidecar.model.mcp import MCP, Rule
from sidecar.model.operation import Operation
from sidecar.model.refusal import Kind, Oversize, Refused, refuse
from sidecar.model.request import RequestHead
from sidecar.model.route import Cors, Route

#: Returns the whole body of the request at hand, of at most so many bytes, within what its route allows.
ReadBody = Callable[[Route, int], Awaitable[bytes]]

#: Bytes of a message.
MAX_BODY: Final = 1024 * 1024
#: A larger one is read in a thread: it may hold very many objects, and nobody else should wait for them.
LARGE: Final = 64 * 1024
TOOL_CALL: Final = "tools/call"

#: Where nothing narrower decided.
_KEY: Final = ("mcp",)
#: Bytes of a token; a shorter one would be found in ordinary text.
SHORTEST_NEEDLE: Final = 16

#: By method, which of its params ``Mcp-Name`` repeats; of other methods, any that names something.
_NAMED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    TOOL_CALL: ("name",),
    "prompts/get": ("name",),
    "resources/read": ("uri",),
}
_NAMES: Final = ("name", "uri", "taskId")
_JSON: Final = re.compile(rb'application/json[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?', re.IGNORECASE)
_ENCODED: Final = re.compile(rb"=\?base64\?.*\?=")
#: A name that nobody wrote down has to be one that every server reads alike.
_PLAIN: Final = re.compile(r"[\x21-\x7e]{1,128}")


def refuse_page(request: RequestHead, mcp: MCP, cors: Cors | None) -> None:
    """Refuse a request of a web page that may not call; who names no origin is no page. Refused: POLICY_DENIED."""
    origins = request.values(b"origin")
    if not origins or (len(origins) == 1 and origins[0] in mcp.allowed_origins):
        return
    if cors is None or not cors.allows(origins):
        reason = "Pages of this origin may not call this route."
        raise refuse(Kind.POLICY_DENIED, reason, finding="mcp.allowed_origins", key=("mcp", "allowed_origins"))


async def read_operation(
    request: RequestHead, route: Route, mcp: MCP, body: ReadBody | None, needles: Sequence[bytes]
) -> Operation | None:
    """Return what a request asks for; None where it opens a stream, ends a session, or answers the server.

    body: None where nobody can read it. needles: what finds the caller's token, which must not be in it.
    Refused: INVALID_REQUEST or TOO_LARGE for a body that is not one message of at most MAX_BODY bytes, or that says
    something else than the head; POLICY_DENIED for what the route does not take. Whatever ``body`` raises.
    """
    if body is None:
        raise refuse(
            Kind.POLICY_DENIED, "This route takes requests with their bodies only.", finding="an mcp route", key=_KEY
        )
    if request.method != "POST":
        _allow_without_message(request, mcp)
        return None
    _check_head(request)
    content = await body(route, MAX_BODY)
    read = partial(_read, content, needles)
    message = read() if len(content) <= LARGE else await asyncio.to_thread(read)
    _agree(request, message)
    if message.form is Form.RESPONSE:
        return _allowed(None, mcp.responses, "responses")
    operation = Operation(message.method, *_called(message, mcp))
    if message.form is Form.NOTIFICATION:
        return _allowed(operation, mcp.notifications, "notifications")
    return operation


def _read(content: bytes, needles: Sequence[bytes]) -> Message:
    """The message, without the caller's token: somebody may have talked an agent into telling it."""
    message = read_message(content)
    if holds(content, (needle for needle in needles if len(needle) >= SHORTEST_NEEDLE)):
        raise refuse(Kind.INVALID_REQUEST, "The token is in the body.", key=_KEY)
    return message


def rule_of(mcp: MCP, operation: Operation | None) -> Rule | None:
    """Return the rule that an operation is judged by, None where the route says nothing of its own about it.

    Refused: POLICY_DENIED where the route does not take it.
    """
    if operation is None or operation.method.startswith("notifications/"):
        return None
    if operation.tool is not None:
        rule = _first(mcp.tools, operation.tool)
        if rule is None:
            raise _denied("The tool may not be called here.", "no key of mcp.tools takes the tool", "tools")
        return rule
    rule = next((each for each in mcp.methods if each.pattern == operation.method), None)
    if rule is None:
        known = {each.pattern.casefold() for each in mcp.methods} | {TOOL_CALL}
        if not mcp.default:
            raise _denied("The method may not be used here.", "no key of mcp.methods names the method", "methods")
        if operation.method.casefold() in known or not _PLAIN.fullmatch(operation.method):
            raise _denied("The method may not be used here.", "the method is nearly another one's", "methods")
    return rule


def _first(rules: Sequence[Rule], name: str) -> Rule | None:
    """The first rule that takes a tool. Refused where a server that does not tell cases apart would take another."""
    rule = next((each for each in rules if _takes(each.pattern, name)), None)
    if rule is None or rule.pattern == name:
        return rule
    folded = name.casefold()
    loosely = next((each for each in rules if _takes(each.pattern.casefold(), folded)), None)
    if loosely is not rule or not _PLAIN.fullmatch(name):
        raise _denied("The tool may not be called here.", "the tool's name is nearly another one's", "tools")
    return rule


def _takes(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _allow_without_message(request: RequestHead, mcp: MCP) -> None:
    if request.chunked or request.content_length:
        raise refuse(Kind.INVALID_REQUEST, "Only POST carries a message here.", key=_KEY)
    if request.method in ("GET", "HEAD"):
        _allowed(None, mcp.get, "get")
    elif request.method == "DELETE":
        _allowed(None, mcp.delete, "delete")
    else:
        reason = "This route takes POST, GET and DELETE."
        raise refuse(Kind.POLICY_DENIED, reason, finding="no method of the protocol", key=_KEY)


def _allowed(operation: Operation | None, allowed: bool, key: str) -> Operation | None:
    if not allowed:
        raise _denied("This kind of message is not taken here.", f"mcp.{key} is refuse", key)
    return operation


def _check_head(request: RequestHead) -> None:
    """A body that is said to be anything but plain JSON is not looked at: others might read it as that."""
    types = request.values(b"content-type")
    if len(types) != 1 or not _JSON.fullmatch(types[0]):
        raise refuse(Kind.INVALID_REQUEST, "The body has to be application/json.", key=_KEY)
    if request.values(b"content-encoding"):
        raise refuse(Kind.INVALID_REQUEST, "The body must not be encoded.", key=_KEY)
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise refuse(Kind.TOO_LARGE, "The request's body is too large.", oversize=Oversize.BODY, key=_KEY)


def _agree(request: RequestHead, message: Message) -> None:
    """Refuse a head that names another operation than the body: whoever is behind us may look at either."""
    methods, names = request.values(b"mcp-method"), request.values(b"mcp-name")
    if methods and methods != [message.method.encode()]:
        raise refuse(Kind.INVALID_REQUEST, "Mcp-Method is not the body's method.", key=_KEY)
    if names:
        said = [message.params.get(key) for key in _NAMED_BY.get(message.method, _NAMES)]
        if len(names) != 1 or not any(isinstance(name, str) and _is(names[0], name) for name in said):
            raise refuse(Kind.INVALID_REQUEST, "Mcp-Name is not the body's name.", key=_KEY)


def _is(value: bytes, name: str) -> bool:
    """Whether a field's value is this name, as it is or in Base64 (Streamable HTTP, "Value Encoding")."""
    if _ENCODED.fullmatch(value):
        return value == b"=?base64?%b?=" % b64encode(name.encode())
    return value == name.encode()


def _called(message: Message, mcp: MCP) -> tuple[str | None, Mapping[str, Any]]:
    """The tool that a message calls, if it calls one, and those of its arguments that its rule names."""
    if message.method != TOOL_CALL:
        return None, {}
    name, arguments = message.params.get("name"), message.params.get("arguments")
    if not isinstance(name, str) or not name:
        raise malformed("the call names no tool")
    if arguments is not None and not isinstance(arguments, dict):
        raise malformed("the arguments are no object")
    rule = next((each for each in mcp.tools if _takes(each.pattern, name)), None)
    if rule is None or not rule.arguments or not arguments:
        return name, {}
    refuse_lookalikes(arguments, rule.arguments)
    return name, {each: arguments[each] for each in rule.arguments if each in arguments}


def _denied(reason: str, finding: str, key: str) -> Refused:
    return refuse(Kind.POLICY_DENIED, reason, finding=finding, key=("mcp", key))
