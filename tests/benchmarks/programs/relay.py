"""The relay one would write first with aiohttp: ``python -m tests.benchmarks.programs.relay PORT UPSTREAM TOKEN``.

An application with one handler and a ``ClientSession``: it looks the caller's token up in a dictionary, sets the other
one and streams both bodies. It verifies nothing, records nothing, and has none of the gateway's checks.
"""

import sys
from typing import Final

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"})


class Relay:
    """Forwards everything to one upstream."""

    def __init__(self, upstream: str, token: str) -> None:
        self.upstream = upstream
        self.token = token
        self.issued: dict[str, str] = {}
        self.session: ClientSession

    async def open(self, _: web.Application) -> None:
        connector = TCPConnector(limit=1024)
        self.session = ClientSession(connector=connector, cookie_jar=DummyCookieJar(), auto_decompress=False)

    async def close(self, _: web.Application) -> None:
        await self.session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        credential = request.headers["Authorization"]
        issued = self.issued.setdefault(credential, f"Bearer {self.token}")
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        headers = [(name, issued if name == "Authorization" else value) for name, value in headers]
        async with self.session.request(
            request.method,
            self.upstream + request.raw_path,
            headers=headers,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as reply:
            response = web.StreamResponse(status=reply.status, reason=reply.reason)
            for name, value in reply.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for piece in reply.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


def main(port: int, upstream: str, token: str) -> None:
    relay = Relay(upstream, token)
    app = web.Application(client_max_size=1 << 40)
    app.on_startup.append(relay.open)
    app.on_cleanup.append(relay.close)
    app.router.add_route("*", "/{path:.*}", relay.handle)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=lambda *_: None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
