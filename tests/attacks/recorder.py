"""An upstream that reads what comes with the strict reading, answers each message, and keeps them in order."""

import asyncio
from contextlib import suppress

from tests.attacks.strict import Message, Rest, requests, responses
from tests.support.raw_upstream import Peer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorder:
    """messages: all that came. strange: what came and is no message, nor the beginning of one."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.messages: list[Message] = []
        self.strange: list[bytes] = []
        self._answer = answer

    async def serve(self, peer: Peer) -> None:
        """Answer every message that is whole, until the connection ends."""
        received = b""
        answered = 0
        with suppress(ConnectionError):
            while piece := await peer.reader.read(65536):
                received += piece
                whole, rest = requests(received)
                for message in whole[answered:]:
                    self.messages.append(message)
                    peer.writer.write(self._answer)
                answered = len(whole)
                if rest is Rest.BAD:
                    self.strange.append(received)
                    return


async def conversation(port: int, *pieces: bytes, answers: int = 0, patience: float = 10.0) -> bytes:
    """Send bytes on a connection of their own, and return all that comes until its end, or as long as one waits.

    pieces: each in a segment of its own, as far as loopback allows.

    answers: leave after so many final ones.
    """
    received = bytearray()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(patience):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            while piece := await reader.read(65536):
                received += piece
                if answers and len([each for each in responses(bytes(received))[0] if each.status >= 200]) >= answers:
                    break
    writer.close()
    return bytes(received)
