"""One JSON-RPC 2.0 message, read so that nobody behind us can read another one (Model Context Protocol, "Messages").

Pure. What parsers disagree about is refused: batches, members given twice or in another case, nesting without end. What
a message may do is not judged here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.oauth.jwt import strict_json

_MEMBERS: Final = ("jsonrpc", "id", "method", "params", "result", "error")
_PARAMS: Final = ("name", "arguments", "uri", "taskId")
#: All notifications of the protocol begin so, and nothing else does.
_NOTIFICATIONS: Final = "notifications/"
_NOTHING: Final[Mapping[str, Any]] = {}


class Form(Enum):
    """What kind of message it is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. method: empty for a response. params: JSON values by name, empty where there are none."""

    form: Form
    method: str = ""
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_message(body: bytes) -> Message:
    """Return the one message that a body is.

    Refused (INVALID_REQUEST): it is none, or several, or one that others may read as another.
    """
    try:
        document = strict_json(body)
    except (ValueError, RecursionError):
        raise malformed("the body is not strict JSON") from None
    if isinstance(document, list):
        raise malformed("the body is a batch")
    if not isinstance(document, dict) or document.get("jsonrpc") != "2.0":
        raise malformed("the body is no JSON-RPC 2.0 message")
    refuse_lookalikes(document, _MEMBERS)
    if "method" not in document:
        return _response(document)
    if "result" in document or "error" in document:
        raise malformed("the message is both a call and a response")
    return _call(document)


def holds(body: bytes, needles: Iterable[bytes]) -> bool:
    """Whether one of these is in a body that is strict JSON, however its text is escaped there."""
    needles = tuple(needles)
    if any(needle in body for needle in needles):
        return True
    if b"\\" not in body:
        return False
    plain = json.dumps(strict_json(body), ensure_ascii=False).encode("utf-8")
    return any(needle in plain for needle in needles)


def refuse_lookalikes(members: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse an object with a member that is nearly one of these names.

    Some parsers take it for the same, and of two such members the last one. Refused: INVALID_REQUEST.
    """
    folded = {_folded(name): name for name in names}
    for name in members:
        if folded.get(_folded(name), name) != name:
            raise malformed("a member's name is nearly one of the protocol's")


def _folded(name: str) -> str:
    """A name as it is left by those who fold case, end text at a NUL, or cut off spaces."""
    return name.partition("\0")[0].strip().casefold()


def malformed(finding: str) -> Refused:
    """Return the refusal of a body. finding: which form it should have."""
    return refuse(Kind.INVALID_REQUEST, "The body is not one JSON-RPC message.", finding=finding, key=("mcp",))


def _response(document: Mapping[str, Any]) -> Message:
    if "id" not in document or ("result" in document) == ("error" in document):
        raise malformed("the message has no method, and is no response")
    return Message(Form.RESPONSE)


def _call(document: Mapping[str, Any]) -> Message:
    method, params = document["method"], document.get("params", _NOTHING)
    if not isinstance(method, str) or not method:
        raise malformed("the method is not text")
    if not isinstance(params, dict):
        if "params" in document:
            raise malformed("params are no object")
    else:
        refuse_lookalikes(params, _PARAMS)
    if "id" in document and (isinstance(document["id"], bool) or not isinstance(document["id"], str | int | float)):
        raise malformed("the id is neither text nor a number")
    # A tool that is called by a notification would be called past its rule by a server that looks at the method alone.
    if method.startswith(_NOTIFICATIONS) is ("id" in document):
        raise malformed("a notification has no id, and a request has one")
    return Message(Form.REQUEST if "id" in document else Form.NOTIFICATION, method, params)
