"""A token endpoint that costs next to nothing: ``python -m tests.reliability.programs.token_endpoint PORT [LIFE]``.

For runs with more tokens than a real authorization server makes in reasonable time: it verifies nothing and issues
opaque tokens, ``issued~SUB~NUMBER~…``, that live for an hour. With LIFE, in seconds, all of one generation end at the
same instant: those asked for before half of it is over, so long after its start. ``/seen`` tells when it started, how
many there were, and how many in each second.
"""

import asyncio
import base64
import json
import re
import sys
import time
from collections import Counter
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SUBJECT: Final = re.compile(rb"(?:^|&)subject_token=[^.&]+\.([^.&]+)\.")
_REPLY: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_GRANT: Final = (
    b'{"access_token":"issued~%b~%d~%b","token_type":"Bearer","expires_in":%d,'
    b'"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}'
)
_REST: Final = b"x" * 660  # so that a token is as long as a signed one
HOUR: Final = 3600.0


class Endpoint(asyncio.Protocol):
    """One connection. life: of a generation; None where every token has its own hour. start: when the first began."""

    life: float | None = None
    start = time.time()
    count = 0
    times: Final[Counter[int]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self.data[:end])
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self.data) < whole:
            return
        head, body, self.data = self.data[:end], self.data[end + 4 : whole], self.data[whole:]
        if head.startswith(b"GET"):
            reply = json.dumps({"start": self.start, "count": self.count, "times": self.times}).encode()
        else:
            reply = self.grant(body)
        self.transport.write(_REPLY % (len(reply), reply))

    def grant(self, body: bytes) -> bytes:
        now = time.time()
        Endpoint.count += 1
        self.times[int(now)] += 1
        found = _SUBJECT.search(body)
        assert found is not None
        sub = json.loads(base64.urlsafe_b64decode(found[1] + b"=" * (-len(found[1]) % 4)))["sub"]
        return _GRANT % (sub.encode(), self.count, _REST, round(self.left(now)))

    def left(self, now: float) -> float:
        """How long a token lives that is asked for now."""
        if self.life is None:
            return HOUR
        left = self.life - (now - self.start) % self.life
        return left if left > self.life / 2 else left + self.life


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        Endpoint.life = float(sys.argv[2])
    asyncio.run(main(int(sys.argv[1])))
