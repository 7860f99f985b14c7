"""Which requests are taken at all, and what they look like to everybody above (RFC 9112 §3 and §6, RFC 9110 §7).

Pure. The parser has split the message; here it must be exactly one message, of a version, method, target, host and
framing that leave no second reading. Anything else is refused before a route is looked for.
"""

import re
from functools import lru_cache
from itertools import chain
from secrets import token_hex
from typing import Final, Protocol

from sidecar.model.listener import Listener
from sidecar.model.refusal import Kind, Oversize, Refused, refuse
from sidecar.model.request import Fields, Named, RequestHead, by_name
from sidecar.wire.fields import CREDENTIALS, FORWARDING
from sidecar.wire.grammar import GrammarError, host_of
from sidecar.wire.target import split


class Message(Protocol):
    """What is read of a parsed request head."""

    @property
    def method(self) -> str:
        """The method, as it came."""

    @property
    def path(self) -> str:
        """The target, its bytes as surrogate-escaped UTF-8."""

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version."""

    @property
    def raw_headers(self) -> Fields:
        """The field lines, bytes as they came."""


#: Names that decide something here, or that we set or remove; the same with ``_`` for ``-`` is refused, since some
#: applications can't tell them apart.
GUARDED: Final = frozenset(
    name
    for name in CREDENTIALS
    | FORWARDING
    | {b"content-length", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"x-request-id"}
    if b"-" in name  # the others have no alias
)

_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_VERSIONS: Final = ((1, 1), (1, 0))
_NONE: Final[list[bytes]] = []

_host_of = lru_cache(maxsize=1024)(host_of)


def accept(
    message: Message, listener: Listener, *, peer: str | None, guarded: frozenset[bytes], own_via: bytes | None
) -> RequestHead:
    """Return the head of a request that may be routed.

    peer: the other end's address, None on a unix socket. guarded: lower-case names, GUARDED and those a configuration
    adds. own_via: the name this process puts into ``Via``, None where it forwards nothing.
    Refused: with the kind of design's table of errors; ``close`` where the framing can't be trusted.
    """
    if message.version not in _VERSIONS:
        raise refuse(Kind.VERSION_NOT_SUPPORTED, "Only HTTP/1.0 and HTTP/1.1 are spoken here.", close=True)
    if message.method in ("CONNECT", "TRACE"):
        raise refuse(Kind.NOT_SUPPORTED, "The method is not supported.", close=True)
    target_bytes = message.path.encode("utf-8", "surrogateescape")
    named = by_name(message.raw_headers)
    _refuse_aliases(named, guarded)
    _check_size(target_bytes, message.raw_headers, listener.max_header_bytes)
    chunked, content_length = _framing(message, named)
    if own_via is not None and b"via" in named and own_via in b",".join(named[b"via"]):
        raise refuse(Kind.LOOP, "The request came back to the gateway that sent it.")
    try:
        target = split(target_bytes)
        authority = _authority(message, named, target.authority)
        host = _host_of(authority) if authority else ""
    except GrammarError as error:
        raise refuse(Kind.INVALID_REQUEST, f"Bad request: {error}.") from None
    if target.scheme == "https" and listener.scheme != "https":
        raise refuse(Kind.INVALID_REQUEST, "An https target needs a listener with TLS.")
    return RequestHead(
        listener=listener.name,
        method=message.method,
        path=target.path,
        query=target.query,
        host=host,
        authority=authority,
        fields=message.raw_headers,
        version=message.version,
        scheme=listener.scheme,
        peer=peer,
        content_length=content_length,
        chunked=chunked,
        expects_continue=_expects_continue(message, named),
        request_id=_request_id(named),
        named=named,
    )


def _refuse_aliases(named: Named, guarded: frozenset[bytes]) -> None:
    if b"_" not in b"".join(named):  # the way of nearly all
        return
    for name in named:
        if b"_" in name and name.replace(b"_", b"-") in guarded:
            raise refuse(Kind.INVALID_REQUEST, "A field name stands for one that the gateway sets.")


def _check_size(target: bytes, fields: Fields, most: int) -> None:
    if len(target) > most:
        raise refuse(Kind.TOO_LARGE, "The request target is too long.", oversize=Oversize.TARGET, close=True)
    if len(target) + sum(map(len, chain.from_iterable(fields))) + 4 * len(fields) > most:
        raise refuse(Kind.TOO_LARGE, "The request's head is too large.", oversize=Oversize.HEADERS, close=True)


def _framing(message: Message, named: Named) -> tuple[bool, int | None]:
    """Whether the body is chunked, and its length (RFC 9112 §6.1 to §6.3, strict: no second reading)."""
    codings, lengths = named.get(b"transfer-encoding", _NONE), named.get(b"content-length", _NONE)
    if codings and (lengths or message.version == (1, 0)):
        raise _bad_framing()
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        raise refuse(Kind.NOT_SUPPORTED, "Only the chunked transfer coding is supported.", close=True)
    if lengths and (len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0])):
        raise _bad_framing()
    return bool(codings), int(lengths[0]) if lengths else None


def _bad_framing() -> Refused:
    return refuse(Kind.INVALID_REQUEST, "The request's framing is ambiguous.", close=True)


def _authority(message: Message, named: Named, target_authority: bytes | None) -> bytes:
    """The effective authority (RFC 9112 §3.2.2): exactly one Host, and equal to an absolute target's."""
    hosts = named.get(b"host", _NONE)
    if len(hosts) > 1 or (not hosts and message.version == (1, 1)):
        raise refuse(Kind.INVALID_REQUEST, "There must be exactly one Host.", close=True)
    host = hosts[0] if hosts else b""
    if hosts and not host:
        raise refuse(Kind.INVALID_REQUEST, "Host is empty.")
    if target_authority is not None and hosts and target_authority.lower() != host.lower():
        raise refuse(Kind.INVALID_REQUEST, "The target and Host name different authorities.")
    return target_authority or host


def _expects_continue(message: Message, named: Named) -> bool:
    expectations = named.get(b"expect", _NONE)
    if not expectations or message.version == (1, 0):
        return False
    if len(expectations) > 1 or expectations[0].lower() != b"100-continue":
        raise refuse(Kind.EXPECTATION_FAILED, "The expectation is not known.")
    return True


def _request_id(named: Named) -> str:
    given = named.get(b"x-request-id", _NONE)
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return token_hex(16)
