"""``sidecar run`` as others start it: a process with signals, an exit status and something to say on stderr."""

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.app import App
from sidecar.commands import run
from sidecar.config import watch
from sidecar.config.load import load
from sidecar.inbound.room import RESERVE
from sidecar.reload import Reloader
from tests.support.gateway import BOUND, ask, get, recording_upstream
from tests.support.held import held_upstream, refused, under_way
from tests.support.sidecar_run import running
from tests.support.sts import GATEWAY_SECRET, running_sts

ROUTES = """
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""
SIMPLE = "gateway: {listen: '127.0.0.1:0', drain: {delay: 0s, grace: 10s}}" + ROUTES


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_process(tmp_path: Path, number: int) -> None:
    async with held_upstream() as held, running(tmp_path, SIMPLE.replace("PORT", str(held.port))) as process:
        ports = await process.ready()
        (_, writer), request = await under_way(held, ports["default"])
        process.signal(number)
        assert await refused(ports["default"])
        held.answer.set()
        assert ((await request).status, (await request).body) == (200, b"done")
        writer.close()
        status, errors = await process.ended()
    assert (status, "Traceback" in errors) == (0, False)
    assert {"ready", "draining", "stopped"} <= {json.loads(line)["message"] for line in errors.splitlines()}


async def test_it_starts_while_everything_is_down(tmp_path: Path) -> None:
    """It serves at once, and finds the authorization server when there is one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    issuer = f"http://127.0.0.1:{port}"
    (tmp_path / "gateway.secret").write_text(GATEWAY_SECRET)
    text = (
        SIMPLE.replace("exchange: none", "exchange: {audience: [orders-api], scope: [orders.read]}")
        + f"""
trusted_issuers:
  corp: {{issuer: '{issuer}', audience: [orders-gateway]}}
authorization_servers:
  corp:
    issuer: '{issuer}'
    client_auth: {{method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}}
"""
    )
    async with running(tmp_path, text.replace("PORT", "9")) as process:
        ports = await process.ready()
        assert (await ask(ports["admin"], get("/readyz"))).status == 200
        async with running_sts() as other:  # the key is a stranger's, but nobody can tell yet
            token = other.mint(iss=issuer)
        down = await ask(ports["default"], get(token=token))
        assert (down.status, down.kind) == (503, "issuer-unavailable")
        assert int(down.value("retry-after") or 0) >= 1
        assert (await ask(ports["admin"], get("/readyz"))).status == 200
        async with running_sts(port=port) as sts:
            for _ in range(1000):
                answer = await ask(ports["default"], get(token=sts.mint()))
                if answer.kind != "issuer-unavailable":
                    break
                await asyncio.sleep(0.02)
            assert (answer.status, answer.kind) == (
                502,
                "upstream-unavailable",
            )  # after an exchange
        process.signal()
        assert (await process.ended())[0] == 0


# --- a reload


def write_in_place(path: Path, text: str) -> None:
    path.write_text(text)


def write_and_rename(path: Path, text: str) -> None:
    following = path.with_suffix(".next")
    following.write_text(text)
    following.rename(path)


def swap_the_link(path: Path, text: str) -> None:
    """As Kubernetes does: the file is a link through ``..data``, which another directory takes the place of."""
    version = path.parent / f"..{os.urandom(4).hex()}"
    version.mkdir()
    (version / path.name).write_text(text)
    (path.parent / "..next").symlink_to(version.name)
    (path.parent / "..next").rename(path.parent / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(f"..data/{path.name}")


@pytest.mark.parametrize("write", [write_in_place, write_and_rename, swap_the_link])
async def test_a_changed_file_is_taken_while_it_runs(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    async with held_upstream() as held, running(tmp_path, SIMPLE.replace("PORT", str(held.port))) as process:
        path = tmp_path / "routes.yaml"
        ports = await process.ready()
        (_, writer), request = await under_way(held, ports["default"])
        good = path.read_text()
        write(path, good.replace("/orders", "/carts"))
        await process.says("configuration taken")
        assert (await ask(ports["default"], get("/orders"))).status == 404
        write(path, good.replace("/orders", "/never").replace("match:", "matsch:"))
        await process.says("configuration refused")
        held.answer.set()
        assert ((await request).status, (await request).body) == (200, b"done")
        assert (await ask(ports["default"], get("/carts"))).status == 200
        write(path, good)
        await process.says("configuration taken")
        assert (await ask(ports["default"], get("/orders"))).status == 200
        writer.close()
        process.signal()
        status, errors = await process.ended()
    assert (status, "Traceback" in errors) == (0, False)
    (refusal,) = [line for line in map(json.loads, errors.splitlines()) if line["level"] == "error"]
    assert all(re.match(rf"{re.escape(str(tmp_path))}/routes\.yaml:\d+:\d+: ", each) for each in refusal["problems"])


async def test_a_hangup_reloads(tmp_path: Path) -> None:
    async with held_upstream() as held, running(tmp_path, SIMPLE.replace("PORT", str(held.port))) as process:
        ports = await process.ready()
        (_, writer), request = await under_way(held, ports["default"])
        process.signal(signal.SIGHUP)
        await process.says("configuration taken")  # though nothing has changed
        held.answer.set()
        assert ((await request).status, (await request).body) == (200, b"done")
        writer.close()
        process.signal()
        status, _ = await process.ended()
    assert status == 0


async def test_a_signal_ends_it_in_the_middle_of_a_reload(tmp_path: Path) -> None:
    async with running(tmp_path, SIMPLE.replace("PORT", "9")) as process:
        await process.ready()
        process.signal(signal.SIGHUP)
        await asyncio.sleep(0.1)
        process.signal()
        status, errors = await process.ended()
    assert (status, "Traceback" in errors) == (0, False)


# --- the end


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    text = SIMPLE.replace("delay: 0s, grace: 10s", "delay: 600s, grace: 600s")
    async with held_upstream() as held, running(tmp_path, text.replace("PORT", str(held.port))) as process:
        ports = await process.ready()
        (_, writer), request = await under_way(held, ports["default"])
        process.signal()
        for _ in range(1000):
            if (await ask(ports["admin"], get("/readyz"))).status == 503:
                break
            await asyncio.sleep(0.01)
        process.signal()
        status, errors = await process.ended()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await request
        writer.close()
    assert (status, "Traceback" in errors) == (0, False)


async def test_a_broken_file_starts_nothing(tmp_path: Path) -> None:
    text = f"gateway: {{listn: '127.0.0.1:0'}}\nreceipts: {{sink: {tmp_path}/receipts}}\n{ROUTES}  - name: orders\n"
    path = tmp_path / "routes.yaml"
    async with running(tmp_path, text) as process:
        status, errors = await process.ended()
    lines = errors.splitlines()
    assert status == 2
    assert len(lines) >= 3
    assert all(line.startswith(f"{path}:") for line in lines)
    assert not (tmp_path / "receipts").exists()


async def test_what_shows_only_when_parts_meet_is_told_alike(tmp_path: Path) -> None:
    text = SIMPLE.replace("PORT", "9") + ROUTES.partition("routes:\n")[2].replace("orders\n", "again\n").replace(
        "PORT", "9"
    )
    async with running(tmp_path, text) as process:
        status, errors = await process.ended()
    assert status == 2
    assert re.fullmatch(rf"{re.escape(str(tmp_path))}/routes\.yaml:\d+:\d+: routes\.1\.match: .*\n", errors)


async def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running(tmp_path, SIMPLE.replace("PORT", "9").replace(":0'", f":{port}'")) as process:
            status, errors = await process.ended()
    told = [line for line in errors.splitlines() if not line.startswith("{")]
    assert (status, told) == (2, [f"can't listen on 127.0.0.1:{port}: Address already in use"])
    assert "Traceback" not in errors


# --- in this process


def arguments(path: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    run.add(parser)
    return parser.parse_args(["-c", str(path)])


def test_its_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = arguments(tmp_path / "routes.yaml")
    assert (found.config, found.log_level) == (str(tmp_path / "routes.yaml"), "INFO")
    parser = argparse.ArgumentParser()
    run.add(parser)
    for wrong in ([], ["-c", "x", "--log-level", "CHATTY"]):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args(wrong)
        assert caught.value.code == 2


def test_the_garbage_collector_leaves_alone_what_stays() -> None:
    program = """
import gc
from sidecar.commands import run
run._settle()
print(gc.get_freeze_count(), *gc.get_threshold())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=BOUND, check=True)
    frozen, *thresholds = map(int, done.stdout.split())
    assert frozen > 0
    assert thresholds == [*run._COLLECT_AFTER]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_what_a_body_needed_is_kept_for_the_next_one() -> None:
    """Memory that is given back has to be asked for page by page again."""
    program = """
import gc, resource
from sidecar.commands import run
{settle}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for pieces in (1, 2):
    before = faults()
    for _ in range(100):
        body = [bytearray(b"x") * 300_000 for _ in range(4)]
        del body
print(faults() - before)
"""
    kept, given_back = (
        int(
            subprocess.run(
                [sys.executable, "-c", program.format(settle=settle)],
                capture_output=True,
                text=True,
                timeout=BOUND,
                check=True,
            ).stdout
        )
        for settle in ("run._settle()", "")
    )
    assert kept < 1_000 < given_back


async def test_it_serves_on_uvloop_where_that_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    async with running(tmp_path, SIMPLE.replace("PORT", "9")) as process:
        await process.ready()
        assert "/uvloop/" in await asyncio.to_thread(Path(f"/proc/{process.process.pid}/maps").read_text)
        process.signal()
        assert (await process.ended())[0] == 0


def test_without_uvloop_it_serves_on_asyncios_own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run.event_loops() is None


async def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    app = prepared(tmp_path, SIMPLE)
    serving = asyncio.create_task(serve(app, tmp_path))
    async with asyncio.timeout(BOUND):
        for _ in range(1000):
            if app.ready():
                break
            await asyncio.sleep(0.01)
        assert (await ask(app.addresses["default"].port, get("/nothing"))).status == 404
        assert not serving.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await serving == 0
    assert await refused(app.addresses["default"].port)
    assert await refused(app.addresses["admin"].port)


async def test_a_signal_before_it_is_ready_ends_it_too(tmp_path: Path) -> None:
    app = prepared(tmp_path, SIMPLE)
    serving = asyncio.create_task(serve(app, tmp_path))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(BOUND):
        assert await serving == 0
    assert not app.ready()


async def test_what_can_not_be_started_is_taken_down_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        app = prepared(tmp_path, SIMPLE, admin=port)
        async with asyncio.timeout(BOUND):
            assert await serve(app, tmp_path) == 2
    assert capsys.readouterr().err == f"can't listen on 127.0.0.1:{port}: Address already in use\n"
    assert await refused(app.addresses["default"].port)  # which was up already


async def serve(app: App, folder: Path) -> int:
    path = folder / "routes.yaml"
    return await run.serve(app, Reloader(app, path, watch.look(path, ())))


def prepared(folder: Path, text: str, admin: int = 0) -> App:
    path = folder / "routes.yaml"
    path.write_text(
        f"version: 1\nadmin: {{listen: '127.0.0.1:{admin}'}}\nreceipts: {{sink: none}}\n{text.replace('PORT', '9')}"
    )
    return App(load(path))


async def test_more_idle_callers_than_it_may_open_files_for(tmp_path: Path) -> None:
    async with recording_upstream() as upstream:
        text = SIMPLE.replace("PORT", str(upstream.port))
        async with running(tmp_path, text, files=256) as process:
            ports = await process.ready()
            idle = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", ports["default"]) for _ in range(500)))
            turned_away = 500 - (256 - RESERVE) // 2
            async with asyncio.timeout(2 * BOUND):
                for told in asyncio.as_completed([_end(reader) for reader, _ in idle]):
                    assert await told in (b"HTTP/1.1 503 ", b"")
                    turned_away -= 1
                    if not turned_away:
                        break
            assert (await ask(ports["admin"], get("/livez"))).status == 200
            assert (await ask(ports["default"], get())).status == 503
            for _, writer in idle:
                writer.close()
            async with asyncio.timeout(BOUND):
                while (await ask(ports["default"], get())).status != 200:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0.01)
            process.signal()
            status, errors = await process.ended()
    assert status == 0
    assert "allows fewer connections than gateway.max_connections" in errors
    assert "Traceback" not in errors


async def _end(reader: asyncio.StreamReader) -> bytes:
    """The beginning of all that comes until the other end closes."""
    with suppress(ConnectionError):
        return (await reader.read())[:13]
    return b""
