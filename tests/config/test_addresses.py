import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import addresses
from sidecar.config.addresses import Address, listen_address, socket_address


@pytest.mark.parametrize(
    ("text", "address", "local"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), True),
        ("0.0.0.0:0", Address("0.0.0.0", 0), False),
        ("[::1]:80", Address("::1", 80), True),
        ("[0:0::1]:80", Address("::1", 80), True),
        ("[::]:80", Address("::", 80), False),
        ("localhost:1", Address("localhost", 1), True),
        ("unix:/run/x.sock", Address(None, 0, "/run/x.sock"), True),
    ],
)
def test_listen_addresses(text: str, address: Address, local: bool) -> None:
    assert listen_address(text) == address
    assert address.is_local is local


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.1:80",
        "2130706433:80",
        "::1:80",
        "[127.0.0.1]:80",
        "example.com:80",
        "127.0.0.1:80\n",
        "127.0.0.1:٨٠",
        "unix:x.sock",
        "unix:/",
        "unix:/run/",
        "unix:/a\x00b",
        "tcp:1",
        "unix:/" + "x" * 107,
    ],
)
def test_what_can_not_be_listened_at(text: str) -> None:
    with pytest.raises(ValueError, match=r"^should be"):
        listen_address(text)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "[::1]:80", False),
        ("[::]:80", "[::1]:80", True),
        ("[::]:80", "127.0.0.1:80", False),
        ("localhost:80", "0.0.0.0:80", True),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("unix:/a", "127.0.0.1:80", False),
    ],
)
def test_addresses_that_overlap(one: str, other: str, overlap: bool) -> None:
    assert listen_address(one).overlaps(listen_address(other)) is overlap
    assert listen_address(other).overlaps(listen_address(one)) is overlap


def test_a_url_is_taken_apart() -> None:
    url = addresses.url("https://Login.Example.com:8443/token/a%20b?x=1")
    assert (url.secure, url.host, url.port) == (True, "login.example.com", 8443)
    assert (url.authority, url.path, url.query) == ("Login.Example.com:8443", "/token/a%20b", "?x=1")
    assert addresses.url("http://[::1]").host == "::1"
    assert addresses.url("http://[::1]").authority == "[::1]"
    assert addresses.url("https://a").port == 443
    assert addresses.url("http://a/").port == 80


@pytest.mark.parametrize(
    "text",
    [
        "",
        "login.example.org",
        "//a/",
        "ftp://a/",
        "HTTPS://a/",
        "https://",
        "https:///x",
        "https://u@a/",
        "https://u:p@a/",
        "https://a/#f",
        "https://a/#",
        "https://a:0/",
        "https://a:65536/",
        "https://a:/",
        "https://a b/",
        "https://a/ ",
        "https://a\\b/",
        "https://a/%zz",
        "https://é/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://1.2.3.4.5/",
        "https://a./",
        "https://.a/",
        "https://-a/",
        "https://[::1/",
        "https://::1/",
        "https://[127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://a/\n",
        "unix:/run/x.sock",
        "https://" + "a." * 127 + "b/",
    ],
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"^should have|^should be") as refused:
        addresses.url_text(text)
    assert len(text) < 12 or text not in str(refused.value)


def test_upstreams_may_be_sockets_and_have_canonical_base_paths() -> None:
    assert addresses.upstream_url("unix:/run/app.sock").unix_path == "/run/app.sock"
    assert addresses.upstream_url("unix:/run/app.sock").is_local
    assert addresses.upstream_url("https://a/base/").path == "/base/"
    for text in ("https://a/?q", "https://a//b", "https://a/../b", "https://a/%2E%2e", "https://a/.", "unix:app.sock"):
        with pytest.raises(ValueError, match=r"^should"):
            addresses.upstream_url(text)


def test_issuers_have_no_query() -> None:
    assert addresses.issuer_url("https://a/realms/x").host == "a"
    with pytest.raises(ValueError, match="no query"):
        addresses.issuer_url("https://a/?x=1")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("API.Example.com", "api.example.com"),
        ("*.Example.com", "*.example.com"),
        ("my_service", "my_service"),
        ("*.local", "*.local"),
        ("10.0.0.1", "10.0.0.1"),
        ("[0:0::1]", "[::1]"),
    ],
)
def test_hosts_to_match(text: str, pattern: str) -> None:
    assert addresses.host_pattern(text) == pattern


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "*.",
        "a.*.b",
        "*a.b",
        "**.a",
        "a:80",
        "a.",
        "a..b",
        "-a",
        "a-",
        "a b",
        "é",
        "https://a",
        "a/b",
        "*.10.0.0.1",
        "127.1",
        "::1",
        "[::1",
        "[10.0.0.1]",
        "a\n",
        "x" * 64,
        "a." * 127 + "b",
    ],
)
def test_what_is_no_host_to_match(text: str) -> None:
    with pytest.raises(ValueError, match=r"^should"):
        addresses.host_pattern(text)


def test_server_names() -> None:
    assert addresses.server_name("Login.example.com") == "login.example.com"
    with pytest.raises(ValueError, match=r"^should"):
        addresses.server_name("*.example.com")


def test_networks() -> None:
    assert addresses.network("10.0.0.0/8") == ipaddress.ip_network("10.0.0.0/8")
    assert addresses.network("::1") == ipaddress.ip_network("::1/128")
    for bad in ("", "10.0.0.1/8", "10.0.0.0/33", "example.com", 10, None, ["10.0.0.0/8"]):
        with pytest.raises(ValueError, match=r"^should be a network"):
            addresses.network(bad)


@given(st.text() | st.from_regex(r"(https?|unix):/?/?[a-z0-9\[\]:.*-]{0,12}[/?#%a-z0-9]{0,8}"))
def test_no_text_raises_anything_else(text: str) -> None:
    for read in (
        addresses.listen_address,
        addresses.url,
        addresses.upstream_url,
        addresses.issuer_url,
        addresses.server_name,
        addresses.host_pattern,
        addresses.network,
    ):
        try:
            read(text)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "https://app.example.com",
        "http://localhost:3000",
        "https://[::1]:8443",
        "http://127.0.0.1:81",
        "https://a:80",
        "capacitor://localhost",
        "null",
        "*",
    ],
)
def test_origins(text: str) -> None:
    assert addresses.origin(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NULL",
        "app.example.com",
        "https://App.example.com",
        "HTTPS://app.example.com",
        "https://app.example.com/",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://a:0",
        "https://a:070",
        "https://a:65536",
        "https://u@a",
        "https://*.example.com",
        "https://127.1",
        "https://[::01]",
        "https://a https://b",
        "https://\u00e4",
    ],
)
def test_what_no_browser_calls_an_origin(text: str) -> None:
    with pytest.raises(ValueError, match="should"):
        addresses.origin(text)


def test_a_control_socket_is_a_unix_socket() -> None:
    assert socket_address("unix:/run/x.sock") == Address(None, 0, "/run/x.sock")
    for text in ("/run/x.sock", "127.0.0.1:80", "unix:x.sock", "unix:/", "http://x"):
        with pytest.raises(ValueError, match="should be"):
            socket_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://api.example.com",
        "https://api.example.com/",
        "https://api.example.com:8443/v1/mcp/",
        "https://api.example.com/a:b@c",
        "http://127.0.0.1:8080/mcp",
        "http://localhost:8080/mcp",
    ],
)
def test_identifiers_of_resources(text: str) -> None:
    assert addresses.resource_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "api.example.com/a",
        "http://api.example.com/a",
        "https://api.example.com/a?b",
        "https://api.example.com/a?",
        "https://api.example.com/a#b",
        "https://user@api.example.com/a",
        "https://api.example.com//a",
        "https://api.example.com/a/../b",
        "https://api.example.com/a/./b",
        "https://api.example.com/%61",
        'https://api.example.com/a"b',
        "https://api.example.com/a\\b",
        "https://api.example.com/{id}",
        " https://api.example.com/a",
        "https://api.example.com/\u00e9",
        "unix:/run/app.sock",
        "",
    ],
)
def test_what_identifies_no_resource(text: str) -> None:
    with pytest.raises(ValueError, match="should"):
        addresses.resource_url(text)


@given(st.text('/.%?#:@a1-~_"\\ {}', max_size=20))
def test_an_identifier_can_be_quoted_and_read_in_one_way(rest: str) -> None:
    text = "https://a.example/" + rest
    try:
        addresses.resource_url(text)
    except ValueError:
        return
    assert not set('"\\ %?#{}').intersection(text)
    assert not {"", ".", ".."}.intersection(text.split("/")[3:-1])
