"""A gateway that is reloaded, and one that is replaced by the next, while callers go on: not one request fails."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.benchmarks.meter import resident
from tests.reliability.figures import LONG, record
from tests.reliability.monitor import MIB, least_open_files, open_files
from tests.support.gateway import Seen, ask, get, recording_upstream
from tests.support.load import Load, steady
from tests.support.sidecar_run import Process, running
from tests.support.sts import GATEWAY_SECRET, RunningSts, running_sts

pytestmark = pytest.mark.reliability

RELOADS = 100 if LONG else 12
BROKEN = RELOADS // 2
ROLLS = 10 if LONG else 3
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
        self._token = sts.mint(lifetime=3600)
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


async def test_reloads_under_load(tmp_path: Path, stage: Stage) -> None:
    """Every upstream is another one by each reload, in what is configured of it; half as many files are broken."""
    async with running(tmp_path, stage.text) as process:
        ports, pid = await process.ready(), process.process.pid
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
                    files, memory = open_files(pid), resident(pid)
                if number % (RELOADS // BROKEN) == 0:
                    await reload(good.replace("match:", "matsch:", 1), "configuration refused")
            assert (await ask(ports["admin"], get("/readyz"))).status == 200
            memory_after = resident(pid)
        after = await least_open_files(pid, files)
        record(
            "reloads",
            reloads=RELOADS,
            refused=BROKEN,
            requests=outcome.answered,
            failed=outcome.wrong.total(),
            more_files=after - files,
            more_mib=(memory_after - memory) / MIB,
        )
        assert outcome.wrong == {}
        assert outcome.answered > 10 * RELOADS
        assert after <= files
        assert memory_after - memory < 8 * MIB
        process.signal()
        status, errors = await process.ended()
        assert (status, "Traceback" in errors) == (0, False)
        assert errors.count("configuration taken") >= RELOADS


async def test_rolls_under_load(tmp_path: Path, stage: Stage) -> None:
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
    record("rolls", rolls=ROLLS, requests=outcome.answered, failed=outcome.wrong.total())
    assert outcome.wrong == {}
