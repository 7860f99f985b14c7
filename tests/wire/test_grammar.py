import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.wire.grammar import B64TOKEN, FIELD_VALUE, TOKEN, GrammarError, host_of, is_loopback


@pytest.mark.parametrize("text", [b"GET", b"x", b"a-B_9", b"!#$%&'*+-.^_`|~"])
def test_token(text: bytes) -> None:
    assert TOKEN.fullmatch(text)


@pytest.mark.parametrize(
    "text", [b"", b"a b", b"a\n", b"a:", b"(a)", b"a\x00", b"\xc3\xa9", b"a,b", b'"a"', b"a/b", b"{a}"]
)
def test_not_a_token(text: bytes) -> None:
    assert not TOKEN.fullmatch(text)


@pytest.mark.parametrize("text", [b"", b"a", b"a b", b"a\tb", b'"x", y;z=1', b"\x80\xff", b"a \xe9 b", b"~!"])
def test_field_value(text: bytes) -> None:
    assert FIELD_VALUE.fullmatch(text)


@pytest.mark.parametrize(
    "text", [b" ", b" a", b"a ", b"\ta", b"a\t", b"a\nb", b"a\r\n b", b"a\n", b"a\x00b", b"\x7f", b"a\x1bb", b"a\x0bb"]
)
@pytest.mark.threat("S33")
def test_not_a_field_value(text: bytes) -> None:
    assert not FIELD_VALUE.fullmatch(text)


@settings(deadline=None)
@given(st.binary(max_size=8))
def test_a_field_value_is_what_the_rfc_says(text: bytes) -> None:
    legal = text == text.strip(b" \t") and all(byte == 9 or (byte >= 32 and byte != 127) for byte in text)
    assert bool(FIELD_VALUE.fullmatch(text)) is legal


@pytest.mark.parametrize("text", [b"a", b"eyJ.a-b_c.d~+/", b"YQ==", b"Y="])
def test_b64token(text: bytes) -> None:
    assert B64TOKEN.fullmatch(text)


@pytest.mark.parametrize("text", [b"", b"=", b"a=b", b"a b", b"a,b", b"a\n", b'"a"', b"a\xff", b"a:b"])
def test_not_a_b64token(text: bytes) -> None:
    assert not B64TOKEN.fullmatch(text)


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"api.example.com", "api.example.com"),
        (b"API.Example.COM", "api.example.com"),
        (b"api.example.com.", "api.example.com"),
        (b"api.example.com:8080", "api.example.com"),
        (b"api.example.com.:8080", "api.example.com"),
        (b"api.example.com:", "api.example.com"),
        (b"api.example.com:0", "api.example.com"),
        (b"api.example.com:65535", "api.example.com"),
        (b"api.example.com:00080", "api.example.com"),
        (b"localhost", "localhost"),
        (b"my_service", "my_service"),
        (b"a-b.c-d", "a-b.c-d"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"127.0.0.1", "127.0.0.1"),
        (b"127.0.0.1:80", "127.0.0.1"),
        (b"127.0.0.1.", "127.0.0.1"),
        (b"255.255.255.255", "255.255.255.255"),
        (b"1a.b2", "1a.b2"),
        (b"1.2.3.4.example", "1.2.3.4.example"),
        (b"0xyz", "0xyz"),
        (b"0x7f.example", "0x7f.example"),
        (b"[::1]", "[::1]"),
        (b"[::1]:8080", "[::1]"),
        (b"[::1]:", "[::1]"),
        (b"[0:0:0:0:0:0:0:1]", "[::1]"),
        (b"[2001:DB8::A]", "[2001:db8::a]"),
        (b"a" * 63 + b".b", "a" * 63 + ".b"),
        (b"a." * 126 + b"a", "a." * 126 + "a"),
    ],
)
@pytest.mark.threat("S24")
def test_host(authority: bytes, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    "authority",
    [
        b"",
        b".",
        b":",
        b":80",
        b"..",
        b".a",
        b"a..b",
        b"a..",
        b"a@b",
        b"user:pass@host",
        b"@host",
        b"host@",
        b"a/b",
        b"a\\b",
        b"a?b",
        b"a#b",
        b"a b",
        b" a",
        b"a ",
        b"a\t",
        b"a\n",
        b"a\x00",
        b"a\x7f",
        b"a,b",
        b"a;b",
        b"a=b",
        b"0.0.0.0=5000",
        b"a%2fb",
        b"a%61",
        b"%61",
        b"caf\xc3\xa9",
        b"a*b",
        b"*.example.com",
        b"*",
        b"a:b",
        b"a:80:80",
        b"a:-1",
        b"a:+80",
        b"a: 80",
        b"a:80 ",
        b"a:65536",
        b"a:100000",
        b"a:000080",
        b"a:\xd9\xa1",
        b"127.1",
        b"127.0.1",
        b"1",
        b"2130706433",
        b"0x7f000001",
        b"0x7f.1",
        b"0x",
        b"0X7F.0.0.0x1",
        b"127.0.0.256",
        b"127.0.0.01",
        b"0177.0.0.1",
        b"1.2.3.4.5",
        b"a.1",
        b"example.com.1",
        b"::1",
        b"::1:80",
        b"[::1",
        b"::1]",
        b"[]",
        b"[:]",
        b"[:::1]",
        b"[::1]x",
        b"[::1]80",
        b"[::1]:x",
        b"[::1%eth0]",
        b"[::1%25eth0]",
        b"[fe80::1%1]",
        b"[v1.a]",
        b"[127.0.0.1]",
        b"[example.com]",
        b"[::1].",
        b"[[::1]]",
        b"[::1.2.3]",
        b"[1:2:3:4:5:6:7:8:9]",
        b"a." * 128,
        b"http://a",
        b"a" * 254,
    ],
)
@pytest.mark.threat("S24")
def test_not_a_host(authority: bytes) -> None:
    with pytest.raises(GrammarError):
        host_of(authority)


HOSTILE = st.text(alphabet="aZ0159.-_:[]@/%=xX*", max_size=12).map(str.encode)


@settings(deadline=None)
@given(HOSTILE | st.binary(max_size=12) | st.ip_addresses(v=6).map(lambda address: f"[{address}]".encode()))
@pytest.mark.fuzz
def test_a_host_is_read_the_same_again_and_has_nothing_but_a_host(authority: bytes) -> None:
    try:
        host = host_of(authority)
    except GrammarError:
        return
    assert host_of(host.encode()) == host
    assert host_of(host.upper().encode() + b":443") == host
    assert re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host)


def test_a_number_of_a_label_more_or_less_is_still_no_name() -> None:
    for name in (b"7", b"1.7", b"1.2.7", b"1.2.3.4.7"):
        with pytest.raises(GrammarError, match="dotted-decimal"):
            host_of(name)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
