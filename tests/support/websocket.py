"""WebSocket by the byte: heads and frames as a test wants them, good or not, with nothing of the package's own code."""

import asyncio
import base64
import hashlib
import struct
from secrets import token_bytes

from tests.support.gateway import BOUND

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def accept(key: bytes) -> bytes:
    """What answers a key."""
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def handshake(target: str = "/orders/ws", *fields: bytes, token: str | None = None, bare: bool = False) -> bytes:
    """Return a client's handshake; bare: with nothing of WebSocket but what is in ``fields``."""
    lines = [f"GET {target} HTTP/1.1".encode(), b"Host: api.example.com"]
    if not bare:
        lines += [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"]
        lines += [b"Sec-WebSocket-Key: " + KEY]
    lines += fields
    if token is not None:
        lines.append(b"Authorization: Bearer " + token.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


def key_of(head: bytes) -> bytes:
    """The key in a handshake."""
    [key] = [line.split(b": ", 1)[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
    return key


def switching(head: bytes, *fields: bytes) -> bytes:
    """Return the answer to a handshake."""
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    lines += [b"Sec-WebSocket-Accept: " + accept(key_of(head)), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def frame(
    opcode: int, payload: bytes = b"", *, masked: bool = False, fin: bool = True, size: int | None = None
) -> bytes:
    """Return a frame. size: bytes of the length field, where it is to be longer than needed (0, 2 or 8)."""
    length = len(payload)
    if size is None:
        size = 0 if length < 126 else 2 if length < 65536 else 8
    mask_bit = 0x80 if masked else 0
    head = bytes(((0x80 if fin else 0) | opcode,))
    if size == 0:
        head += bytes((mask_bit | length,))
    else:
        head += bytes((mask_bit | (126 if size == 2 else 127),)) + length.to_bytes(size)
    if not masked:
        return head + payload
    mask = token_bytes(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def closing(code: int, reason: bytes = b"", *, masked: bool = False) -> bytes:
    """Return a Close frame."""
    return frame(CLOSE, struct.pack(">H", code) + reason, masked=masked)


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Read one frame: opcode, payload without its mask, and whether it was masked."""
    async with asyncio.timeout(BOUND):
        first, second = await reader.readexactly(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
        mask = await reader.readexactly(4) if second & 0x80 else b""
        payload = await reader.readexactly(length)
    if mask:
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return first & 0x0F, payload, bool(mask)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Read one head."""
    async with asyncio.timeout(BOUND):
        return await reader.readuntil(b"\r\n\r\n")


async def read_rest(reader: asyncio.StreamReader) -> bytes:
    """Read to the end of the stream; a reset is one too."""
    received = bytearray()
    async with asyncio.timeout(BOUND):
        try:
            while piece := await reader.read(65536):
                received += piece
        except ConnectionError:
            pass
    return bytes(received)
