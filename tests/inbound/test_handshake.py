from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sidecar.inbound.handshake import asks_for_websocket, check_handshake, comes_from_elsewhere
from sidecar.model.refusal import Kind, Refused
from sidecar.model.request import RequestHead
from tests.support.values import request
from tests.support.websocket import KEY

FIELDS = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", KEY),
)


def handshake(*more: tuple[bytes, bytes], **changes: Any) -> RequestHead:
    return replace(request(*FIELDS, *more), **changes)


def test_a_good_one() -> None:
    assert asks_for_websocket(handshake())
    check_handshake(handshake())
    check_handshake(handshake(content_length=0))


def test_http_1_0_has_none() -> None:
    assert not asks_for_websocket(handshake(version=(1, 0)))


def test_an_ordinary_request_is_none() -> None:
    assert not asks_for_websocket(request())


BAD: Mapping[str, RequestHead] = {
    "another method": handshake(method="POST"),
    "a body": handshake(content_length=1),
    "a body of unknown length": handshake(chunked=True),
    "two keys": handshake((b"Sec-WebSocket-Key", KEY)),
    "two protocols": handshake((b"Upgrade", b"h2c")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused_and_its_connection_closed(name: str) -> None:
    assert asks_for_websocket(BAD[name])
    with pytest.raises(Refused) as caught:
        check_handshake(BAD[name])
    assert caught.value.refusal.kind is Kind.INVALID_REQUEST
    assert caught.value.refusal.close
    assert KEY.decode() not in caught.value.refusal.reason


def test_another_version_is_told_what_to_speak() -> None:
    with pytest.raises(Refused) as caught:
        check_handshake(handshake((b"Sec-WebSocket-Version", b"8")))
    assert caught.value.refusal.kind is Kind.UPGRADE_REQUIRED


@pytest.mark.parametrize(
    ("origins", "elsewhere"),
    [
        ((), False),
        ((b"https://api.example.com",), False),
        ((b"http://API.example.com",), False),  # TLS may have ended before us
        ((b"https://api.example.com:8443",), True),
        ((b"https://api.example.com.evil.example",), True),
        ((b"https://evil.example",), True),
        ((b"null",), True),
        ((b"",), True),
        ((b"api.example.com",), True),
        ((b"https://api.example.com", b"https://api.example.com"), True),
    ],
)
@pytest.mark.threat("S51")
def test_which_pages_are_of_another_host(origins: tuple[bytes, ...], elsewhere: bool) -> None:
    asked = request(*((b"Origin", origin) for origin in origins), host="api.example.com")
    assert comes_from_elsewhere(asked) == elsewhere
