"""A real Chromium without a window, driven over its debugging protocol; what it complains of is kept.

It gets a fresh profile in a folder of the test and no network but loopback.
"""

import asyncio
import base64
import itertools
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.process import running

BOUND = 20.0
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # which root may not have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--proxy-server=127.0.0.1:9",  # where nobody listens: loopback alone is spoken to directly
    "--remote-debugging-port=0",
)
MODIFIERS = {"shift": 8}


def chromium() -> str | None:
    """The program's path, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


class Page:
    """One tab.

    complaints: what it wrote to its console, what its content security policy stopped, and what its scripts threw.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        self._waiting[number] = future = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(BOUND):
            answer = await future
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return dict(answer.get("result", {}))

    async def open(self, url: str) -> None:
        """Go there and wait until it is loaded."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def evaluate(self, expression: str) -> Any:
        """Return what an expression of the debugger's comes to, as JSON does; it works without scripts, too."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(BOUND):
            while not await self.evaluate(expression):  # noqa: ASYNC110 - it is true in another process
                await asyncio.sleep(0.05)

    async def press(self, key: str, *modifiers: str) -> None:
        """Press a key: ``Tab``, ``Enter``."""
        codes = {"Tab": 9, "Enter": 13}
        event = {
            "key": key,
            "code": key,
            "windowsVirtualKeyCode": codes[key],
            "modifiers": sum(MODIFIERS[name] for name in modifiers),
        }
        if key == "Enter":
            event["text"] = "\r"
        await self.call("Input.dispatchKeyEvent", type="keyDown", **event)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def look(self, width: int, *, dark: bool = False) -> None:
        """Have a window so wide, light or dark; a narrow one is a phone's."""
        phone = width < 600
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", media="screen", features=[scheme])

    async def scripts(self, *, allowed: bool) -> None:
        """Have the page's own scripts run or not, from the next page on."""
        await self.call("Emulation.setScriptExecutionDisabled", value=not allowed)

    async def picture(self, most: int = 4000) -> bytes:
        """Return the page from its top as a PNG, so many pixels of it at most."""
        width, height = await self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, most), "scale": 1}
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])

    async def close(self) -> None:
        """Let go of the tab."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()

    async def _read(self) -> None:
        async for message in self._socket:
            event = message.json()
            if "id" in event:
                self._waiting.pop(event["id"]).set_result(event)
                continue
            match event["method"], event["params"]:
                case "Network.requestWillBeSent", params:
                    self.requests.append(params["request"]["url"])
                case "Log.entryAdded", {"entry": entry}:
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
                case "Runtime.consoleAPICalled", params:
                    self.complaints.append(str(params["args"]))
                case "Runtime.exceptionThrown", params:
                    self.complaints.append(str(params["exceptionDetails"]))
                case "Audits.issueAdded", params:
                    self.complaints.append(str(params["issue"]))


@asynccontextmanager
async def browser(program: str, folder: Path) -> AsyncIterator[Page]:
    """Run one, with one tab, for the length of the block."""
    profile = folder / "profile"
    told = profile / "DevToolsActivePort"
    log = folder / "chromium.log"
    argv = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with running(argv, ready=lambda: told.exists() and told.read_text().count("\n") >= 1, log=log):
        port = told.read_text().splitlines()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json()
            url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            page = Page(await session.ws_connect(url, max_msg_size=64 * 1024 * 1024))
            try:
                for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
                    await page.call(f"{domain}.enable")
                yield page
            finally:
                await page.close()
