import asyncio
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.caller.mcp import LARGE, MAX_BODY, read_operation, refuse_page, rule_of
from sidecar.model.mcp import MCP, Rule
from sidecar.model.operation import Operation
from sidecar.model.refusal import Kind, Oversize, Refusal, Refused
from sidecar.model.request import RequestHead
from sidecar.model.route import ANY_ORIGIN, Cors, Route
from tests.support.values import request, route

NEEDLE = "c2lnbmF0dXJlLW9mLXRoZS1jYWxsZXI"
JSON = (b"Content-Type", b"application/json")


def rules(kind: str, *names: str) -> tuple[Rule, ...]:
    return tuple(Rule(("mcp", kind, name)) for name in names)


TOOLS = MCP(tools=rules("tools", "delete_file", "search", "read_secret*", "read_*", "*"))
LISTED = MCP(tools=rules("tools", "delete_file", "read_*"), methods=rules("methods", "tools/list", "initialize"))


def message(method: str = "tools/call", **changes: Any) -> bytes:
    params = {"name": "search", "arguments": {}} if method == "tools/call" else {}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params} | changes).encode()


def called(name: object, **changes: Any) -> bytes:
    return message(params={"name": name, "arguments": {}, **changes})


class Body:
    """A body, and how often it was read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.reads = 0

    async def __call__(self, of: Route, most: int) -> bytes:
        assert (of.name, most) == ("orders", MAX_BODY)
        self.reads += 1
        return self.content


async def operation(
    content: bytes = b"", *fields: tuple[bytes, bytes], mcp: MCP = TOOLS, method: str = "POST"
) -> Operation | None:
    head = request(*(fields or (JSON,)), method=method, content_length=len(content) or None)
    return await read_operation(head, route(mcp=mcp), mcp, Body(content), (NEEDLE.encode(),))


async def refusal(
    content: bytes = b"", *fields: tuple[bytes, bytes], mcp: MCP = TOOLS, method: str = "POST"
) -> Refusal:
    with pytest.raises(Refused) as caught:
        await operation(content, *fields, mcp=mcp, method=method)
    return caught.value.refusal


def denied(mcp: MCP, asked: Operation) -> str:
    with pytest.raises(Refused) as caught:
        rule_of(mcp, asked)
    assert caught.value.refusal.kind is Kind.POLICY_DENIED
    return caught.value.refusal.finding


async def test_a_tool_call() -> None:
    assert await operation(message()) == Operation("tools/call", "search")


async def test_a_method() -> None:
    assert await operation(message("tools/list")) == Operation("tools/list")


async def test_a_notification_and_a_response() -> None:
    assert await operation(b'{"jsonrpc":"2.0","method":"notifications/cancelled"}') == Operation(
        "notifications/cancelled"
    )
    assert await operation(b'{"jsonrpc":"2.0","id":1,"result":{}}') is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_streams_and_sessions_have_no_message(method: str) -> None:
    assert await operation(method=method) is None
    assert (await refusal(b"{}", method=method)).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "PROPFIND", "post"])
async def test_other_methods_are_none_of_the_protocol(method: str) -> None:
    assert (await refusal(message(), method=method)).kind in (Kind.POLICY_DENIED, Kind.INVALID_REQUEST)
    assert (await refusal(method=method)).kind is Kind.POLICY_DENIED


@pytest.mark.parametrize(
    ("key", "method", "content"),
    [
        ("get", "GET", b""),
        ("get", "HEAD", b""),
        ("delete", "DELETE", b""),
        ("responses", "POST", b'{"jsonrpc":"2.0","id":1,"result":{}}'),
        ("notifications", "POST", b'{"jsonrpc":"2.0","method":"notifications/initialized"}'),
    ],
)
async def test_each_kind_of_message_can_be_refused(key: str, method: str, content: bytes) -> None:
    found = await refusal(content, mcp=replace(MCP(), **dict[str, Any]({key: False})), method=method)
    assert (found.kind, found.key) == (Kind.POLICY_DENIED, ("mcp", key))


async def test_nobody_reads_a_body_where_there_is_no_reader() -> None:
    for method in ("GET", "POST", "DELETE"):
        with pytest.raises(Refused) as caught:
            await read_operation(request(JSON, method=method), route(mcp=TOOLS), TOOLS, None, ())
        assert caught.value.refusal.kind is Kind.POLICY_DENIED


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json;charset=utf-8",
        b"application/json; charset=UTF-8",
        b'application/json ; charset="utf-8" ',
    ],
)
async def test_json_is_said_to_be_json(content_type: bytes) -> None:
    assert await operation(message(), (b"content-type", content_type)) is not None


@pytest.mark.threat("S69")
@pytest.mark.parametrize(
    "content_types",
    [
        (),
        (b"",),
        (b"text/plain",),
        (b"text/json",),
        (b"application/jsonp",),
        (b"application/json-rpc",),
        (b"application/json, text/plain",),
        (b"text/plain, application/json",),
        (b"application/json", b"application/json"),
        (b"application/json; charset=utf-16",),
        (b"application/json; charset=utf-7",),
        (b"application/json; charset=utf-8; charset=utf-16",),
        (b"application/json; boundary=x",),
        (b"multipart/form-data; boundary=application/json",),
        (b"application/json\x0b",),
    ],
)
async def test_whatever_else_a_body_is_said_to_be(content_types: Sequence[bytes]) -> None:
    content = Body(message())
    fields = [(b"Content-Type", value) for value in content_types]
    with pytest.raises(Refused) as caught:
        await read_operation(request(*fields, method="POST", content_length=9), route(mcp=TOOLS), TOOLS, content, ())
    assert (caught.value.refusal.kind, content.reads) == (Kind.INVALID_REQUEST, 0)


@pytest.mark.threat("S69")
@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate", b"identity", b"x", b"", b"gzip, identity"])
async def test_an_encoded_body_is_not_looked_at(coding: bytes) -> None:
    assert (await refusal(message(), JSON, (b"Content-Encoding", coding))).kind is Kind.INVALID_REQUEST


async def test_a_body_that_says_of_itself_that_it_is_too_large_is_not_read() -> None:
    content = Body(message())
    head = request(JSON, method="POST", content_length=MAX_BODY + 1)
    with pytest.raises(Refused) as caught:
        await read_operation(head, route(mcp=TOOLS), TOOLS, content, ())
    found = caught.value.refusal
    assert (found.kind, found.oversize, content.reads) == (Kind.TOO_LARGE, Oversize.BODY, 0)


async def test_nobody_waits_while_a_large_body_is_read() -> None:
    members = ", ".join('{"a": [1]}' for _ in range(20_000))
    large = message(params={"name": "search", "arguments": {"all": json.loads(f"[{members}]")}})
    reading = asyncio.create_task(operation(large))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert await reading == Operation("tools/call", "search")
    assert turns > 2  # in one turn it would have begun and ended
    assert (await refusal(large.replace(b'"name"', b'"Name"'))).kind is Kind.INVALID_REQUEST


def escaped(text: str, every: int) -> str:
    """The inside of a JSON string in which every so-manieth character is an escape."""
    return "".join(f"\\u{ord(char):04x}" if number % every == 0 else char for number, char in enumerate(text))


@pytest.mark.threat("S3")
@given(st.integers(1, 40), st.booleans(), st.booleans(), st.sampled_from(["call", "response", "name", "meta"]))
async def test_the_callers_token_in_a_body(every: int, large: bool, plain: bool, place: str) -> None:
    text = f"Bearer eyJh.eyJz.{NEEDLE}, and more" + " x" * (LARGE if large else 0)
    told = json.dumps("MARK").replace("MARK", text if plain else escaped(text, every))
    bodies = {
        "call": called("search", arguments={"deep": [{"in": "MARK"}]}),
        "response": b'{"jsonrpc":"2.0","id":1,"result":{"content":"MARK"}}',
        "name": called("search", arguments={"MARK": 1}),
        "meta": called("search", _meta={"a": "MARK"}),
    }
    found = await refusal(bodies[place].replace(b'"MARK"', told.encode()))
    assert (found.kind, found.reason) == (Kind.INVALID_REQUEST, "The token is in the body.")


async def test_a_short_token_is_a_word_as_others() -> None:
    head = request(JSON, method="POST", content_length=1)
    body = Body(called("search", arguments={"q": "opaque"}))
    assert await read_operation(head, route(mcp=TOOLS), TOOLS, body, (b"opaque",)) is not None


NAMED = (
    ("tools/call", "name"),
    ("prompts/get", "name"),
    ("resources/read", "uri"),
    ("tasks/get", "taskId"),
)


@pytest.mark.parametrize(("method", "param"), NAMED)
@pytest.mark.parametrize("name", ["search", "a b", "größe", "file:///a?b", "=?base64?eA==?="])
async def test_a_head_that_agrees(method: str, param: str, name: str) -> None:
    encoded = b"=?base64?%b?=" % b64encode(name.encode())
    given = [encoded] if name.startswith("=?") else [encoded, name.encode()]
    for value in given:
        head = (JSON, (b"Mcp-Method", method.encode()), (b"Mcp-Name", value))
        assert await operation(message(method, params={param: name}), *head) is not None


@pytest.mark.threat("S70")
@pytest.mark.parametrize(
    "fields",
    [
        [(b"Mcp-Method", b"tools/list")],
        [(b"Mcp-Method", b"Tools/Call")],
        [(b"Mcp-Method", b"")],
        [(b"Mcp-Method", b"tools/call"), (b"Mcp-Method", b"tools/call")],
        [(b"mcp-method", b"tools/call"), (b"MCP-METHOD", b"tools/list")],
        [(b"Mcp-Method", b"tools/call, tools/list")],
        [(b"Mcp-Name", b"delete_file")],
        [(b"Mcp-Name", b"Search")],
        [(b"Mcp-Name", b"")],
        [(b"Mcp-Name", b"search"), (b"Mcp-Name", b"search")],
        [(b"Mcp-Name", b"search, delete_file")],
        [(b"Mcp-Name", b"=?base64?ZGVsZXRlX2ZpbGU=?=")],
        [(b"Mcp-Name", b"=?base64?c2VhcmNo")],
        [(b"Mcp-Name", b"=?base64?c2Vhcm No?=")],
        [(b"Mcp-Name", b"=?BASE64?c2VhcmNo?=")],
        [(b"Mcp-Name", b"=?base64?c2VhcmNo\xff?=")],
        [(b"Mcp-Name", b"x")],  # which is one of the params, but not the one that names the tool
    ],
)
async def test_a_head_that_says_something_else(fields: list[tuple[bytes, bytes]]) -> None:
    assert (await refusal(called("search", uri="x"), JSON, *fields)).kind is Kind.INVALID_REQUEST


@pytest.mark.threat("S70")
async def test_a_head_that_names_what_the_body_does_not() -> None:
    name = (JSON, (b"Mcp-Name", b"search"))
    assert (await refusal(message("tools/list"), *name)).kind is Kind.INVALID_REQUEST
    assert (await refusal(b'{"jsonrpc":"2.0","id":1,"result":{}}', *name)).kind is Kind.INVALID_REQUEST
    method = (JSON, (b"Mcp-Method", b"tools/call"))
    assert (await refusal(b'{"jsonrpc":"2.0","id":1,"result":{}}', *method)).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize("name", [None, "", 1, True, ["search"], {"name": "search"}])
async def test_a_call_that_names_no_tool(name: object) -> None:
    assert (await refusal(called(name))).finding == "the call names no tool"


@pytest.mark.parametrize("arguments", [[], ["a"], "a", 1, True])
async def test_arguments_are_an_object(arguments: object) -> None:
    assert (await refusal(called("search", arguments=arguments))).finding == "the arguments are no object"


async def test_arguments_may_be_left_out() -> None:
    assert await operation(message(params={"name": "search"})) == Operation("tools/call", "search")
    assert await operation(called("search", arguments=None)) == Operation("tools/call", "search")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, {}),
        ({"other": 1}, {}),
        ({"path": "/a", "other": 1}, {"path": "/a"}),
        ({"force": None, "path": {"a": [1]}}, {"path": {"a": [1]}, "force": None}),
    ],
)
async def test_arguments_that_a_rule_names(arguments: dict[str, Any], told: dict[str, Any]) -> None:
    mcp = MCP(tools=(Rule(("mcp", "tools", "file_*"), arguments=("path", "force")), *rules("tools", "*")))
    assert await operation(called("file_delete", arguments=arguments), mcp=mcp) == Operation(
        "tools/call", "file_delete", told
    )
    assert await operation(called("other", arguments=arguments), mcp=mcp) == Operation("tools/call", "other")
    lookalike = called("file_delete", arguments={**arguments, "Force": 1})
    assert (await refusal(lookalike, mcp=mcp)).finding == "a member's name is nearly one of the protocol's"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("delete_file", "delete_file"),
        ("delete_files", "*"),
        ("search", "search"),
        ("read_file", "read_*"),
        ("read_", "read_*"),
        ("read_secrets", "read_secret*"),
        ("read_secret", "read_secret*"),
        ("anything", "*"),
        ("*", "*"),
    ],
)
def test_the_longest_rule_counts(name: str, pattern: str) -> None:
    rule = rule_of(TOOLS, Operation("tools/call", name))
    assert rule is not None
    assert rule.pattern == pattern


def test_a_tool_that_no_rule_takes() -> None:
    for mcp in (LISTED, MCP(default=True), MCP()):
        assert denied(mcp, Operation("tools/call", "other")) == "no key of mcp.tools takes the tool"


def respelled(name: str) -> st.SearchStrategy[str]:
    """A name that a careless server may take for this one."""
    cases = st.tuples(*(st.sampled_from([letter, letter.upper()]) for letter in name)).map("".join)
    around = st.sampled_from(["", "\0", " ", "\t", "\n", "\u00a0", "\u200b", "\ufeff", "\r"])
    return st.tuples(around, cases, around).map("".join).filter(lambda spelled: spelled != name)


@pytest.mark.threat("S71")
@given(st.sampled_from(["delete_file", "search", "read_secret"]).flatmap(respelled))
def test_a_name_that_is_nearly_another_ones_is_not_taken_by_a_wider_rule(name: str) -> None:
    assert denied(TOOLS, Operation("tools/call", name)) == "the tool's name is nearly another one's"


@pytest.mark.parametrize("name", ["größe", "ｄelete_file", "a b", "a\u202eb", "x" * 129])
def test_a_name_that_nobody_wrote_down_is_plain(name: str) -> None:
    assert denied(TOOLS, Operation("tools/call", name)) == "the tool's name is nearly another one's"
    written = MCP(tools=rules("tools", name))
    assert rule_of(written, Operation("tools/call", name)) == written.tools[0]


def test_two_tools_may_differ_in_case() -> None:
    both = MCP(tools=rules("tools", "Search", "search"))
    for number, name in enumerate(("Search", "search")):
        assert rule_of(both, Operation("tools/call", name)) == both.tools[number]


def test_methods() -> None:
    assert rule_of(LISTED, Operation("tools/list")) == LISTED.methods[0]
    assert denied(LISTED, Operation("prompts/list")) == "no key of mcp.methods names the method"
    allowing = MCP(default=True, methods=LISTED.methods)
    assert rule_of(allowing, Operation("prompts/list")) is None
    assert rule_of(allowing, Operation("tools/list")) == LISTED.methods[0]


@pytest.mark.threat("S71")
@given(st.sampled_from(["tools/call", "tools/list", "initialize"]).flatmap(respelled))
def test_a_method_that_is_nearly_another_one_is_not_allowed_by_default(method: str) -> None:
    assert denied(MCP(default=True, methods=LISTED.methods), Operation(method)) == "the method is nearly another one's"


def test_what_asks_for_nothing_has_no_rule() -> None:
    assert rule_of(MCP(), None) is None
    assert rule_of(MCP(), Operation("notifications/initialized")) is None


def page(*origins: bytes) -> RequestHead:
    return request(*((b"Origin", origin) for origin in origins))


@pytest.mark.parametrize(
    ("cors", "origins"),
    [
        (None, ()),
        (None, (b"https://app.example",)),
        (Cors(frozenset({b"https://other.example"}), 0), (b"https://other.example",)),
        (Cors(frozenset({ANY_ORIGIN}), 0), (b"https://evil.example",)),
    ],
)
def test_pages_that_may_call(cors: Cors | None, origins: Sequence[bytes]) -> None:
    refuse_page(page(*origins), MCP(allowed_origins=frozenset({b"https://app.example"})), cors)


@pytest.mark.threat("S73")
@pytest.mark.parametrize(
    "origins",
    [
        (b"https://evil.example",),
        (b"null",),
        (b"",),
        (b"https://app.example.evil.example",),
        (b"https://APP.example",),
        (b"https://app.example:8443",),
        (b"https://app.example, https://evil.example",),
        (b"https://app.example", b"https://evil.example"),
        (b"https://app.example", b"https://app.example"),
    ],
)
def test_pages_that_may_not_call(origins: Sequence[bytes]) -> None:
    for cors in (None, Cors(frozenset({b"https://other.example"}), 0)):
        with pytest.raises(Refused) as caught:
            refuse_page(page(*origins), MCP(allowed_origins=frozenset({b"https://app.example"})), cors)
        assert caught.value.refusal.kind is Kind.POLICY_DENIED
