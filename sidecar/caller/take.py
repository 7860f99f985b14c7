"""Exactly one bearer token, out of the request (RFC 6750 §2, RFC 9110 §11).

Pure. The credential is taken from one place; found anywhere else in the head as well, the request is refused, since
what passes through would carry the caller's token to the upstream.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.request import RequestHead
from sidecar.wire.grammar import B64TOKEN

AUTHORIZATION: Final = b"authorization"

_BEARER: Final = re.compile(rb"(?i:bearer) +(" + B64TOKEN.pattern + rb")")
#: The usual spellings, and what a usual token is made of: with these the pattern, which is slower, need not be asked.
_USUAL: Final = (b"Bearer ", b"bearer ")
_B64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
_ANY_BEARER: Final = re.compile(rb"(?:^|,)[ \t]*bearer(?:[ \t,]|$)", re.IGNORECASE)
_QUERY_TOKEN: Final = re.compile(rb"(?:^|&)access_token=([^&]*)", re.IGNORECASE)
_LONG_WORD: Final = re.compile(rb"[A-Za-z0-9\-._~+/]{16,}=*")
#: A last segment shorter than this is no signature; searching for it would find ordinary words.
_SHORTEST_SEGMENT: Final = 16


@dataclass(frozen=True, slots=True)
class Credential:
    """The token that the caller presented, not verified yet. needle: what to search for to find it, see ``needle``."""

    token: str = field(repr=False)
    needle: bytes = field(default=b"", repr=False)


def take(request: RequestHead, header: str, *, trusted_peer: bool, ingress: bool, drop_cookies: bool) -> Credential:
    """Return the one credential of a request.

    header: lower-case name of the field that carries it; any but Authorization carries the token alone, and counts only
    where the peer is trusted. ingress: a token in the query is refused whatever it is.
    Refused: MISSING_TOKEN where there is none or another scheme, INVALID_REQUEST for two, a malformed one, or one in a
    second place.
    """
    name = header.encode()
    if name == AUTHORIZATION:
        token = _bearer(request.values(AUTHORIZATION))
    else:
        token = _bare(request.values(name) if trusted_peer else [])
    sought = needle(token)
    if (ingress and request.query is not None and _QUERY_TOKEN.search(request.query)) or _elsewhere(
        request, sought, name, drop_cookies=drop_cookies
    ):
        raise _second_place()
    return Credential(token.decode(), sought)


def refuse_second_place(request: RequestHead, *, ingress: bool, drop_cookies: bool) -> tuple[bytes, ...]:
    """On a route that needs no credential: refuse a request whose bearer token is in a second place too.

    Returns the needles of the tokens that were there, which must not be found in what goes upstream.
    """
    if ingress and request.query is not None and _QUERY_TOKEN.search(request.query):
        raise _second_place()
    tokens = [match[1] for value in request.values(AUTHORIZATION) if (match := _BEARER.fullmatch(value))]
    found = tuple(map(needle, tokens))
    for sought in found:
        if _elsewhere(request, sought, AUTHORIZATION, drop_cookies=drop_cookies):
            raise _second_place()
    return found


def needles(request: RequestHead, header: str) -> tuple[bytes, ...]:
    """Return what to search for to find whatever a refused request carries for a token, be it malformed or twice there.

    header: see ``take``.
    """
    names = {AUTHORIZATION, header.encode()}
    carried = [value for name, value in request.fields if name.lower() in names]
    return tuple(needle(word) for value in carried for word in _LONG_WORD.findall(value))


def needle(token: bytes) -> bytes:
    """Return what to search for to find a token: a JWT's signature, the whole text of any other."""
    segments = token.split(b".")
    return segments[-1] if len(segments) == 3 and len(segments[-1]) >= _SHORTEST_SEGMENT else token


def _bearer(values: list[bytes]) -> bytes:
    if not values:
        raise refuse(Kind.MISSING_TOKEN, "A bearer token is needed.")
    if len(values) > 1:
        raise refuse(Kind.INVALID_REQUEST, "There is more than one Authorization field.")
    value = values[0]
    if value[:7] in _USUAL and len(value) > 7 and value.translate(None, _B64) == b" ":
        return value[7:]
    match = _BEARER.fullmatch(value)
    if match is not None:
        return match[1]
    if _ANY_BEARER.search(value):
        raise refuse(Kind.INVALID_REQUEST, "The Authorization field is malformed.")
    raise refuse(Kind.MISSING_TOKEN, "A bearer token is needed.")


def _bare(values: list[bytes]) -> bytes:
    if not values:
        raise refuse(Kind.MISSING_TOKEN, "A token is needed.")
    if len(values) > 1 or not B64TOKEN.fullmatch(values[0]):
        raise refuse(Kind.INVALID_REQUEST, "The field that carries the token is malformed.")
    return values[0]


def _elsewhere(request: RequestHead, sought: bytes, name: bytes, *, drop_cookies: bool) -> bool:
    """Whether a token's needle stands anywhere in the head but in the field that the token was taken from."""
    if sought in request.path or (request.query is not None and sought in request.query):
        return True
    if b"%" in request.path or (request.query is not None and b"%" in request.query):
        decoded = unquote_to_bytes(request.path) + b"?" + unquote_to_bytes(request.query or b"")
        if sought in decoded:
            return True
    length = len(sought)
    for key, value in request.fields:
        if len(value) < length and len(key) < length:  # the way of nearly all
            continue
        lowered = key.lower()
        if lowered == name or (drop_cookies and lowered == b"cookie"):
            continue
        if sought in value or sought in key:
            return True
    return False


def _second_place() -> Refused:
    return refuse(Kind.INVALID_REQUEST, "The token is in a second place.")
