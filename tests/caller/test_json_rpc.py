import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.caller.json_rpc import Form, Message, read_message
from sidecar.model.refusal import Kind, Refused

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": {"q": "x"}}}


def text(**members: Any) -> bytes:
    """A good call with other members; None leaves one out."""
    return json.dumps({name: value for name, value in {**CALL, **members}.items() if value is not None}).encode()


def finding(body: bytes) -> str:
    with pytest.raises(Refused) as caught:
        read_message(body)
    refusal = caught.value.refusal
    assert (refusal.kind, refusal.key) == (Kind.INVALID_REQUEST, ("mcp",))
    return refusal.finding


@pytest.mark.parametrize("number", [1, 0, -1, 1.5, 10**30, "", "a", "1"])
def test_a_request(number: object) -> None:
    assert read_message(json.dumps({**CALL, "id": number}).encode()) == Message(
        Form.REQUEST, "tools/call", {"name": "search", "arguments": {"q": "x"}}
    )


def test_a_request_without_params() -> None:
    assert read_message(text(params=None, method="tools/list")) == Message(Form.REQUEST, "tools/list")


def test_a_notification() -> None:
    body = text(id=None, method="notifications/initialized", params=None)
    assert read_message(body) == Message(Form.NOTIFICATION, "notifications/initialized")


@pytest.mark.parametrize(
    "answer", [{"id": 1, "result": {}}, {"id": "a", "error": {"code": -1}}, {"id": None, "error": {}}]
)
def test_a_response(answer: dict[str, Any]) -> None:
    assert read_message(json.dumps({"jsonrpc": "2.0", **answer}).encode()) == Message(Form.RESPONSE)


def test_a_method_is_judged_as_it_is_read() -> None:
    body = rb'{"jsonrpc":"2.0","id":1,"meth\u006fd":"tools\u002fcall","params":{"n\u0061me":"se\u0061rch"}}'
    assert read_message(body) == Message(Form.REQUEST, "tools/call", {"name": "search"})


@pytest.mark.threat("S69")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"not JSON",
        text() + b"x",
        text() + text(),
        text() + b"\n" + text(),
        text() + b"\0",
        b"\0" + text(),
        b"\xef\xbb\xbf" + text(),
        text().decode().encode("utf-16"),
        text().decode().encode("utf-16-le"),
        text().decode().encode("utf-32"),
        text().replace(b"search", b"s\xe9arch"),
        text().replace(b"search", b"s\xed\xa0\x80"),
        text().replace(b"search", b"\\ud800"),
        text().replace(b"search", b"a\nb"),
        text().replace(b'"id": 1', b'"id": NaN'),
        text().replace(b'"id": 1', b'"id": Infinity'),
        text().replace(b'"id": 1', b'"id": 1e999'),
        text().replace(b'"id": 1', b'"id": 01'),
        text().replace(b'"id": 1', b'"id": ' + b"9" * 5000),
        text().replace(b"{", b"{/**/", 1),
        text().replace(b"}}", b",}}"),
        text().replace(b'"', b"'"),
        b"[" * 200_000,
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":' + b'{"a":' * 70 + b"1" + b"}" * 71,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","m\\u0065thod":"tools/call"}',
        text().replace(b'"name"', b'"name": "other", "name"'),
        text().replace(b'"q"', b'"q": 1, "q"'),
    ],
)
def test_what_is_no_strict_json(body: bytes) -> None:
    assert finding(body) == "the body is not strict JSON"


@pytest.mark.threat("S69")
@pytest.mark.parametrize("body", [b"[]", b"[" + text() + b"]", b"[" + text() + b"," + text() + b"]", b" [1]"])
def test_a_batch(body: bytes) -> None:
    assert finding(body) == "the body is a batch"


@pytest.mark.parametrize(
    "body", [b"1", b'"a"', b"null", b"{}", text(jsonrpc="1.0"), text(jsonrpc=2.0), text(jsonrpc=["2.0"])]
)
def test_what_is_no_message(body: bytes) -> None:
    assert finding(body) == "the body is no JSON-RPC 2.0 message"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"method": 1}, "the method is not text"),
        ({"method": ""}, "the method is not text"),
        ({"method": ["tools/call"]}, "the method is not text"),
        ({"params": []}, "params are no object"),
        ({"params": ["search"]}, "params are no object"),
        ({"params": "search"}, "params are no object"),
        ({"id": True}, "the id is neither text nor a number"),
        ({"id": {}}, "the id is neither text nor a number"),
        ({"id": [1]}, "the id is neither text nor a number"),
        ({"id": None}, "a notification has no id, and a request has one"),
        ({"method": "notifications/initialized"}, "a notification has no id, and a request has one"),
        ({"result": {}}, "the message is both a call and a response"),
        ({"error": {}}, "the message is both a call and a response"),
        ({"method": None}, "the message has no method, and is no response"),
        ({"method": None, "result": {}, "error": {}}, "the message has no method, and is no response"),
        ({"method": None, "id": None, "result": {}}, "the message has no method, and is no response"),
    ],
)
def test_malformed_messages(members: dict[str, Any], told: str) -> None:
    assert finding(text(**members)) == told


@pytest.mark.parametrize("null", ["id", "params"])
def test_null_is_not_left_out(null: str) -> None:
    assert finding(json.dumps({**CALL, null: None}).encode())


LETTERS = {"s": ["S", "\u017f"], "k": ["K", "\u212a"]}  # a long s and the Kelvin sign, which some parsers fold


def respelled(name: str) -> st.SearchStrategy[str]:
    """The name with some letters in another case."""
    letters = [st.sampled_from([letter, *LETTERS.get(letter.lower(), [letter.swapcase()])]) for letter in name]
    return st.tuples(*letters).map("".join).filter(lambda spelled: spelled != name)


@pytest.mark.threat("S69")
@given(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error"]).flatmap(respelled))
def test_a_second_reading_by_case_of_a_message(member: str) -> None:
    """A response to one parser may be a call to another, which takes ``Method`` for the method."""
    told = "a member's name is nearly one of the protocol's"
    assert finding(text(**{member: "tools/call"})) == told
    response = {"jsonrpc": "2.0", "id": 1, "result": {}, member: "tools/call"}
    assert finding(json.dumps(response, ensure_ascii=False).encode()) == told


@pytest.mark.threat("S69")
@given(st.sampled_from(["name", "arguments", "uri", "taskId"]).flatmap(respelled))
def test_a_second_reading_by_case_of_params(member: str) -> None:
    assert finding(text(params={"name": "search", member: "delete_file"})) == (
        "a member's name is nearly one of the protocol's"
    )


@given(st.binary(max_size=64) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_only_refusals_come_of_other_bodies(body: bytes) -> None:
    with pytest.raises(Refused):
        read_message(body)


# --- what other readers make of a body that is let through


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As readers that fold case do: of members that are equal then, the last counts."""
    names = {"taskid": "taskId"}
    return {names.get(name.casefold(), name.casefold()): value for name, value in pairs}


def _trimmed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name.strip().partition("\0")[0]: value for name, value in pairs}


def _lenient(body: bytes, hook: Any) -> Any:
    """Read JSON as carelessly as may be: whatever Unicode it is, whatever comes before and behind it."""
    text = body.decode(json.detect_encoding(body), "surrogatepass").lstrip("\ufeff\0 \n\t\r")
    try:
        document, _ = json.JSONDecoder(object_pairs_hook=hook, strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return document[0] if isinstance(document, list) and document else document


def _asked(document: Any) -> tuple[object, object]:
    """Which method and name a reader would act on."""
    if not isinstance(document, dict):
        return None, None
    params = document.get("params")
    return document.get("method"), params.get("name") if isinstance(params, dict) else None


@st.composite
def _texts(draw: st.DrawFn, name: str) -> str:
    """A member's name or a value as JSON text, with letters escaped or in another case here and there."""
    if draw(st.integers(0, 9)) < 8:
        return json.dumps(name)
    letters = []
    for letter in name:
        how = draw(st.sampled_from(["plain", "plain", "plain", "escaped", "upper", "folded"]))
        spelled = {"upper": letter.upper(), "folded": LETTERS.get(letter, [letter])[-1]}.get(how, letter)
        letters.append(f"\\u{ord(spelled):04x}" if how == "escaped" else spelled)
    around = draw(st.sampled_from(["", "", " ", "\\u0000", "\\t"]))
    return f'"{"".join(letters)}{around}"'


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    """Something that is nearly a call of ``search``: members twice, spelled otherwise, more before and behind."""
    members = [("jsonrpc", '"2.0"'), ("id", draw(st.sampled_from(["1", '"a"', "1.5", "1", "null"])))]
    methods = st.sampled_from(["tools/call", "tools/call", "tools/list"]).flatmap(_texts)
    members += [
        ("method", method)
        for method in draw(st.lists(methods, min_size=1, max_size=2) | methods.map(lambda one: [one]))
    ]
    names = st.sampled_from(["search", "search", "delete_file"]).flatmap(_texts)
    for given_names in draw(st.lists(st.lists(names, min_size=1, max_size=2), min_size=1, max_size=2)):
        inner = [("arguments", '{"name": "delete_file"}'), *(("name", name) for name in given_names)]
        pairs = [f"{draw(_texts(name))}: {value}" for name, value in draw(st.permutations(inner))]
        members.append(("params", f"{{{', '.join(pairs)}}}"))
    members += draw(st.sampled_from([[], [], [], [("result", "{}")], [("x", "1")]]))
    pairs = [f"{draw(_texts(name))}: {value}" for name, value in draw(st.permutations(members))]
    text = draw(st.sampled_from([*[""] * 9, "\ufeff", "[", "\n"])) + f"{{{', '.join(pairs)}}}"
    text += draw(st.sampled_from([*[""] * 9, "]", "\n", " {}", "\0", ', {"method": "tools/call"}']))
    return text.encode(draw(st.sampled_from(["utf-8"] * 20 + ["utf-16", "utf-16-le", "utf-32-be"])))


@pytest.mark.threat("S69")
@given(_bodies())
def test_what_is_let_through_is_read_alike_by_all(body: bytes) -> None:
    try:
        message = read_message(body)
    except Refused:
        return
    told = (message.method, message.params.get("name")) if message.form is Form.REQUEST else None
    for hook in (dict, _first, _folded, _trimmed):
        found = _asked(_lenient(body, hook))
        assert told is None or found == told
        assert told is not None or found[0] is None or str(found[0]).startswith("notifications/")
