"""The two heads that open a WebSocket, each held against what it must say (RFC 6455 §4.2.1 and §4.1, RFC 9110 §7.8).

Pure. Nothing is chosen here: protocols and extensions are agreed on by the two ends, and only looked at so that neither
gets what it did not ask for. Where the heads come from and who is told is for others.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

from sidecar.wire.fields import connection_options
from sidecar.wire.grammar import TOKEN, GrammarError

VERSION: Final = b"13"
WEBSOCKET: Final = b"websocket"

Named = Mapping[bytes, list[bytes]]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: 16 bytes in Base64, in the one way that they are written: the last character before the padding has four bits.
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_OWS: Final = rb"[ \t]*+"
_PARAMETER: Final = (
    rb";" + _OWS + TOKEN.pattern + rb"(?:" + _OWS + rb"=" + _OWS
    + rb"(?:" + TOKEN.pattern + rb'|"(?:' + TOKEN.pattern + rb')"))?' + _OWS
)  # fmt: skip
_EXTENSION: Final = re.compile(rb"(" + TOKEN.pattern + rb")" + _OWS + rb"(?:" + _PARAMETER + rb")*+")


class UnknownVersion(GrammarError):
    """The handshake is for another version of the protocol."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client asks for: the key that the answer must know, and names of subprotocols and extensions."""

    key: bytes = field(repr=False)
    protocols: frozenset[bytes] = field(repr=False)
    extensions: frozenset[bytes] = field(repr=False)


def offers(named: Named) -> bool:
    """Whether a request asks for a WebSocket, if perhaps not in the way it should.

    named: the values of its fields by lower-case name.
    """
    return any(WEBSOCKET in connection_options(value) for value in named.get(b"upgrade", []))


def offer_of(named: Named) -> Offer:
    """Return what a client's handshake asks for.

    UnknownVersion: for another version than 13. GrammarError: it is not exactly one ``Upgrade: websocket`` that
    ``Connection`` lists, with exactly one key of 16 bytes; or a list of protocols or extensions is malformed.
    """
    if not _switches(named):
        raise GrammarError("the handshake does not ask for a WebSocket alone")
    if named.get(b"sec-websocket-version") != [VERSION]:
        raise UnknownVersion("the handshake is for another version of the protocol")
    keys = named.get(b"sec-websocket-key", [])
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise GrammarError("the handshake has no key of 16 bytes")
    return Offer(keys[0], frozenset(_protocols(named)), frozenset(_extensions(named)))


def check_answer(offer: Offer, named: Named) -> None:
    """Hold the fields of a 101 against the offer that it answers.

    GrammarError: it switches to something else, does not know the key, or takes what was not offered.
    """
    if not _switches(named):
        raise GrammarError("the answer switches to another protocol")
    if named.get(b"sec-websocket-accept") != [accept_for(offer.key)]:
        raise GrammarError("the answer is to another handshake")
    protocols = _protocols(named)
    if len(protocols) > 1 or not offer.protocols.issuperset(protocols):
        raise GrammarError("the answer takes a subprotocol that was not offered")
    if not offer.extensions.issuperset(_extensions(named)):
        raise GrammarError("the answer takes an extension that was not offered")


def accept_for(key: bytes) -> bytes:
    """Return what proves that a handshake with this key was read (RFC 6455 §4.2.2)."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def _switches(named: Named) -> bool:
    """Whether a head is for a WebSocket and nothing else."""
    upgrades = named.get(b"upgrade", [])
    listed = [option for value in named.get(b"connection", []) for option in connection_options(value)]
    return len(upgrades) == 1 and upgrades[0].lower() == WEBSOCKET and b"upgrade" in listed


def _protocols(named: Named) -> list[bytes]:
    members = _members(named, b"sec-websocket-protocol")
    if len(set(members)) < len(members) or not all(map(TOKEN.fullmatch, members)):
        raise GrammarError("the list of subprotocols is malformed")
    return members


def _extensions(named: Named) -> list[bytes]:
    """The names alone: what their parameters mean is between the two ends."""
    found = list(map(_EXTENSION.fullmatch, _members(named, b"sec-websocket-extensions")))
    if not all(found):
        raise GrammarError("the list of extensions is malformed")
    return [match[1] for match in found if match is not None]


def _members(named: Named, name: bytes) -> list[bytes]:
    """The members of a list; a quoted value in it is a token (RFC 6455 §9.1), so that it holds no comma."""
    return [
        stripped for value in named.get(name, []) for member in value.split(b",") if (stripped := member.strip(b" \t"))
    ]
