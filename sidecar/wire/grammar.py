"""The small grammars of HTTP/1.1 and of bearer tokens, and the one reading of ``Host`` (RFC 9110 §5.5, §5.6.2, §7.2).

Patterns are meant for ``fullmatch`` and nothing else. What a field means is never judged here, and no error of this
module repeats a byte of what it was given.
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

#: ``token`` (RFC 9110 §5.6.2): methods and field names.
TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

#: ``field-value`` (RFC 9110 §5.5), empty ones too: no control byte but HTAB inside, no white space at either end.
FIELD_VALUE: Final = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")

#: ``b64token`` (RFC 6750 §2.1): what may follow ``Bearer``.
B64TOKEN: Final = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")

#: RFC 1035 §2.3.4; it also bounds what looking up a host may cost.
MAX_HOST_BYTES: Final = 253

# Of reg-name (RFC 3986 §3.2.2) only what names in use are made of: sub-delims and escapes serve no caller, and
# ``0.0.0.0=5000`` has fooled parsers. The port may be empty (§3.2.3).
_AUTHORITY: Final = re.compile(
    rb"(?:(?P<name>[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*)\.?|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?"
)
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = re.compile(rb"%b(?:\.%b){3}" % (_OCTET, _OCTET))
_NUMERIC_END: Final = re.compile(rb"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)")


class GrammarError(ValueError):
    """Bytes break a grammar. The message is a constant clause, safe to show to callers."""


def host_of(authority: bytes) -> str:
    """Return the host of a ``Host`` value or of a target's authority: lower-case, without port and one trailing dot.

    An IPv6 address keeps its brackets and is written in its shortest form, so that the result names the same host when
    read again. An empty port is accepted, since ports are not matched.

    GrammarError: it is empty, has user information, is longer than 253 bytes, has an empty label, a port above 65535
    or a byte that is no letter, digit, ``-``, ``_`` or ``.``; or it ends in a number and is no dotted-decimal IPv4
    address (``127.1``, ``0x7f.1``: other readers would take it for one).
    """
    match = _AUTHORITY.fullmatch(authority)
    if match is None or int(match["port"] or b"0") > 65535:
        raise GrammarError("the host is not a name or address with an optional port")
    name: bytes | None = match["name"]
    if name is None:
        return _ipv6(match["ipv6"])
    if len(name) > MAX_HOST_BYTES:
        raise GrammarError("the host is too long")
    if _NUMERIC_END.fullmatch(name) and not _IPV4.fullmatch(name):
        raise GrammarError("the host is a number, but no IPv4 address in dotted-decimal form")
    return name.decode("ascii").lower()


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host, an IPv6 address without its brackets, is ``localhost`` or a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ipv6(address: bytes) -> str:
    try:
        return f"[{IPv6Address(address.decode('ascii'))}]"
    except ValueError:
        raise GrammarError("the host is not an IPv6 address") from None
