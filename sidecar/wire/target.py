"""The request target: its parts, and the path as it is matched (RFC 9112 §3.2, RFC 3986 §3.3, §6.2.2).

What is forwarded are always the path's own bytes; the canonical path only decides. Nothing here knows of routes: a path
that upstreams read in more than one way is told by its features, and whether they are allowed is judged elsewhere.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from sidecar.wire.grammar import GrammarError, host_of

ENCODED_SLASH: Final = "encoded-slash"
EMPTY_SEGMENT: Final = "empty-segment"
PATH_PARAMETERS: Final = "path-parameters"

_NONE: Final[frozenset[str]] = frozenset()

_PCHARS: Final = rb"A-Za-z0-9\-._~!$&'()*+,;=:@"
_PATH_RULE: Final = rb"/[%b/]*(?:%%[0-9A-Fa-f]{2}[%b/]*)*" % (_PCHARS, _PCHARS)
# Wider than RFC 3986 §3.4: applications are sent ``%zz``, ``[`` and quotes, and a query is never matched.
_QUERY_RULE: Final = rb"[\x21\x22\x24-\x7e]*"

_PATH: Final = re.compile(_PATH_RULE)
_ORIGIN: Final = re.compile(rb"(%b)(?:\?(%b))?" % (_PATH_RULE, _QUERY_RULE))
_ABSOLUTE: Final = re.compile(rb"([Hh][Tt][Tt][Pp][Ss]?)://([^/?]*)(%b)?(?:\?(%b))?" % (_PATH_RULE, _QUERY_RULE))
_ODD: Final = re.compile(rb"[^\x21-\x7e]")

# Canonical as it stands: no escape, parameter, empty segment, or segment that begins with a dot.
_PLAIN: Final = re.compile(rb"(?:/(?!\.)[A-Za-z0-9\-._~!$&'()*+,=:@]+)+/?|/")
_ESCAPE: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_DOT_SEGMENT: Final = re.compile(rb"/\.\.?(?:/|\Z)")
_PARAMETERS: Final = re.compile(rb"(?:;|%3B)[^/]*")
_SLASHES: Final = re.compile(rb"//+")
_AMBIGUOUS: Final = re.compile(rb"%2F|;|%3B|//")

_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
# What stands for an escape in a canonical path; control bytes and the backslash have no entry.
_CANONICAL_ESCAPES: Final = {
    b"%%%02X" % byte: bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte
    for byte in range(0x20, 0x100)
    if byte not in b"\\\x7f"
}


@dataclass(frozen=True, slots=True)
class Target:
    """A request target in its parts, as they came.

    scheme: ``http`` or ``https`` in absolute-form, else None; so is authority. path: never empty.
    query: None where there is no ``?``, empty after a bare one.
    """

    scheme: str | None
    authority: bytes | None = field(repr=False)
    path: bytes = field(repr=False)
    query: bytes | None = field(repr=False)


def split(target: bytes) -> Target:
    """Take a target in origin-form, or in absolute-form of ``http`` or ``https``, apart.

    The path holds nothing but what RFC 3986 allows there, the query any visible ASCII but ``#``.

    GrammarError: anything else, such as authority-form, ``*``, a fragment, a space, or an authority that ``host_of``
    refuses.
    """
    if (origin := _ORIGIN.fullmatch(target)) is not None:
        return Target(None, None, origin[1], origin[2])
    if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        host_of(absolute[2])
        return Target(absolute[1].decode("ascii").lower(), absolute[2], absolute[3] or b"/", absolute[4])
    raise GrammarError(_what_is_wrong(target))


def canonical(path: bytes) -> tuple[bytes, frozenset[str]]:
    """Return the path as it is matched, and its features among ENCODED_SLASH, EMPTY_SEGMENT and PATH_PARAMETERS.

    Escapes of unreserved bytes are decoded, once, and the others' hex digits upper-cased (RFC 3986 §6.2.2); so
    ``%252e`` stays what it is. A canonical path is its own canonical path. A feature is also found where only one of
    the path's ``readings`` shows it: ``/a/%2Fb`` and ``/;x/b`` have empty segments. A trailing slash makes none.

    GrammarError: the path does not begin with ``/``, has a byte or a percent sign that RFC 3986 does not allow, a
    control byte or backslash in any form, or a dot segment in any form and in any of its readings.
    """
    if _PLAIN.fullmatch(path) is not None:
        return path, _NONE
    if _PATH.fullmatch(path) is None:
        raise GrammarError("the path has a byte or a percent sign that RFC 3986 does not allow")
    decoded = _ESCAPE.sub(_canonical_escape, path)
    ways = {decoded, *readings(decoded)}
    if any(_DOT_SEGMENT.search(way) for way in ways):
        raise GrammarError("the path has a dot segment")
    features = set()
    if b"%2F" in decoded:
        features.add(ENCODED_SLASH)
    if _PARAMETERS.search(decoded):
        features.add(PATH_PARAMETERS)
    if any(b"//" in way for way in ways):
        features.add(EMPTY_SEGMENT)
    return decoded, frozenset(features)


def readings(path: bytes) -> frozenset[bytes]:
    """Return the other paths that some upstream takes a canonical path for.

    Upstreams decode ``%2F``, cut off parameters and merge slashes; which of these, and in which order, differs.
    Empty for a path without features.
    """
    if _AMBIGUOUS.search(path) is None:
        return frozenset()
    found = {path}
    queue = [path]
    for way in queue:
        for other in (way.replace(b"%2F", b"/"), _PARAMETERS.sub(b"", way), _SLASHES.sub(b"/", way)):
            if other not in found:
                found.add(other)
                queue.append(other)
    return frozenset(found - {path})


def _canonical_escape(escape: re.Match[bytes]) -> bytes:
    try:
        return _CANONICAL_ESCAPES[escape[0].upper()]
    except KeyError:
        raise GrammarError("the path has an encoded control byte or backslash") from None


def _what_is_wrong(target: bytes) -> str:
    if _ODD.search(target):
        return "the request target has a control byte, a space or a byte that is not ASCII"
    if b"#" in target:
        return "the request target has a fragment"
    if not target.startswith(b"/") and not _ABSOLUTE.match(target):
        return "the request target is neither in origin-form nor in absolute-form"
    return "the path has a byte or a percent sign that RFC 3986 does not allow"
