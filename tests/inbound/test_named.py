import asyncio
from dataclasses import replace

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from sidecar.inbound.accept import GUARDED
from sidecar.inbound.named import HOST, METHOD, METHODS, NAMING, PROTO, URI, named
from sidecar.model.listener import Direction, Form, Listener
from sidecar.model.refusal import Kind, Refusal, Refused
from sidecar.model.request import RequestHead

Field = tuple[bytes, bytes]

FORWARDED = Listener("decision", Direction.INGRESS, "http", max_header_bytes=1024, form=Form.FORWARDED)
ENVOY = replace(FORWARDED, form=Form.ENVOY)
OTHER = (b"X-Other", b"1")
NAMES = (
    (b"X-Forwarded-Method", b"POST"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"API.example.com:443"),
    (b"X-Forwarded-Uri", b"/orders/%61?q=%zz"),
)


def question(*fields: Field, method: str = "GET", path: bytes = b"/", query: bytes | None = None) -> RequestHead:
    return RequestHead(
        listener="decision",
        method=method,
        path=path,
        query=query,
        host="sidecar",
        authority=b"sidecar:8082",
        fields=((b"Host", b"sidecar:8082"), *fields),
        version=(1, 0),
        scheme="http",
        peer="127.0.0.1",
        content_length=None,
        chunked=False,
        expects_continue=False,
        request_id="r-1",
    )


def asked(head: RequestHead, listener: Listener = FORWARDED) -> RequestHead:
    return named(head, listener, GUARDED | NAMING)


def refused(head: RequestHead, listener: Listener = FORWARDED) -> Refusal:
    with pytest.raises(Refused) as caught:
        asked(head, listener)
    return caught.value.refusal


def test_four_fields_name_a_request() -> None:
    assert asked(question(*NAMES, OTHER, path=b"/anything")) == RequestHead(
        listener="decision",
        method="POST",
        path=b"/orders/%61",
        query=b"q=%zz",
        host="api.example.com",
        authority=b"API.example.com:443",
        fields=((b"Host", b"API.example.com:443"), OTHER),
        version=(1, 1),
        scheme="https",
        peer="127.0.0.1",
        content_length=None,
        chunked=False,
        expects_continue=False,
        request_id="r-1",
    )


def test_envoy_asks_by_the_request_itself() -> None:
    host = (b"X-Forwarded-Host", b"what.somebody.says")
    head = asked(
        question((PROTO, b"https"), host, (b"Content-Length", b"0"), OTHER, method="PUT", path=b"/a", query=b""), ENVOY
    )
    assert (head.method, head.path, head.query, head.scheme) == ("PUT", b"/a", b"", "https")
    assert (head.authority, head.host, head.request_id) == (b"sidecar:8082", "sidecar", "r-1")
    assert head.fields == ((b"Host", b"sidecar:8082"), (PROTO, b"https"), host, OTHER)


@pytest.mark.parametrize("name", [METHOD, URI, HOST, PROTO])
def test_what_is_missing_is_not_guessed(name: bytes) -> None:
    rest = [field for field in NAMES if field[0].lower() != name]
    for fields in (rest, [*rest, (name, b"")]):
        assert refused(question(*fields)).kind is Kind.INVALID_REQUEST


@given(
    st.sampled_from(NAMES), st.sampled_from([bytes.lower, bytes.upper, bytes.title]), st.booleans(), st.integers(0, 4)
)
@pytest.mark.threat("S80")
def test_what_is_there_twice_is_not_chosen_from(field: Field, spelled: object, same: bool, place: int) -> None:
    assert callable(spelled)
    fields = list(NAMES)
    fields.insert(place, (spelled(field[0]), field[1] if same else b"/public"))
    assert refused(question(*fields)).kind is Kind.INVALID_REQUEST


@given(st.sampled_from(sorted(NAMING)))
def test_an_alias_of_a_name_is_refused(name: bytes) -> None:
    alias = (name.replace(b"-", b"_"), b"/public")
    assert refused(question(*NAMES, alias)).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (METHOD, b"GET,POST"),
        (METHOD, b"G\xc3T"),
        (METHOD, b"G T"),
        (METHOD, b"get"),
        (METHOD, b"BREW"),
        (METHOD, b"CONNECT"),
        (METHOD, b"TRACE"),
        (PROTO, b"https,http"),
        (PROTO, b"HTTPS"),
        (PROTO, b"ws"),
        (HOST, b"a.example.com, b.example.com"),
        (HOST, b"user@a.example.com"),
        (HOST, b"127.1"),
        (URI, b"*"),
        (URI, b"orders"),
        (URI, b"/orders#x"),
        (URI, b"/or ders"),
        (URI, b"/or\xffders"),
        (URI, b"/orders\x00"),
        (URI, b"http://b.example.com/orders"),
    ],
)
def test_what_names_no_request(name: bytes, value: bytes) -> None:
    fields = [(key, value if key.lower() == name else given) for key, given in NAMES]
    assert refused(question(*fields)).kind in (Kind.INVALID_REQUEST, Kind.NOT_SUPPORTED)


async def test_methods_are_those_of_the_way_in() -> None:
    loop = asyncio.get_running_loop()
    for method in sorted(METHODS | {b"BREW", b"get", b"UPDATE", b"LABEL", b"VERSION-CONTROL", b"DESCRIBE", b"FLUSH"}):
        parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
        try:
            messages, _, _ = parser.feed_data(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
        except HttpProcessingError:
            assert method not in METHODS
        else:
            assert [message.method.encode() for message, _ in messages] == [method]
            assert method in METHODS


def test_a_target_too_long_is_that() -> None:
    fields = [(key, b"/" + b"x" * 1100 if key.lower() == URI else value) for key, value in NAMES]
    assert refused(question(*fields)).kind is Kind.TOO_LARGE


def test_a_long_target_counts_once() -> None:
    fields = [(key, b"/" + b"x" * 700 if key.lower() == URI else value) for key, value in NAMES]
    assert len(asked(question(*fields)).path) == 701


@pytest.mark.parametrize(("name", "agreeing"), [(b"X-Original-Method", b"POST"), (b"X-Original-URI", NAMES[3][1])])
def test_another_proxys_names_have_to_say_the_same(name: bytes, agreeing: bytes) -> None:
    assert asked(question(*NAMES, (name, agreeing))).method == "POST"
    assert refused(question(*NAMES, (name, b"/public"))).kind is Kind.INVALID_REQUEST
    assert refused(question(*NAMES, (name, agreeing), (name, b"/public"))).kind is Kind.INVALID_REQUEST


@pytest.mark.threat("S81")
def test_the_other_form_is_refused() -> None:
    assert refused(question(*NAMES), ENVOY).kind is Kind.INVALID_REQUEST
    for field in ((METHOD, b"GET"), (URI, b"/")):
        assert refused(question((PROTO, b"http"), field), ENVOY).kind is Kind.INVALID_REQUEST
    assert refused(question((PROTO, b"http"), path=b"/orders"), FORWARDED).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize("fields", [(), ((PROTO, b"http"), (PROTO, b"http")), ((PROTO, b"http,https"),)])
def test_an_envoy_that_does_not_show_all_fields(fields: tuple[Field, ...]) -> None:
    assert refused(question(*fields), ENVOY).kind is Kind.INVALID_REQUEST


def test_envoy_always_names_a_host() -> None:
    head = replace(question((PROTO, b"http")), authority=b"", host="")
    assert refused(head, ENVOY).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize("listener", [FORWARDED, ENVOY])
@pytest.mark.threat("S81")
def test_a_question_has_no_body(listener: Listener) -> None:
    fields = NAMES if listener is FORWARDED else ((PROTO, b"http"),)
    good = question(*fields)
    asked(replace(good, content_length=0), listener)
    for head in (replace(good, content_length=1), replace(good, chunked=True)):
        refusal = refused(head, listener)
        assert (refusal.kind, refusal.close) == (Kind.INVALID_REQUEST, True)


def test_where_no_form_is_set_nothing_is_asked() -> None:
    assert refused(question(*NAMES), replace(FORWARDED, form=None)).kind is Kind.INVALID_REQUEST


TEXT = st.binary(max_size=40)


@given(TEXT, TEXT, TEXT, TEXT)
def test_whatever_is_said_it_is_one_request_or_none(method: bytes, target: bytes, host: bytes, scheme: bytes) -> None:
    try:
        head = asked(question((METHOD, method), (URI, target), (HOST, host), (PROTO, scheme)))
    except Refused:
        return
    rest = b"" if head.query is None else b"?" + head.query
    assert target.endswith(head.path + rest)
    assert (head.method.encode(), head.authority, head.scheme.encode()) == (method, host, scheme)
