"""aiohttp's server alone, which answers by itself: ``python -m tests.benchmarks.programs.ceiling PORT``.

What a gateway behind aiohttp's server would cost if it did nothing at all. Same paths as the upstream.
"""

import asyncio
import sys

from aiohttp import web


async def handle(request: web.BaseRequest) -> web.Response:
    if request.path == "/seen":
        return web.Response(text="nothing was forwarded")
    if request.can_read_body:
        while await request.content.readany():
            pass
    return web.Response(body=b"x" * int(request.path.rpartition("/")[2]), content_type="application/json")


async def main(port: int) -> None:
    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
