"""When a gateway reads its configuration again, and what it says of one that it does not take."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar import reload as tested
from sidecar.config import watch
from sidecar.config.apart import load_apart
from sidecar.reload import Reloader
from tests.support.certificates import Authority
from tests.support.gateway import BOUND, RunningGateway, get, running_gateway

TEXT = """
gateway: {listen: '127.0.0.1:0', drain: {delay: 0s, grace: 1s}}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:9'}
    exchange: none
"""
INCLUDE = """
include:
  - name: a
    files: teams/*.yaml
    on_error: isolate
    allow: {hosts: ['*'], path_prefixes: [/a], upstreams: ['http://127.0.0.1:*']}
"""
TEAM = """
routes:
  - name: one
    match: {path_prefix: /a/NAME, hosts: [a.example.com]}
    upstream: {url: 'http://127.0.0.1:9'}
    exchange: none
"""


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 0.02)
    monkeypatch.setattr(watch, "SETTLED", 0.02)


@asynccontextmanager
async def following(folder: Path, text: str = TEXT) -> AsyncIterator[tuple[RunningGateway, Reloader]]:
    """A gateway that follows its file."""
    async with running_gateway(folder, text) as it:
        path = folder / "routes.yaml"
        reloader = Reloader(it.app, path, watch.look(path, [include.files for include in it.app.config.include]))
        task = asyncio.create_task(reloader.run())
        try:
            yield it, reloader
        finally:
            task.cancel()
            await asyncio.wait([task])


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "routes.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


async def soon(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(BOUND / 1000)
    raise AssertionError("it did not come to that")


async def until(it: RunningGateway, **wanted: Any) -> None:
    """Wait for what the status says: routes by name, errors by number, broken includes by name."""

    def found() -> dict[str, Any]:
        status = it.app.status()
        return {
            "routes": [route.name for route in status.routes],
            "errors": len(status.config.errors),
            "broken": [name for name, problems in status.config.includes.items() if problems],
        }

    await soon(lambda: wanted.items() <= found().items())


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_changed_file_is_taken(tmp_path: Path) -> None:
    async with following(tmp_path) as (it, _):
        change(tmp_path, "orders", "carts")
        await until(it, routes=["carts"])
        assert (await it.ask(get("/carts"))).status == 502  # there is a route, and no upstream


async def test_a_bad_file_keeps_the_last_good_one_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested, "AGAIN", 0.02)  # tried again and again
    async with following(tmp_path) as (it, _):
        change(tmp_path, "match:", "matsch:")
        await until(it, errors=2)
        assert (await it.ask(get("/orders"))).status == 502
        await asyncio.sleep(1)
        (record,) = told(caplog)
        assert record.__dict__["problems"] == list(it.app.status().config.errors)
        assert all(problem.startswith(f"{tmp_path}/routes.yaml:") for problem in record.__dict__["problems"])
        change(tmp_path, "listen: '127.0.0.1:0', drain", "listne: '127.0.0.1:0', drain")
        await until(it, errors=3)
        assert len(told(caplog)) == 2  # another list of problems
        change(tmp_path, "matsch:", "match:")
        change(tmp_path, "listne:", "listen:")
        await until(it, errors=0)


async def test_who_asks_is_answered_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with following(tmp_path) as (it, reloader):
        change(tmp_path, "match:", "matsch:")
        await until(it, errors=2)
        reloader.ask()
        await soon(lambda: len(told(caplog)) == 2)


async def test_asking_reloads_what_has_not_changed(tmp_path: Path) -> None:
    async with following(tmp_path) as (it, reloader):
        before = it.app.snapshot
        reloader.ask()
        await soon(lambda: it.app.snapshot is not before)
        assert [route.name for route in it.app.status().routes] == ["orders"]


async def test_what_was_missing_is_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "AGAIN", 0.02)
    async with following(tmp_path) as (it, _):
        tls = "https://localhost:9', tls: {ca_file: ca.pem}}"
        change(tmp_path, "http://127.0.0.1:9'}", tls)
        await until(it, errors=1)
        shutil.copy(Authority(tmp_path, "other").ca_file, tmp_path / "ca.pem")
        await until(it, errors=0)  # though no file of the configuration has changed


async def test_an_isolated_include_fails_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    team = tmp_path / "teams" / "a.yaml"
    team.parent.mkdir()
    team.write_text(TEAM.replace("NAME", "x"))
    async with following(tmp_path, INCLUDE + TEXT) as (it, _):
        await until(it, routes=["orders", "a/one"], broken=[])
        team.write_text("routes: 1\n")
        await until(it, routes=["orders", "a/one"], broken=["a"], errors=0)
        metrics = await it.metrics()
        assert 'token_sidecar_config_include_successful{include="a"} 0.0' in metrics
        assert "token_sidecar_config_last_reload_successful 1.0" in metrics
        (record,) = told(caplog)
        assert record.__dict__["include"] == "a"
        change(tmp_path, "orders", "carts")  # the others go on
        await until(it, routes=["carts", "a/one"], broken=["a"])
        assert len(told(caplog)) == 1
        (team.parent / "b.yaml").write_text(TEAM.replace("NAME", "y").replace("name: one", "name: two"))
        team.unlink()
        await until(it, routes=["carts", "a/two"], broken=[])
        assert 'token_sidecar_config_include_successful{include="a"} 1.0' in await it.metrics()


async def test_files_that_a_refused_configuration_includes_are_watched(tmp_path: Path) -> None:
    team = tmp_path / "teams" / "a.yaml"
    team.parent.mkdir()
    team.write_text("routes: 1\n")
    async with following(tmp_path) as (it, _):
        change(tmp_path, "routes:", INCLUDE.replace("isolate", "reject") + "routes:")
        await until(it, errors=1)
        team.write_text(TEAM.replace("NAME", "x"))
        await until(it, routes=["orders", "a/one"], errors=0)


async def test_a_reload_that_breaks_off_is_no_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested, "AGAIN", 0.02)

    async def broken(*_: object) -> None:
        raise RuntimeError("s3cret")

    async with following(tmp_path) as (it, _):
        monkeypatch.setattr(tested, "load_apart", broken)
        change(tmp_path, "orders", "carts")
        await soon(lambda: bool(told(caplog)))
        assert "token_sidecar_config_last_reload_successful 0.0" in await it.metrics()
        monkeypatch.setattr(tested, "load_apart", load_apart)
        await until(it, routes=["carts"])
        assert "s3cret" not in caplog.text
