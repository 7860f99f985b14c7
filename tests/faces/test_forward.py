from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.faces.forward import connection_field, response_head, returned_fields, upstream_head, upstream_target
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.decision import CacheResult, Decision, Grant
from sidecar.model.listener import Direction, Listener
from sidecar.model.refusal import Kind, Refused
from sidecar.model.request import RequestHead
from sidecar.model.route import Route, SubjectPolicy
from sidecar.upstream.head import ResponseHead
from sidecar.upstream.response import Response
from sidecar.wire.fields import HOP_BY_HOP
from tests.support.values import issued, request, route

Field = tuple[bytes, bytes]

INGRESS = Listener("default", Direction.INGRESS, "http", max_header_bytes=65536)
EGRESS = Listener("out", Direction.EGRESS, "http", max_header_bytes=65536)
SECURE = Listener("secure", Direction.INGRESS, "https", max_header_bytes=65536)
#: What some other route of the same gateway takes or sends tokens in.
TAKEN_ELSEWHERE = frozenset({b"x-other-route-token"})
VIA = b"sidecar-0123456789abcdef"
ISSUED = b"issued-token"
SUBJECT = (b"Authorization", b"Bearer subject-token")


def granted(left_behind: tuple[bytes, ...] = ()) -> Decision:
    grant = Grant(issued(ISSUED.decode()), None, "exchange-1", 300.0, CacheResult.HIT)
    return Decision(route(), grant=grant, left_behind=left_behind)


def going(to: Route | None = None, **upstream: Any) -> Route:
    to = to or route()
    return replace(to, upstream=replace(to.upstream, **upstream))


def head_of(
    head: RequestHead,
    to: Route | None = None,
    *,
    decision: Decision | None = None,
    listener: Listener = INGRESS,
    trusted_peer: bool = False,
) -> bytes:
    return upstream_head(
        head,
        granted() if decision is None else decision,
        served := to or route(),
        listener,
        credentials=TAKEN_ELSEWHERE | {served.upstream.token_header.lower(), served.subject.header.encode()},
        trusted_peer=trusted_peer,
        own_via=VIA,
    )


def test_what_carries_a_token_on_another_route_stops_on_this_one_too() -> None:
    head = head_of(request((b"X-Other-Route-Token", b"raw-token"), (b"X-Kept", b"1")))
    assert b"raw-token" not in head
    assert values(head, b"x-kept") == [b"1"]


def fields_of(head: bytes) -> list[Field]:
    assert head.endswith(b"\r\n\r\n")
    lines = head[:-4].split(b"\r\n")[1:]
    return [(name, value) for name, value in (line.split(b": ", 1) for line in lines)]


def values(head: bytes, name: bytes) -> list[bytes]:
    return [value for key, value in fields_of(head) if key.lower() == name]


def test_a_whole_head() -> None:
    came = request(SUBJECT, (b"Accept", b"*/*"), (b"Cookie", b"a=b"), query=b"q=%zz&[", method="POST", content_length=3)
    assert head_of(came) == (
        b"POST /orders/1?q=%zz&[ HTTP/1.1\r\n"
        b"Host: 127.0.0.1:9000\r\n"
        b"Accept: */*\r\n"
        b"Cookie: a=b\r\n"
        b"X-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Host: api.example.com\r\n"
        b"X-Forwarded-Proto: http\r\n"
        b"X-Real-IP: 127.0.0.1\r\n"
        b'Forwarded: for=127.0.0.1;host="api.example.com";proto=http\r\n'
        b"Content-Length: 3\r\n"
        b"Via: 1.1 sidecar-0123456789abcdef\r\n"
        b"X-Request-ID: request-1\r\n"
        b"Authorization: Bearer issued-token\r\n\r\n"
    )


@pytest.mark.threat("S50")
def test_end_to_end_fields_pass_as_they_came() -> None:
    fields: list[Field] = [
        (b"x-CASE", b"As It Came"),
        (b"X-Twice", b"1"),
        (b"Accept", b"text/html, */*;q=0.8"),
        (b"X-Twice", b"2"),
        (b"x-twice", b""),
        (b"X-Latin", b"caf\xe9\t\xff"),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"tracestate", b"a=b"),
        (b"Expect", b"100-continue"),
        (b"Cookie", b"a=b; c=d"),
        (b"Origin", b"https://app.example.com"),
        (b"Accept-Encoding", b"gzip"),
    ]
    forwarded = fields_of(head_of(request(*fields), listener=EGRESS))
    assert forwarded[1 : 1 + len(fields)] == fields


HOPS = sorted(HOP_BY_HOP - {b"connection"})


@pytest.mark.parametrize("name", HOPS)
def test_hop_by_hop_fields_end_here(name: bytes) -> None:
    head = head_of(request((name.title(), b"x"), (name.upper(), b"y")))
    assert values(head, name) == []


SPELLINGS = [
    [b"authorization, x-forwarded-for, x-custom"],
    [b"Authorization", b"X-Forwarded-For", b"X-CUSTOM"],
    [b"AUTHORIZATION,X-FORWARDED-FOR,X-Custom"],
    [b" authorization ,\tx-forwarded-for\t, , x-custom ,"],
    [b"close, authorization", b"keep-alive, x-forwarded-for, x-custom, via, host, x-request-id, content-length"],
    [b"x-custom", b"transfer-encoding, forwarded, x-real-ip, authorization"],
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", [b"Connection", b"CONNECTION", b"connection"])
@pytest.mark.threat("S44")
def test_what_connection_names_is_removed_but_nothing_of_ours(spelling: list[bytes], name: bytes) -> None:
    connection = [(name, value) for value in spelling]
    for fields in ([*connection, (b"X-Custom", b"1"), SUBJECT], [(b"X-Custom", b"1"), SUBJECT, *connection]):
        head = head_of(request(*fields, content_length=3))
        assert values(head, b"x-custom") == []
        assert values(head, b"connection") == []
        assert values(head, b"authorization") == [b"Bearer " + ISSUED]
        assert values(head, b"x-forwarded-for") == [b"127.0.0.1"]
        assert values(head, b"host") == [b"127.0.0.1:9000"]
        assert values(head, b"via") == [b"1.1 " + VIA]
        assert values(head, b"x-request-id") == [b"request-1"]
        assert values(head, b"content-length") == [b"3"]
        assert b"subject-token" not in head


CREDENTIALS = [b"Authorization", b"Proxy-Authorization", b"X-Forwarded-Access-Token", b"X-Auth-Request-Access-Token"]


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.parametrize("listener", [INGRESS, EGRESS])
@pytest.mark.parametrize("trusted_peer", [True, False])
@pytest.mark.threat("S3")
def test_credentials_never_pass(name: bytes, listener: Listener, trusted_peer: bool) -> None:
    came = request((name, b"Bearer one"), (name.lower(), b"two"), (name.upper(), b"Basic three"))
    for decision in (granted(), Decision(route())):
        head = head_of(came, decision=decision, listener=listener, trusted_peer=trusted_peer)
        assert not any(secret in head for secret in (b"one", b"two", b"three"))
    assert values(head_of(came), b"authorization") == [b"Bearer " + ISSUED]


def test_a_route_without_exchange_sends_no_credential() -> None:
    assert values(head_of(request(SUBJECT), decision=Decision(route())), b"authorization") == []


@pytest.mark.parametrize("name", [b"X-Upstream-Token", b"x-upstream-token"])
@pytest.mark.threat("S7")
def test_another_token_header_carries_the_token_alone(name: bytes) -> None:
    came = request(SUBJECT, (b"X-Upstream-Token", b"forged"), (b"x-UPSTREAM-token", b"forged"))
    head = head_of(came, going(token_header=name))
    assert [field for field in fields_of(head) if field[1] == ISSUED] == [(name, ISSUED)]
    assert values(head, b"authorization") == []
    assert b"forged" not in head


def test_the_case_of_authorization_does_not_matter() -> None:
    assert values(head_of(request(SUBJECT), going(token_header=b"authorization")), b"authorization") == [
        b"Bearer " + ISSUED
    ]


def test_the_field_that_carried_the_subject_token_never_passes() -> None:
    taking = replace(route(), subject=SubjectPolicy(frozenset({"corp"}), header="x-id-token"))
    assert b"subject-token" not in head_of(request((b"X-ID-Token", b"subject-token")), taking)


def test_cookies_are_the_applications_unless_they_are_dropped() -> None:
    came = request((b"Cookie", b"a=b"), (b"cookie", b"c=d"))
    assert values(head_of(came), b"cookie") == [b"a=b", b"c=d"]
    assert values(head_of(came, going(drop_cookies=True)), b"cookie") == []


@pytest.mark.threat("S24")
def test_host() -> None:
    came = request((b"Host", b"API.example.com:8443"))
    came = replace(came, authority=b"API.example.com:8443")
    assert values(head_of(came), b"host") == [b"127.0.0.1:9000"]
    assert values(head_of(came, going(preserve_host=True)), b"host") == [b"API.example.com:8443"]
    without = replace(came, authority=b"", fields=())
    assert values(head_of(without, going(preserve_host=True)), b"host") == [b"127.0.0.1:9000"]
    assert fields_of(head_of(came))[0] == (b"Host", b"127.0.0.1:9000")


SPOOFED: list[Field] = [
    (b"X-Forwarded-For", b"203.0.113.9"),
    (b"x-forwarded-for", b"198.51.100.7"),
    (b"X-Forwarded-Host", b"evil.example.com"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Port", b"444"),
    (b"X-Real-IP", b"203.0.113.9"),
    (b"Forwarded", b"for=203.0.113.9;proto=https"),
]


def forwarding(head: bytes) -> dict[bytes, list[bytes]]:
    names = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"x-real-ip")
    return {name: values(head, name) for name in (*names, b"forwarded")}


@pytest.mark.threat("S29")
def test_what_a_stranger_says_of_earlier_hops_is_replaced() -> None:
    assert forwarding(head_of(request(*SPOOFED))) == {
        b"x-forwarded-for": [b"127.0.0.1"],
        b"x-forwarded-host": [b"api.example.com"],
        b"x-forwarded-proto": [b"http"],
        b"x-forwarded-port": [],
        b"x-real-ip": [b"127.0.0.1"],
        b"forwarded": [b'for=127.0.0.1;host="api.example.com";proto=http'],
    }


def test_what_a_trusted_proxy_says_is_extended() -> None:
    assert forwarding(head_of(request(*SPOOFED), trusted_peer=True)) == {
        b"x-forwarded-for": [b"203.0.113.9, 198.51.100.7, 127.0.0.1"],
        b"x-forwarded-host": [b"evil.example.com"],
        b"x-forwarded-proto": [b"https"],
        b"x-forwarded-port": [b"444"],
        b"x-real-ip": [b"203.0.113.9"],
        b"forwarded": [b'for=203.0.113.9;proto=https, for=127.0.0.1;host="api.example.com";proto=http'],
    }


@pytest.mark.parametrize("trusted_peer", [True, False])
@pytest.mark.threat("S29")
def test_egress_adds_nothing_and_removes_what_came(trusted_peer: bool) -> None:
    head = head_of(request(*SPOOFED), listener=EGRESS, trusted_peer=trusted_peer)
    assert not any(forwarding(head).values())


def test_peers_without_an_ipv4_address() -> None:
    v6 = forwarding(head_of(request(peer="2001:db8::1"), listener=INGRESS))
    assert v6[b"x-forwarded-for"] == v6[b"x-real-ip"] == [b"2001:db8::1"]
    assert v6[b"forwarded"] == [b'for="[2001:db8::1]";host="api.example.com";proto=http']
    unix = forwarding(head_of(request(*SPOOFED, peer=None)))
    assert unix[b"x-forwarded-for"] == unix[b"x-real-ip"] == []
    assert unix[b"forwarded"] == [b'for=unknown;host="api.example.com";proto=http']


def test_a_request_that_names_no_host() -> None:
    silent = forwarding(head_of(replace(request(), authority=b"", host="", version=(1, 0))))
    assert silent[b"x-forwarded-host"] == []
    assert silent[b"forwarded"] == [b"for=127.0.0.1;proto=http"]


def test_the_scheme_is_the_listeners() -> None:
    secure = forwarding(head_of(replace(request(), scheme="https"), listener=SECURE))
    assert secure[b"x-forwarded-proto"] == [b"https"]
    assert secure[b"forwarded"] == [b'for=127.0.0.1;host="api.example.com";proto=https']


def test_via_is_extended() -> None:
    came = replace(request((b"Via", b"1.1 a, 2.0 b"), (b"VIA", b"1.0 c")), version=(1, 0))
    assert values(head_of(came), b"via") == [b"1.1 a, 2.0 b, 1.0 c, 1.0 " + VIA]
    assert values(head_of(came, listener=EGRESS), b"via") == [b"1.1 a, 2.0 b, 1.0 c, 1.0 " + VIA]


def test_the_request_id_is_the_one_that_was_decided_on() -> None:
    came = replace(request((b"X-Request-ID", b"not <ours>"), (b"x-request-id", b"two")), request_id="made")
    assert values(head_of(came), b"x-request-id") == [b"made"]


@pytest.mark.parametrize(
    ("chunked", "length", "framing"),
    [
        (False, None, []),
        (False, 0, [(b"Content-Length", b"0")]),
        (False, 5, [(b"Content-Length", b"5")]),
        (True, None, [(b"Transfer-Encoding", b"chunked")]),
    ],
)
@pytest.mark.threat("S32")
def test_the_body_is_framed_anew(chunked: bool, length: int | None, framing: list[Field]) -> None:
    came = [
        (b"Content-Length", b"005"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Trailer", b"X-Sum"),
        (b"TE", b"trailers"),
    ]
    head = head_of(replace(request(*came), chunked=chunked, content_length=length))
    found = [field for field in fields_of(head) if field[0].lower() in (b"content-length", b"transfer-encoding")]
    assert found == framing
    assert values(head, b"trailer") == values(head, b"te") == []


def test_http2_settings_end_here() -> None:
    came = request((b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAM"))
    names = {name.lower() for name, _ in fields_of(head_of(came))}
    assert not names & {b"connection", b"upgrade", b"http2-settings"}
    assert values(head_of(request((b"HTTP2-Settings", b"AAM"))), b"http2-settings") == []


@pytest.mark.parametrize(
    ("path", "query", "prefix", "base", "target"),
    [
        (b"/orders/1", None, b"", b"", b"/orders/1"),
        (b"/orders/1", b"", b"", b"", b"/orders/1?"),
        (b"/orders/%61%2f", b"a=%zz&b=[]?", b"", b"", b"/orders/%61%2f?a=%zz&b=[]?"),
        (b"/orders/1", None, b"/orders", b"", b"/1"),
        (b"/orders", None, b"/orders", b"", b"/"),
        (b"/orders/", None, b"/orders", b"", b"/"),
        (b"/orders", b"x", b"/orders", b"", b"/?x"),
        (b"/%6frders/1", None, b"/orders", b"", b"/1"),
        (b"/%6f%72ders/%31", None, b"/orders", b"", b"/%31"),
        (b"/a/b/c/d", None, b"/a/b", b"", b"/c/d"),
        (b"/a/%62/", None, b"/a/b", b"", b"/"),
        (b"/orders/1", None, b"", b"/v1", b"/v1/orders/1"),
        (b"/orders/1", b"x", b"/orders", b"/v1/api", b"/v1/api/1?x"),
        (b"/orders", None, b"/orders", b"/v1", b"/v1/"),
        (b"/", None, b"", b"/v1", b"/v1/"),
    ],
)
def test_targets(path: bytes, query: bytes | None, prefix: bytes, base: bytes, target: bytes) -> None:
    assert upstream_target(request(path=path, query=query), going(strip_prefix=prefix, base_path=base)) == target


@pytest.mark.parametrize(
    "came",
    [
        request(path=b"/orders/SIGNATURE"),
        request(query=b"q=SIGNATURE"),
        request((b"X-Any", b"a SIGNATURE b")),
        request((b"SIGNATURE", b"1")),
        request((b"Cookie", b"session=SIGNATURE")),
        replace(request(), request_id="SIGNATURE"),
    ],
)
@pytest.mark.threat("S3")
def test_the_leak_guard(came: RequestHead) -> None:
    decision = granted(left_behind=(b"another", b"SIGNATURE"))
    with pytest.raises(Refused) as refused:
        head_of(came, decision=decision)
    assert refused.value.refusal.kind is Kind.LEAK_GUARD
    assert "SIGNATURE" not in refused.value.refusal.reason
    assert head_of(request((b"X-Any", b"signature")), decision=decision)


def test_the_leak_guard_watches_our_own_fields_too() -> None:
    decision = granted(left_behind=(ISSUED[-8:],))
    with pytest.raises(Refused) as refused:
        head_of(request(), decision=decision)
    assert refused.value.refusal.kind is Kind.LEAK_GUARD


@pytest.mark.parametrize("field", [(b"X", b"a\r\nAuthorization: Bearer b"), (b"X\r\nY", b"a"), (b"X", b"a\n")])
@pytest.mark.threat("S39")
def test_nothing_can_add_a_line(field: Field) -> None:
    with pytest.raises(Refused) as refused:
        head_of(request(field))
    assert refused.value.refusal.kind is Kind.INVALID_REQUEST


_NAMES = st.sampled_from(
    [b"Connection", b"X-A", b"authorization", b"X-Forwarded-For", b"Host", b"Transfer-Encoding", b"Proxy-Connection"]
)
_VALUES = st.sampled_from(
    [b"close", b"authorization", b"AUTHORIZATION, x-a", b"Bearer subject-token", b"x-forwarded-for,, host", b"", b"1"]
)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=8), st.booleans())
@pytest.mark.threat("S7")
@pytest.mark.fuzz
def test_whatever_came_the_upstream_gets_one_credential_and_one_of_each_of_ours(
    came: list[Field], trusted_peer: bool
) -> None:
    try:
        head = head_of(request(*came), decision=granted((b"subject-token",)), trusted_peer=trusted_peer)
    except Refused:
        return  # the guard found the token in a field that passes
    assert values(head, b"authorization") == [b"Bearer " + ISSUED]
    for name in (b"host", b"via", b"x-request-id", b"x-forwarded-for", b"forwarded"):
        assert len(values(head, name)) == 1
    for name in HOP_BY_HOP:
        assert values(head, name) == []
    assert b"subject-token" not in head


class _Source:
    """A connection that has nothing to say."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def expect_body(self) -> None: ...
    def stop_expecting(self) -> None: ...
    def cut(self) -> None: ...


def response(
    *fields: Field, status: int = 200, reason: str = "OK", length: int | None = None, has_body: bool = True
) -> Response:
    return Response(ResponseHead(status, reason, (1, 1), fields), length, has_body, _Source())


def returned(
    answer: Response, version: tuple[int, int] = (1, 1), *, issued_token: bytes | None = ISSUED, keep_open: bool = True
) -> tuple[bytes, bool]:
    return response_head(answer, replace(request(), version=version), issued=issued_token, keep_open=keep_open)


def test_a_whole_response_head() -> None:
    answer = response(
        (b"Content-Length", b"002"), (b"content-TYPE", b"text/plain"), status=404, reason="Nope", length=2
    )
    assert returned(answer) == (
        b"HTTP/1.1 404 Nope\r\ncontent-TYPE: text/plain\r\nContent-Length: 2\r\nX-Request-ID: request-1\r\n\r\n",
        False,
    )


@pytest.mark.threat("S48", "S50")
def test_end_to_end_fields_come_back_as_they_are() -> None:
    fields: list[Field] = [
        (b"SET-cookie", b"a=b; Path=/orders"),
        (b"Set-Cookie", b"c=d"),
        (b"Location", b"http://127.0.0.1:9000/orders/2"),
        (b"X-Latin", b"caf\xe9\t\xff"),
        (b"Content-Encoding", b"gzip"),
        (b"WWW-Authenticate", b'Bearer error="invalid_token"'),
        (b"Server", b"upstream"),
        (b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (b"X-Empty", b""),
    ]
    head, _ = returned(response(*fields, length=0))
    assert fields_of(head)[: len(fields)] == fields


def test_challenges_that_lead_elsewhere_do_not_come_back() -> None:
    fields: list[Field] = [
        (b"WWW-authenticate", b'Bearer error="invalid_token", resource_metadata="https://evil.example"'),
        (b"X-Between", b"1"),
        (b"WWW-Authenticate", b'resource_metadata="https://evil.example"'),
        (b"WWW-Authenticate", b"Basic realm=x"),
    ]
    head, _ = returned(response(*fields, status=401, length=0))
    assert fields_of(head)[:3] == [
        (b"WWW-authenticate", b'Bearer error="invalid_token"'),
        (b"X-Between", b"1"),
        (b"WWW-Authenticate", b"Basic realm=x"),
    ]


@pytest.mark.parametrize("name", HOPS)
def test_hop_by_hop_fields_of_the_upstream_end_here(name: bytes) -> None:
    head, _ = returned(response((name, b"x"), (b"Connection", b"close, X-Named"), (b"x-named", b"1"), length=0))
    assert values(head, name) == values(head, b"connection") == values(head, b"x-named") == []


@pytest.mark.parametrize(
    ("version", "length", "has_body", "framing", "chunked"),
    [
        ((1, 1), 5, True, [(b"Content-Length", b"5")], False),
        ((1, 0), 5, True, [(b"Content-Length", b"5")], False),
        ((1, 1), None, True, [(b"Transfer-Encoding", b"chunked")], True),
        ((1, 0), None, True, [], False),
        ((1, 1), None, False, [], False),  # 204
        ((1, 1), 5, False, [(b"Content-Length", b"5")], False),  # HEAD, 304
    ],
)
@pytest.mark.threat("S32")
def test_the_response_is_framed_anew(
    version: tuple[int, int], length: int | None, has_body: bool, framing: list[Field], chunked: bool
) -> None:
    head, is_chunked = returned(response(length=length, has_body=has_body), version)
    found = [field for field in fields_of(head) if field[0].lower() in (b"content-length", b"transfer-encoding")]
    assert (found, is_chunked) == (framing, chunked)


@pytest.mark.parametrize(
    "field",
    [
        (b"X-Echo", b"Bearer " + ISSUED),
        (b"authorization", ISSUED),
        (b"Location", b"https://x.example/?token=" + ISSUED + b"&a"),
        (ISSUED, b"1"),
    ],
)
@pytest.mark.threat("S6")
def test_the_issued_token_is_not_returned_in_a_field(field: Field) -> None:
    kept = (b"X-Kept", b"1")
    head, _ = returned(response(field, kept, length=0))
    assert ISSUED not in head
    assert values(head, b"x-kept") == [b"1"]
    assert returned_fields((field, kept), ISSUED) == [kept]
    assert returned_fields((field, kept), None) == [field, kept]


@pytest.mark.threat("S6")
def test_the_issued_token_is_not_returned_in_the_reason() -> None:
    head, _ = returned(response(reason=f"told {ISSUED.decode()}", length=0))
    assert head.startswith(b"HTTP/1.1 200 \r\n")


def test_the_request_id_comes_back_once() -> None:
    head, _ = returned(response((b"X-Request-ID", b"theirs"), (b"x-request-id", b"again"), length=0))
    assert values(head, b"x-request-id") == [b"request-1"]


@pytest.mark.parametrize(
    ("version", "keep_open", "field"),
    [
        ((1, 1), True, []),
        ((1, 1), False, [(b"Connection", b"close")]),
        ((1, 0), True, [(b"Connection", b"keep-alive")]),
        ((1, 0), False, [(b"Connection", b"close")]),
    ],
)
def test_connection(version: tuple[int, int], keep_open: bool, field: list[Field]) -> None:
    assert connection_field(version, keep_open=keep_open) == field
    head, _ = returned(response(length=0), version, keep_open=keep_open)
    assert values(head, b"connection") == [value for _, value in field]


def test_what_the_caller_claims_ends_here() -> None:
    claimed = (b"X-Task", b"refund order 1"), (b"x-task", b"more")
    asking = replace(going(), approval=ApprovalPolicy("desk", reason_header="x-task"))
    assert values(head_of(request(*claimed), to=asking), b"x-task") == []
    for other in (going(), replace(going(), approval=ApprovalPolicy("desk"))):
        assert values(head_of(request(*claimed), to=other), b"x-task") == [b"refund order 1", b"more"]
