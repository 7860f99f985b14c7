"""A gateway that is reloaded, and one that is replaced by the next, while callers go on: not one request fails."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.support.gateway import BOUND, Seen, ask, get, recording_upstream
from tests.support.load import Load, steady
from tests.support.sidecar_run import Process, running
from tests.support.sts import GATEWAY_SECRET, RunningSts, running_sts

pytestmark = pytest.mark.reliability

RELOADS = 100
BROKEN = 50
ROLLS = 10
CONFIG = """
gateway: {listen: '127.0.0.1:0', drain: {delay: 1s, grace: 10s}}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: one
    match: {path_prefix: /one}
    upstream: {url: 'http://127.0.0.1:ONE', read_idle: 10s}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: two
    match: {path_prefix: /two}
    upstream: {url: 'http://127.0.0.1:TWO', read_idle: 10s}
    exchange: none
"""


def says(name: bytes, seen: Seen) -> bytes:
    """An upstream's answer: its name, and the path that it was asked for."""
    body = name + b" " + seen.line.split(b" ")[1]
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Stage:
    """Two upstreams and an authorization server; the configuration for them, and requests whose answer is known."""

    def __init__(self, sts: RunningSts, ports: tuple[int, int]) -> None:
        self.text = CONFIG.replace("ISSUER", sts.issuer).replace("ONE", str(ports[0])).replace("TWO", str(ports[1]))
        self._token = sts.mint()
        self._sent = 0

    def request(self, number: int) -> tuple[bytes, bytes]:
        """A request that is like no other, for one upstream or the other, and what answers it."""
        self._sent += 1
        name = ("one", "two")[self._sent % 2]
        path = f"/{name}/{number}-{self._sent}"
        lines = [f"GET {path} HTTP/1.1", "Host: a.example"]
        if name == "one":
            lines.append(f"Authorization: Bearer {self._token}")
        return "\r\n".join([*lines, "", ""]).encode(), f"{name} {path}".encode()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
    async with (
        running_sts() as sts,
        recording_upstream(lambda seen: says(b"one", seen)) as one,
        recording_upstream(lambda seen: says(b"two", seen)) as two,
    ):
        yield Stage(sts, (one.port, two.port))


def open_files(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.process.pid}/fd"))


async def least_open_files(process: Process, enough: int) -> int:
    """How many are open once connections that came and went with the load are closed; looks until there are enough."""
    least = open_files(process)
    with suppress(TimeoutError):
        async with asyncio.timeout(BOUND):
            while least > enough:
                await asyncio.sleep(0.1)
                least = min(least, open_files(process))
    return least


def resident(process: Process) -> int:
    """Bytes of memory it holds."""
    fields = Path(f"/proc/{process.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_hundred_reloads_under_load(tmp_path: Path, stage: Stage) -> None:
    """Every upstream is another one by each reload, in what is configured of it; half as many files are broken."""
    async with running(tmp_path, stage.text) as process:
        ports = await process.ready()
        path = tmp_path / "routes.yaml"
        good = path.read_text()
        load = Load([ports["default"]], stage.request)

        async def reload(text: str, message: str) -> None:
            following = path.with_suffix(".next")
            following.write_text(text)
            following.rename(path)
            process.signal(signal.SIGHUP)
            await process.says(message)

        async with steady(load) as outcome:
            for number in range(RELOADS):
                await reload(good.replace("read_idle: 10s", f"read_idle: {10 + number % 7}s"), "configuration taken")
                if number == RELOADS // 4:
                    files, memory = open_files(process), resident(process)
                if number % (RELOADS // BROKEN) == 0:
                    await reload(good.replace("match:", "matsch:", 1), "configuration refused")
            assert (await ask(ports["admin"], get("/readyz"))).status == 200
            memory_after = resident(process)
        after = await least_open_files(process, files)
        print(f"{outcome.answered} requests, files {files} to {after}, {(memory_after - memory) / 1e6:.1f} MB more")
        assert outcome.wrong == {}
        assert outcome.answered > 10 * RELOADS
        assert after <= files
        assert memory_after - memory < 8 * 1024 * 1024
        process.signal()
        status, errors = await process.ended()
        assert (status, "Traceback" in errors) == (0, False)
        assert errors.count("configuration taken") >= RELOADS


async def test_ten_rolls_under_load(tmp_path: Path, stage: Stage) -> None:
    """As Kubernetes does it: the next one is ready before the last one is told to go, and gets what comes from then."""
    load = Load([], stage.request)

    @asynccontextmanager
    async def instance(number: int) -> AsyncIterator[Process]:
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "gateway.secret").write_text(GATEWAY_SECRET)
        async with running(folder, stage.text) as process:
            ports = await process.ready()
            assert (await ask(ports["admin"], get("/readyz"))).status == 200
            load.ports = [ports["default"]]
            yield process

    async with AsyncExitStack() as stack:
        before = await stack.enter_async_context(instance(0))
        async with steady(load) as outcome:
            for number in range(1, ROLLS + 1):
                answered = outcome.answered
                following = await stack.enter_async_context(instance(number))
                before.signal()
                status, errors = await before.ended()
                assert (status, "Traceback" in errors) == (0, False)
                assert outcome.answered > answered
                before = following
    print(f"{outcome.answered} requests over {ROLLS} rolls")
    assert outcome.wrong == {}
