"""Where things listen and where they are reached: addresses, URLs, host names, networks.

Functions from text to value, without I/O or name resolution. Each raises ValueError with a message that says what
would be right and never repeats the text. RFC 3986 §3.2 (authority), RFC 9110 §4.2 (http and https URIs); the old
spellings of IPv4 addresses (``127.1``, ``2130706433``) are refused, since programs read them differently.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sidecar.wire.grammar import is_loopback

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_URL: Final = re.compile(
    r"(https?)://"
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?"
    r"((?:/(?:[A-Za-z0-9._~:@!$&'()*+,;=/-]|%[0-9A-Fa-f]{2})*)?)"
    r"(\?(?:[A-Za-z0-9._~:@!$&'()*+,;=/?-]|%[0-9A-Fa-f]{2})*)?"
)
_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS: Final = (("http", "80"), ("https", "443"))
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9._~:/!$&'()*+,;=@-]*")
_DOT_SEGMENT: Final = re.compile(r"/(?:\.|%2e){1,2}(?=/|$)", re.IGNORECASE)
_MAX_SOCKET_PATH: Final = 107  # bytes; what the operating system's address structure holds

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens: a host and port, or a unix socket's absolute path. Port 0 lets the system choose."""

    host: str | None
    port: int
    unix_path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host is None or is_loopback(self.host)

    def overlaps(self, other: "Address") -> bool:
        """Whether two listeners at these addresses would get in each other's way."""
        if self.host is None or other.host is None:
            return self == other
        if self.port != other.port or self.port == 0:
            return False
        return self.host == other.host or _covers(self.host, other.host) or _covers(other.host, self.host)


@dataclass(frozen=True, slots=True)
class URL:
    """An http or https URL, or a unix socket to which plain http is spoken.

    text: as it was written. authority: host and port as written, empty for a socket. port: also where it is implied.
    path: with its leading slash, or empty; query: with its ``?``, or empty.
    """

    text: str
    secure: bool
    host: str | None
    port: int
    authority: str
    path: str
    query: str
    unix_path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can be behind it."""
        return self.host is None or is_loopback(self.host)


def socket_address(text: str) -> Address:
    """Read ``unix:/path``."""
    if not text.startswith("unix:"):
        raise ValueError("should be unix: and an absolute path")
    return Address(None, 0, _socket_path(text))


def listen_address(text: str) -> Address:
    """Read ``host:port``, ``[v6]:port`` or ``unix:/path``."""
    if text.startswith("unix:"):
        return Address(None, 0, _socket_path(text))
    match = _LISTEN.fullmatch(text)
    host = _ip_or_none(match[1]) if match else None
    if match is None or (host is None and match[1] != "localhost") or int(match[2]) > 65535:
        raise ValueError("should be an address and port such as 127.0.0.1:8080 or [::1]:8080, or unix:/run/x.sock")
    return Address(host or "localhost", int(match[2]))


def url(text: str) -> URL:
    """Read an http or https URL, which may have a path and a query but no user, password or fragment."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("should be a URL such as https://login.example.com/token, without user and fragment")
    secure = match[1] == "https"
    port = int(match[3] or (443 if secure else 80))
    if not 0 < port < 65536:
        raise ValueError("should have a port from 1 to 65535")
    authority = match[2] + (f":{port}" if match[3] else "")
    return URL(text, secure, _host(match[2].lower()), port, authority, match[4], match[5] or "")


def url_text(text: str) -> str:
    """Check an http or https URL and return it as it was written."""
    return url(text).text


def proxy_url(text: str) -> str:
    """Check the URL of a proxy and return it as it was written: http, and nothing behind its port."""
    read = url(text)
    if read.secure or read.path not in ("", "/") or read.query:
        raise ValueError("should be an http URL without a path; what goes through it is encrypted by itself")
    return read.text


def upstream_url(text: str) -> URL:
    """Read an upstream's URL: http, https or ``unix:/path``; its path goes before the request's, without a query."""
    if text.startswith("unix:"):
        return URL(text, False, None, 0, "", "", "", _socket_path(text))
    read = url(text)
    if read.query or "//" in read.path or _DOT_SEGMENT.search(read.path):
        raise ValueError("should have no query, and a path without empty or dot segments")
    return read


def issuer_url(text: str) -> URL:
    """Read an issuer identifier that metadata can be found at (RFC 8414 §2): a URL without query and fragment."""
    read = url(text)
    if read.query:
        raise ValueError("should have no query, so that metadata can be found at it")
    return read


def resource_url(text: str) -> str:
    """Check the identifier of a protected resource (RFC 9728 §1.2): where its callers reach it, https but for loopback.

    Without query, dot segments or odd bytes, so that the place of its metadata can be read in one way only.
    """
    read = url(text)
    odd = read.query or "?" in text or "//" in read.path or _DOT_SEGMENT.search(read.path)
    if odd or not _PLAIN_PATH.fullmatch(read.path) or text != text.strip():
        raise ValueError("should have no query, and a path without empty or dot segments and without percent signs")
    if not read.secure and not read.is_local:
        raise ValueError("should be https: it is where callers reach the route")
    return text


def server_name(text: str) -> str:
    """Check a name to ask for and to verify in TLS."""
    return _host(text.lower())


def host_pattern(text: str) -> str:
    """Return a host to match, in lower case: a name, ``*.example.com``, or an address; without a port."""
    folded = text.lower()
    if folded.startswith("*."):
        if _ip_or_none(folded[2:]) is not None:
            raise ValueError("should name a domain after '*.'")
        return f"*.{_host(folded[2:])}"
    if folded.startswith("["):
        return f"[{_host(folded)}]"
    return _host(folded)


def origin(text: str) -> str:
    """Check a web page's origin as browsers write it (RFC 6454 §6.2); ``null``; or ``*`` for every one."""
    match = _ORIGIN.fullmatch(text)
    if text in ("null", "*") or (
        match is not None
        and (match[3] is None or (int(match[3]) < 65536 and (match[1], match[3]) not in _DEFAULT_PORTS))
        and _host(match[2]) == match[2].strip("[]")
    ):
        return text
    raise ValueError("should be an origin such as https://app.example.com: lower case, no default port, no path")


def network(text: object) -> Network:
    """Read a network such as ``10.0.0.0/8``; an address alone is a network of one."""
    try:
        if isinstance(text, str):
            return ipaddress.ip_network(text)
    except ValueError:
        pass
    raise ValueError("should be a network such as 10.0.0.0/8 or 192.0.2.7, with no bits set beyond its prefix")


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise ValueError("should be unix: and an absolute path, such as unix:/run/x.sock")
    if len(path.encode()) > _MAX_SOCKET_PATH:
        raise ValueError(f"should be a socket's path of at most {_MAX_SOCKET_PATH} bytes")
    return path


@lru_cache(maxsize=256)  # the routes of a large file name few hosts, many times
def _ip_or_none(text: str) -> str | None:
    """An address in its usual spelling, without brackets; None where it is no address."""
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        address = ipaddress.ip_address(text[1:-1] if bracketed else text)
    except ValueError:
        return None
    return str(address) if bracketed == (address.version == 6) else None


def _host(text: str) -> str:
    """A lower-case name, or an address in its usual spelling; IPv6 addresses come in brackets and leave without."""
    if (address := _ip_or_none(text)) is not None:
        return address
    if not _HOST_NAME.fullmatch(text) or len(text) > 253:
        raise ValueError("should have a host name or address, without a port or a trailing dot")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", text.rpartition(".")[2]):
        raise ValueError("should have an IPv4 address as four decimal numbers")
    return text


def _covers(host: str, other: str) -> bool:
    """Whether a host is the unspecified address of the other's family."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return False
    return other == "localhost" or (":" in other) == (":" in host)
