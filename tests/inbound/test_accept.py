import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.inbound.accept import GUARDED, accept
from sidecar.model.listener import Direction, Listener
from sidecar.model.refusal import Kind, Oversize, Refusal, Refused
from sidecar.model.request import RequestHead

Field = tuple[bytes, bytes]

HTTP = Listener("default", Direction.INGRESS, "http", max_header_bytes=1024)
HTTPS = Listener("secure", Direction.INGRESS, "https", max_header_bytes=1024)
HOST = (b"Host", b"api.example.com")
VIA = b"sidecar-0123456789abcdef"


@dataclass(frozen=True)
class Parsed:
    """What a parser hands over."""

    method: str = "GET"
    path: str = "/orders/1"
    version: tuple[int, int] = (1, 1)
    raw_headers: tuple[Field, ...] = (HOST,)


def taken(*fields: Field, listener: Listener = HTTP, guarded: frozenset[bytes] = GUARDED, **parsed: Any) -> RequestHead:
    message = Parsed(raw_headers=fields, **parsed)
    return accept(message, listener, peer="127.0.0.1", guarded=guarded, own_via=VIA)


def refused(*fields: Field, **settings: Any) -> Refusal:
    with pytest.raises(Refused) as caught:
        taken(*fields, **settings)
    return caught.value.refusal


def test_a_request_as_it_is_handed_on() -> None:
    fields = (HOST, (b"X-Any", b"caf\xe9"), (b"Content-Length", b"5"), (b"X-Request-ID", b"r-1"))
    head = taken(*fields, method="POST", path="/orders/%61?q=%zz&[")
    assert head == RequestHead(
        listener="default",
        method="POST",
        path=b"/orders/%61",
        query=b"q=%zz&[",
        host="api.example.com",
        authority=b"api.example.com",
        fields=fields,
        version=(1, 1),
        scheme="http",
        peer="127.0.0.1",
        content_length=5,
        chunked=False,
        expects_continue=False,
        request_id="r-1",
    )


@pytest.mark.parametrize("version", [(0, 9), (1, 2), (2, 0), (3, 0)])
@pytest.mark.threat("S34")
def test_other_versions(version: tuple[int, int]) -> None:
    refusal = refused(HOST, version=version)
    assert (refusal.kind, refusal.close) == (Kind.VERSION_NOT_SUPPORTED, True)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
@pytest.mark.threat("S28")
def test_methods_that_are_no_gateways_business(method: str) -> None:
    refusal = refused(HOST, method=method)
    assert (refusal.kind, refusal.close) == (Kind.NOT_SUPPORTED, True)


@pytest.mark.parametrize(
    ("hosts", "version", "kind"),
    [
        ([b"api.example.com"], (1, 1), None),
        ([b"API.Example.COM:8080"], (1, 1), None),
        ([b"api.example.com."], (1, 1), None),
        ([b"[::1]:80"], (1, 1), None),
        ([], (1, 0), None),
        ([b"api.example.com"], (1, 0), None),
        ([], (1, 1), Kind.INVALID_REQUEST),
        ([b""], (1, 1), Kind.INVALID_REQUEST),
        ([b""], (1, 0), Kind.INVALID_REQUEST),
        ([b"a", b"a"], (1, 1), Kind.INVALID_REQUEST),
        ([b"a", b"b"], (1, 0), Kind.INVALID_REQUEST),
        ([b"a, b"], (1, 1), Kind.INVALID_REQUEST),
        ([b"a b"], (1, 1), Kind.INVALID_REQUEST),
        ([b"user@a"], (1, 1), Kind.INVALID_REQUEST),
        ([b"a/b"], (1, 1), Kind.INVALID_REQUEST),
        ([b"a:99999"], (1, 1), Kind.INVALID_REQUEST),
        ([b"a:b"], (1, 1), Kind.INVALID_REQUEST),
        ([b"a\xe9"], (1, 1), Kind.INVALID_REQUEST),
        ([b"[::g]"], (1, 1), Kind.INVALID_REQUEST),
        ([b"127.1"], (1, 1), Kind.INVALID_REQUEST),
    ],
)
@pytest.mark.threat("S24")
def test_host(hosts: list[bytes], version: tuple[int, int], kind: Kind | None) -> None:
    fields = [(b"hOsT", host) for host in hosts]
    if kind is None:
        head = taken(*fields, version=version)
        assert head.authority == (hosts[0] if hosts else b"")
        assert head.host == head.host.lower()
    else:
        assert refused(*fields, version=version).kind is kind


def test_the_host_is_folded_and_its_port_ignored() -> None:
    assert taken((b"Host", b"API.Example.com.:8443")).host == "api.example.com"
    assert taken(version=(1, 0)).host == ""


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://api.example.com/orders?x", b"api.example.com", b"/orders", b"x"),
        ("HTTP://API.example.com/orders", b"api.EXAMPLE.com", b"/orders", None),
        ("http://api.example.com", b"api.example.com", b"/", None),
        ("http://api.example.com?x", b"api.example.com", b"/", b"x"),
        ("http://api.example.com:80/", b"api.example.com:80", b"/", None),
    ],
)
def test_absolute_form(target: str, host: bytes, path: bytes, query: bytes | None) -> None:
    head = taken((b"Host", host), path=target)
    assert (head.path, head.query, head.host) == (path, query, "api.example.com")


@pytest.mark.parametrize("host", [b"other.example.com", b"api.example.com:80", b"api.example.com."])
@pytest.mark.threat("S25")
def test_absolute_form_with_another_host(host: bytes) -> None:
    assert refused((b"Host", host), path="http://api.example.com/").kind is Kind.INVALID_REQUEST


def test_absolute_form_speaks_for_http_1_0_without_host() -> None:
    head = taken(path="http://api.example.com/orders", version=(1, 0))
    assert (head.host, head.authority) == ("api.example.com", b"api.example.com")


def test_https_targets_need_a_listener_with_tls() -> None:
    assert refused(HOST, path="https://api.example.com/").kind is Kind.INVALID_REQUEST
    assert taken(HOST, path="https://api.example.com/", listener=HTTPS).scheme == "https"
    assert taken(HOST, path="http://api.example.com/", listener=HTTPS).scheme == "https"


@pytest.mark.parametrize(
    "target",
    [
        *("*", "orders", "", "//", "/a#b", "/a b", "/a\tb", "/\x7f", "/a\\b", "/%", "/%2", "/%zz", "/\udcff", "/é"),
        *("/a?b c", "/a?\udcff", "/a?b#c", "ftp://api.example.com/", "http:///x", "http://", "http:/x", "api:443"),
        *("http://u@api.example.com/", "http://api.example.com:x/", "http://[::1/", "http://127.1/", "/[", "/<", "/|"),
    ],
)
@pytest.mark.threat("S21", "S25")
def test_targets_that_are_none(target: str) -> None:
    # An empty segment is a path like others here; whether a route takes it is decided where routes are.
    if target == "//":
        assert taken(HOST, path=target).path == b"//"
    else:
        assert refused(HOST, path=target).kind is Kind.INVALID_REQUEST


CHUNKED = (b"Transfer-Encoding", b"chunked")
LENGTH = (b"Content-Length", b"5")


@pytest.mark.parametrize(
    ("fields", "version", "framing"),
    [
        ([], (1, 1), (False, None)),
        ([LENGTH], (1, 1), (False, 5)),
        ([LENGTH], (1, 0), (False, 5)),
        ([(b"content-LENGTH", b"0")], (1, 1), (False, 0)),
        ([(b"Content-Length", b"007")], (1, 1), (False, 7)),
        ([(b"Content-Length", b"9" * 18)], (1, 1), (False, 10**18 - 1)),
        ([CHUNKED], (1, 1), (True, None)),
        ([(b"transfer-encoding", b"CHUNKED")], (1, 1), (True, None)),
        ([CHUNKED, LENGTH], (1, 1), Kind.INVALID_REQUEST),
        ([LENGTH, CHUNKED], (1, 1), Kind.INVALID_REQUEST),
        ([CHUNKED, (b"Content-Length", b"")], (1, 1), Kind.INVALID_REQUEST),
        ([CHUNKED], (1, 0), Kind.INVALID_REQUEST),
        ([LENGTH, LENGTH], (1, 1), Kind.INVALID_REQUEST),
        ([LENGTH, (b"Content-Length", b"6")], (1, 1), Kind.INVALID_REQUEST),
        *(
            ([(b"Content-Length", value)], (1, 1), Kind.INVALID_REQUEST)
            for value in (b"", b"5, 5", b"5,6", b"+5", b"-1", b"0x5", b"5 5", b"5_0", b"\xb2", b"1" * 19, b"five")
        ),
        *(
            ([(b"Transfer-Encoding", value)], (1, 1), Kind.NOT_SUPPORTED)
            for value in (b"gzip", b"gzip, chunked", b"chunked, chunked", b"chunked,", b"", b"identity", b"\x0bchunked")
        ),
        ([CHUNKED, CHUNKED], (1, 1), Kind.NOT_SUPPORTED),
        ([CHUNKED, (b"Transfer-Encoding", b"identity")], (1, 1), Kind.NOT_SUPPORTED),
    ],
)
@pytest.mark.threat("S31")
def test_framing(fields: list[Field], version: tuple[int, int], framing: tuple[bool, int | None] | Kind) -> None:
    if isinstance(framing, Kind):
        refusal = refused(HOST, *fields, version=version, method="POST")
        assert (refusal.kind, refusal.close) == (framing, True)
    else:
        head = taken(HOST, *fields, version=version, method="POST")
        assert (head.chunked, head.content_length) == framing


@pytest.mark.parametrize(
    ("values", "version", "expects"),
    [
        ([], (1, 1), False),
        ([b"100-continue"], (1, 1), True),
        ([b"100-Continue"], (1, 1), True),
        ([b"100-continue"], (1, 0), False),  # RFC 9110 §10.1.1: to be ignored
        ([b"whatever"], (1, 0), False),
        ([b"whatever"], (1, 1), None),
        ([b""], (1, 1), None),
        ([b"100-continue, x"], (1, 1), None),
        ([b"100-continue", b"100-continue"], (1, 1), None),
    ],
)
def test_expect(values: list[bytes], version: tuple[int, int], expects: bool | None) -> None:
    fields = [HOST, *((b"Expect", value) for value in values)]
    if expects is None:
        assert refused(*fields, version=version).kind is Kind.EXPECTATION_FAILED
    else:
        assert taken(*fields, version=version).expects_continue is expects


@pytest.mark.parametrize("name", sorted(GUARDED))
@pytest.mark.threat("S45")
def test_aliases_of_guarded_names(name: bytes) -> None:
    for alias in {name.replace(b"-", b"_"), name.replace(b"-", b"_", 1), name.replace(b"-", b"_").upper()}:
        assert refused(HOST, (alias, b"1")).kind is Kind.INVALID_REQUEST


@pytest.mark.threat("S45")
def test_aliases_of_configured_names_and_names_that_are_nobodys() -> None:
    alias = (b"X_Upstream_Token", b"1")
    assert refused(HOST, alias, guarded=GUARDED | {b"x-upstream-token"}).kind is Kind.INVALID_REQUEST
    assert taken(HOST, alias, (b"x_any", b"1")).fields[1] == alias


def test_sizes() -> None:
    at_most = HTTP.max_header_bytes
    fitting = "/" + "a" * (at_most - 1 - len(b"Host: api.example.com\r\n"))
    assert taken(HOST, path=fitting).path == fitting.encode()
    longer = refused(HOST, path=f"{fitting}a")
    assert (longer.kind, longer.oversize, longer.close) == (Kind.TOO_LARGE, Oversize.HEADERS, True)
    too_long = refused(HOST, path="/" + "a" * at_most)
    assert (too_long.kind, too_long.oversize, too_long.close) == (Kind.TOO_LARGE, Oversize.TARGET, True)
    many = refused(HOST, *[(b"a", b"")] * (at_most // 5))
    assert (many.kind, many.oversize, many.close) == (Kind.TOO_LARGE, Oversize.HEADERS, True)
    one = refused(HOST, (b"Cookie", b"x" * at_most))
    assert (one.kind, one.oversize, one.close) == (Kind.TOO_LARGE, Oversize.HEADERS, True)


@pytest.mark.parametrize(
    "values", [[b"1.1 " + VIA], [b"1.0 other, 1.1 " + VIA], [b"1.1 other", b"1.1 " + VIA + b" (x)"]]
)
def test_a_loop(values: list[bytes]) -> None:
    refusal = refused(HOST, *((b"vIa", value) for value in values))
    assert (refusal.kind, refusal.close) == (Kind.LOOP, False)


def test_other_gateways_are_no_loop() -> None:
    assert taken(HOST, (b"Via", b"1.1 sidecar-fedcba9876543210"), (b"X-Via", VIA)).method == "GET"


@pytest.mark.parametrize("given_id", [b"a", b"A.b_c-9", b"x" * 128])
def test_a_request_id_that_is_kept(given_id: bytes) -> None:
    assert taken(HOST, (b"X-REQUEST-ID", given_id)).request_id == given_id.decode()


@pytest.mark.parametrize("values", [[], [b""], [b"x" * 129], [b"a b"], [b"a\xe9"], [b"a,b"], [b"a", b"a"], [b"<a>"]])
def test_a_request_id_that_is_made(values: list[bytes]) -> None:
    fields = [HOST, *((b"X-Request-ID", value) for value in values)]
    made = {taken(*fields).request_id for _ in range(2)}
    assert len(made) == 2
    assert all(len(each) == 32 and each.isalnum() for each in made)


@pytest.mark.parametrize("framing", [[], [LENGTH], [CHUNKED]])
def test_a_request_for_another_protocol_is_a_request_like_others(framing: list[Field]) -> None:
    upgrade = [(b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAMAAABk")]
    assert taken(HOST, *upgrade, *framing, method="POST").method == "POST"


_ODD_FIELDS = st.sampled_from(
    [
        *[HOST] * 8,
        *((b"Host", value) for value in (b"other", b"", b"api.example.com:80", b"a,b", b"[::1]", b"API.EXAMPLE.COM")),
        *((b"Content-Length", value) for value in (b"0", b"5", b"05", b"5,5", b"+5", b"", b"1" * 30, b"0x5")),
        *((b"Transfer-Encoding", value) for value in (b"chunked", b"Chunked", b"gzip, chunked", b"identity", b"")),
        *((name, b"5") for name in (b"content_length", b"Transfer_Encoding", b"CONTENT-LENGTH", b"Content-Lengthx")),
        *((b"Expect", value) for value in (b"100-continue", b"x")),
        *((b"Connection", value) for value in (b"close", b"keep-alive", b"content-length", b"upgrade, host")),
        (b"Upgrade", b"h2c"),
        (b"Via", b"1.1 " + VIA),
        (b"X-Any", b"caf\xe9\t.x"),
        (b"Cookie", b"c" * 900),
    ]
)
_TARGETS = st.one_of(
    st.sampled_from(["/", "*", "//", "/a?b", "/%61", "/%", "http://api.example.com/x", "http://other/", "https://a/"]),
    st.text(alphabet="/?#%:@[]\\;.aZ0 \x00\x7f\udcffé", max_size=12),
)
_PARSED = st.builds(
    Parsed,
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "DELETE", "HEAD", "CONNECT", "TRACE"]),
    path=_TARGETS,
    version=st.sampled_from([(1, 1), (1, 1), (1, 1), (1, 0), (2, 0)]),
    raw_headers=st.lists(_ODD_FIELDS, max_size=6).map(tuple),
)


@given(_PARSED)
@example(Parsed(method="POST", raw_headers=(HOST, LENGTH)))
@example(Parsed(method="POST", raw_headers=(HOST, CHUNKED, (b"Connection", b"upgrade"), (b"Upgrade", b"h2c"))))
@pytest.mark.threat("S31")
@pytest.mark.fuzz
def test_what_is_accepted_is_one_message_to_another_reader(message: Parsed) -> None:
    try:
        head = accept(message, HTTP, peer=None, guarded=GUARDED, own_via=VIA)
    except Refused:
        return
    target = message.path.encode("utf-8", "surrogateescape")
    lines = [b"%b %b HTTP/1.%d" % (message.method.encode(), target, message.version[1])]
    # Without Upgrade: after it the parser would stop, see test_server for what comes of that.
    lines += [name + b": " + value for name, value in message.raw_headers if name.lower() != b"upgrade"]
    body = b"5\r\nhello\r\n0\r\n\r\n" if head.chunked else b"x" * (head.content_length or 0)
    following = b"GET /following HTTP/1.1\r\nHost: following\r\n\r\n"
    paths = _paths(b"\r\n".join(lines) + b"\r\n\r\n" + body + following)
    assert paths in ([message.path, "/following"], None)
    assert _obvious(head)


def _paths(data: bytes) -> list[str] | None:
    """The targets of the messages that aiohttp's parser finds; None where it is stricter than we are."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 65536)
        messages, _, rest = parser.feed_data(data)
    except HttpProcessingError:
        return None
    finally:
        loop.close()
    return [found.path for found, _ in messages] + ([] if rest == b"" else ["bytes left over"])


def test_the_other_reader_is_not_always_stricter() -> None:
    assert _paths(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n") == ["/a", "/b"]
    assert _paths(b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n123") == ["/a"]


def _obvious(head: RequestHead) -> bool:
    """The rules of RFC 9112 again, in other words than the gateway's."""
    names = [name.lower() for name, _ in head.fields]
    hosts = [value for name, value in head.fields if name.lower() == b"host"]
    return (
        names.count(b"host") == (1 if head.version == (1, 1) else len(hosts))
        and len(hosts) <= 1
        and names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
        and head.chunked == (b"transfer-encoding" in names)
        and (head.content_length is None) == (b"content-length" not in names)
        and not any(b"_" in name and name.replace(b"_", b"-") in GUARDED for name in names)
        and head.path.startswith(b"/")
        and all(0x21 <= byte <= 0x7E for byte in head.path + (head.query or b""))
        and b"#" not in head.path + (head.query or b"")
        and (not hosts or hosts[0].lower() == head.authority.lower())
    )
