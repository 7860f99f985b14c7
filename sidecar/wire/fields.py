"""Field lines between two hops: which of them go on, and how a head is put into bytes (RFC 9110 §7.6.1, RFC 9112 §5).

Fields are pairs of bytes, in the order and case they came; nothing here reads or changes a value. What else a gateway
removes (credentials, forwarding headers) is decided by its callers.
"""

from collections.abc import Iterable
from typing import Final

#: What ends at the next hop, lower-case. The three ``Proxy-Auth…`` fields speak to the nearest proxy (RFC 9110 §11.7),
#: and ``Trailer`` announces what is dropped.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

#: Where applications and proxies look for a credential; what stands there never goes on, whatever it is.
CREDENTIALS: Final = frozenset(
    {b"authorization", b"proxy-authorization", b"x-auth-request-access-token", b"x-forwarded-access-token"}
)
#: What tells an application who called (RFC 7239, and the fields that came before it): ours to make.
FORWARDING: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)


def forwardable(
    fields: Iterable[tuple[bytes, bytes]], extra_drop: frozenset[bytes] = frozenset()
) -> list[tuple[bytes, bytes]]:
    """Return the fields that go on to the next hop, as they came and in order.

    Left out are the hop-by-hop ones, whatever ``Connection`` names, and ``extra_drop`` (lower-case names).
    ``Content-Length`` is end-to-end and stays; who frames the message anew puts it into ``extra_drop``.
    """
    kept: list[tuple[bytes, bytes]] = []
    named: set[bytes] = set()
    for field in fields:
        name = field[0].lower()
        if name in HOP_BY_HOP:
            if name == b"connection":
                named.update(connection_options(field[1]))
        elif name not in extra_drop:
            kept.append(field)
    named -= _HARMLESS_OPTIONS
    if named:
        return [field for field in kept if field[0].lower() not in named]
    return kept


def connection_options(value: bytes) -> list[bytes]:
    """Return the lower-case members of one ``Connection`` value; empty ones are left out (RFC 9110 §5.6.1)."""
    return [option for member in value.lower().split(b",") if (option := member.strip(b" \t"))]


def serialize_head(start_line: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a complete head: the start line, the field lines and the empty line.

    ValueError: a part holds a line break, so that the head would say more than was asked for.
    """
    lines = [start_line]
    lines += [name + b": " + value for name, value in fields]
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks:
        raise ValueError("a part of the head holds a line break")
    return head + b"\r\n\r\n"


_HARMLESS_OPTIONS: Final = HOP_BY_HOP | {b"close"}
