import base64
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.request import by_name
from sidecar.wire.grammar import GrammarError
from sidecar.wire.handshake import Offer, UnknownVersion, accept_for, check_answer, offer_of, offers
from tests.support.websocket import KEY, accept

GOOD: Mapping[bytes, bytes] = {
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": KEY,
}
ANSWER: Mapping[bytes, bytes] = {
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Accept": accept(KEY),
}
OFFER = Offer(KEY, frozenset({b"chat", b"Chat2"}), frozenset({b"permessage-deflate"}))


def named(fields: Mapping[bytes, bytes], *more: tuple[bytes, bytes], **replaced: bytes) -> dict[bytes, list[bytes]]:
    changed = {name.replace("_", "-").lower().encode(): value for name, value in replaced.items()}
    return by_name(tuple((name, changed.get(name.lower(), value)) for name, value in fields.items()) + more)


def without(fields: Mapping[bytes, bytes], name: bytes) -> dict[bytes, list[bytes]]:
    return by_name(tuple(pair for pair in fields.items() if pair[0] != name))


def test_the_example_of_the_rfc() -> None:
    assert accept_for(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(st.binary(min_size=16, max_size=16))
def test_every_key_of_16_bytes_is_taken(raw: bytes) -> None:
    key = base64.b64encode(raw)
    assert offer_of(named(GOOD, sec_websocket_key=key)).key == key


@pytest.mark.parametrize(
    "fields",
    [
        named(GOOD),
        named(GOOD, upgrade=b"WebSocket"),
        named(GOOD, connection=b"keep-alive, UPGRADE"),
        named(GOOD, (b"connection", b"keep-alive")),
    ],
)
def test_a_good_handshake_is_taken(fields: dict[bytes, list[bytes]]) -> None:
    assert offers(fields)
    assert offer_of(fields) == Offer(KEY, frozenset(), frozenset())


def test_what_is_offered_is_told() -> None:
    offer = offer_of(
        named(
            GOOD,
            (b"sec-websocket-protocol", b"a, b,"),
            (b"sec-websocket-protocol", b"c"),
            (b"sec-websocket-extensions", b'permessage-deflate; client_max_window_bits; x="10" ,mux'),
        )
    )
    assert offer.protocols == {b"a", b"b", b"c"}
    assert offer.extensions == {b"permessage-deflate", b"mux"}


@pytest.mark.parametrize(
    "fields",
    [
        named(GOOD, upgrade=b"websocket, h2c"),
        named(GOOD, upgrade=b"h2c, websocket"),
        named(GOOD, (b"Upgrade", b"websocket")),
        named(GOOD, (b"Upgrade", b"h2c")),
        named(GOOD, connection=b"close"),
        named(GOOD, connection=b"upgraded"),
        without(GOOD, b"Connection"),
        without(GOOD, b"Sec-WebSocket-Key"),
        named(GOOD, (b"Sec-WebSocket-Key", KEY)),
        named(GOOD, sec_websocket_key=b""),
        named(GOOD, sec_websocket_key=b"c2hvcnQ="),
        named(GOOD, sec_websocket_key=base64.b64encode(bytes(17))),
        named(GOOD, sec_websocket_key=KEY[:-3] + b"B=="),  # bits beyond the sixteenth byte
        named(GOOD, sec_websocket_key=KEY[:-2]),
        named(GOOD, sec_websocket_key=KEY + b" "),
        named(GOOD, sec_websocket_key=KEY.replace(b"G", b"-", 1)),
        named(GOOD, (b"sec-websocket-protocol", b"a b")),
        named(GOOD, (b"sec-websocket-protocol", b"a, a")),
        named(GOOD, (b"sec-websocket-protocol", b"a"), (b"sec-websocket-protocol", b"a")),
        named(GOOD, (b"sec-websocket-extensions", b"a b")),
        named(GOOD, (b"sec-websocket-extensions", b"a; =1")),
        named(GOOD, (b"sec-websocket-extensions", b'a; b="c')),
        named(GOOD, (b"sec-websocket-extensions", b'a; b="c d"')),
    ],
)
@pytest.mark.threat("S35")
def test_a_handshake_that_could_be_read_otherwise_is_refused(fields: dict[bytes, list[bytes]]) -> None:
    assert offers(fields)
    with pytest.raises(GrammarError) as caught:
        offer_of(fields)
    assert not isinstance(caught.value, UnknownVersion)


@pytest.mark.parametrize("version", [b"8", b"14", b"", b"013", b"13, 8"])
def test_another_version_is_told_apart(version: bytes) -> None:
    with pytest.raises(UnknownVersion):
        offer_of(named(GOOD, sec_websocket_version=version))


def test_no_version_or_two_are_another() -> None:
    for fields in (without(GOOD, b"Sec-WebSocket-Version"), named(GOOD, (b"Sec-WebSocket-Version", b"13"))):
        with pytest.raises(UnknownVersion):
            offer_of(fields)


@pytest.mark.parametrize("upgrade", [b"h2c", b"websockets", b"TLS/1.2", b"web socket", b""])
def test_other_protocols_are_no_handshake(upgrade: bytes) -> None:
    assert not offers(named(GOOD, upgrade=upgrade))
    assert not offers(without(GOOD, b"Upgrade"))


@pytest.mark.parametrize(
    "more",
    [
        (),
        ((b"Sec-WebSocket-Protocol", b"chat"),),
        ((b"Sec-WebSocket-Extensions", b"permessage-deflate; server_no_context_takeover"),),
    ],
)
def test_a_good_answer_is_taken(more: tuple[tuple[bytes, bytes], ...]) -> None:
    check_answer(OFFER, named(ANSWER, *more))


@pytest.mark.parametrize(
    "fields",
    [
        named(ANSWER, sec_websocket_accept=b""),
        named(ANSWER, sec_websocket_accept=accept(KEY).lower()),
        named(ANSWER, sec_websocket_accept=KEY),
        named(ANSWER, (b"Sec-WebSocket-Accept", accept(KEY))),
        without(ANSWER, b"Sec-WebSocket-Accept"),
        without(ANSWER, b"Upgrade"),
        without(ANSWER, b"Connection"),
        named(ANSWER, upgrade=b"h2c"),
        named(ANSWER, upgrade=b"websocket, h2c"),
        named(ANSWER, connection=b"close"),
        named(ANSWER, (b"Sec-WebSocket-Protocol", b"other")),
        named(ANSWER, (b"Sec-WebSocket-Protocol", b"chat2")),  # their case counts
        named(ANSWER, (b"Sec-WebSocket-Protocol", b"chat, Chat2")),
        named(ANSWER, (b"Sec-WebSocket-Protocol", b"chat"), (b"Sec-WebSocket-Protocol", b"Chat2")),
        named(ANSWER, (b"Sec-WebSocket-Protocol", b"a b")),
        named(ANSWER, (b"Sec-WebSocket-Extensions", b"mux")),
        named(ANSWER, (b"Sec-WebSocket-Extensions", b"permessage-deflate, mux")),
        named(ANSWER, (b"Sec-WebSocket-Extensions", b'permessage-deflate; "')),
    ],
)
def test_an_answer_to_something_else_is_refused(fields: dict[bytes, list[bytes]]) -> None:
    with pytest.raises(GrammarError):
        check_answer(OFFER, fields)
