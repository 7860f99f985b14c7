"""The composition root: everything is made here, once, and taken down here in order.

Listeners up, then ready; on the way down not ready, then no new connections, then what runs to its end. In between
another configuration may be taken, as a whole or not at all. Nothing is decided about any request.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path as FilePath
from typing import Final

from aiohttp import http_parser

import sidecar
from sidecar import flushing
from sidecar.config.addresses import Address
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError, ConfigProblem
from sidecar.config.schema import Config
from sidecar.exchange.cache import TokenCache
from sidecar.exchange.exchanger import Exchanger
from sidecar.faces.admin import LISTENER as ADMIN_LISTENER
from sidecar.faces.admin import Admin
from sidecar.faces.control import Control, Meant
from sidecar.faces.forward_auth import ForwardAuth
from sidecar.faces.gateway import Gateway
from sidecar.inbound.room import Room, affordable
from sidecar.inbound.server import GatewayServer
from sidecar.listening import BindError, Listeners, Prepared, Wanted, shown
from sidecar.model.flush import Flushed
from sidecar.model.listener import CONTROL, DECISION
from sidecar.model.status import Status
from sidecar.observe.journal import Journal
from sidecar.observe.lag import LoopLag
from sidecar.observe.lately import Lately
from sidecar.observe.line_writer import LineWriter
from sidecar.observe.metrics import Metrics, ServerLoad
from sidecar.observe.receipts import Receipts, dropped
from sidecar.observe.sink import SinkError
from sidecar.rotation import LOOK_EVERY, Rotation
from sidecar.snapshot import Snapshot, build
from sidecar.status import config_status, status
from sidecar.transition import differences, listen_key, needs_restart

log = logging.getLogger("sidecar")

SWEEP_EVERY: Final = 5.0  # seconds between two looks for tokens that have expired
ADMIN_CONNECTIONS: Final = 64  # of their own, so that probes are answered when callers fill theirs
LAST_RECEIPTS: Final = 2.0  # seconds for writing what is queued at the end


class StartError(Exception):
    """The gateway can't start; the message says why, for operators."""


class App:
    """One gateway process: its listeners, its admin listener, and what they share.

    ConfigError, when made: something shows only when the configuration's parts meet. StartError, when started.
    """

    def __init__(self, loaded: Loaded, metrics: Metrics | None = None) -> None:
        self.config = loaded.config
        self.metrics = metrics or Metrics(sidecar.__version__)
        self._rotation = Rotation(lambda secret, outcome: self.metrics.secret_reloads.labels(secret, outcome).inc())
        self.snapshot: Snapshot = build(loaded, self.metrics, rotation=self._rotation)
        self.included = loaded.includes
        self._file = loaded.positions.file
        self._refused: tuple[ConfigProblem, ...] = ()
        self._ready = False
        self._began = time.monotonic()
        self._writer = _writer(self.config, self.metrics)
        self._journal = Journal(self.metrics, _receipts(loaded, self._writer))
        cache = self.config.cache
        self.exchanger = Exchanger(
            TokenCache(
                max_entries=cache.max_entries,
                max_bytes=cache.max_bytes,
                negative_lifetime=cache.negative_lifetime,
                on_evict=lambda reason: self.metrics.cache_evictions.labels(reason).inc(),
            ),
            self._journal,
        )
        self._lag = LoopLag()
        self._lately = Lately(self.metrics)
        limits = self.config.gateway
        self._gateway, self._decisions = (
            face(
                self,
                self.exchanger,
                self._journal,
                max_in_flight=limits.max_in_flight,
                max_streams=limits.max_streams,
            )
            for face in (Gateway, ForwardAuth)
        )
        self._listeners = Listeners()
        self._admin = Listeners()
        self._room = Room(self.config.gateway.max_connections)
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._last_leaving: asyncio.Task[None] | None = None
        self._watch()
        self._tell_taken()

    async def start(self) -> None:
        """Bind all listeners and become ready. StartError: one can't be bound, or receipts can't be written."""
        if http_parser.HttpRequestParser.__module__ != "aiohttp._http_parser":
            # The pure Python parser lets pass what the compiled one refuses; a gateway can't live with that.
            raise StartError("aiohttp was installed without its compiled HTTP parser")
        if self._writer is not None:
            try:
                self._writer.start()
            except SinkError as error:
                raise StartError(f"receipts can't be written: {error}") from None
        self._tasks = [asyncio.create_task(run) for run in (self._lag.run(), self._sweep(), self._rotate())]
        self._afford()
        try:
            for listeners, wanted in self._wanted(self.config, self.snapshot):
                await listeners.take(await listeners.prepare(wanted))
        except BindError as error:
            raise StartError(str(error)) from None
        self.snapshot.start()
        self._ready = True
        log.info("ready", extra={"listeners": {name: shown(address) for name, address in self.addresses.items()}})

    async def reload(self, loaded: Loaded) -> None:
        """Serve by another configuration from now on; what is under way ends by the one it began with.

        ConfigError: it can't be taken, and nothing has changed. Not to be called twice at once, nor while draining.
        """
        if problems := needs_restart(self.config, loaded):
            raise ConfigError(problems)
        snapshot = build(loaded, self.metrics, rotation=self._rotation, before=self.snapshot)
        changes = await self._prepare(loaded, snapshot)
        before, self.snapshot = self.snapshot, snapshot
        self.config, self.included, self._refused = loaded.config, loaded.includes, ()
        for face in (self._gateway, self._decisions):
            face.max_in_flight = self.config.gateway.max_in_flight
            face.max_streams = self.config.gateway.max_streams
        self._afford()
        leaving = [(listeners, listeners.retire(prepared)) for listeners, prepared in changes]
        for listeners, prepared in changes:
            await listeners.take(prepared)
        await before.stop(snapshot)
        snapshot.start()
        self._tell_taken()
        drain = self.config.gateway.drain
        for listeners, servers in leaving:
            self._leave(listeners.leave(servers, drain.delay, drain.grace))
        self._last_leaving = self._leave(self._see_off(before, snapshot, self._last_leaving, drain.grace))
        log.info("configuration taken", extra=differences(before.routes, snapshot.routes))

    def refuse(self, problems: Iterable[ConfigProblem]) -> None:
        """Note that a later configuration can't be taken, and why; the one in use stays."""
        self._refused = tuple(problems)
        self.metrics.config_last_reload_successful.set(0)

    async def drain(self) -> None:
        """Stop serving as the configuration's ``drain`` says: not ready at once, then no new connections, then end.

        What still runs after the grace is cut off. ``/readyz`` and the rest of the admin listener stay.
        """
        drain = self.config.gateway.drain
        self._ready = False
        log.info("draining", extra={"delay_s": drain.delay, "grace_s": drain.grace})
        self._listeners.going()
        await asyncio.sleep(drain.delay)
        self._listeners.stop()
        await self._listeners.finish(drain.grace)

    async def close(self) -> None:
        """Take everything down; what still runs is cut off. Whatever of it was never up, or is down, stays so."""
        self._ready = False
        for listeners in (self._listeners, self._admin):
            listeners.stop()
            await listeners.finish(0)
        await self.exchanger.close()
        leaving = list(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await self.snapshot.close()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:  # else receipts were never begun, or ended already
            await self._journal.receipts.close(LAST_RECEIPTS)
        log.info("stopped")

    @property
    def addresses(self) -> dict[str, Address]:
        """Where each listener listens, the admin listener as ``admin``; empty before ``start``."""
        return {**self._listeners.addresses, **self._admin.addresses}

    def ready(self) -> bool:
        """Whether requests are served and nothing drains; nobody else's health counts."""
        return self._ready

    def status(self) -> Status:
        """What ``/status`` shows."""
        config = config_status(self._file, self._taken_at, self._refused, self.included)
        cache, uptime = self.exchanger.cache, time.monotonic() - self._began
        return status(
            self.config, config, self.snapshot, self.metrics, self._lately, cache, uptime=uptime, ready=self._ready
        )

    def flush(self, meant: Meant, request_id: str) -> Flushed:
        """Forget what was issued or verified, and put that on record. UnknownName: nothing was forgotten."""
        selected = flushing.selection(meant, self.snapshot)
        flushed = flushing.flush(selected, self.snapshot, self.exchanger)
        self._journal.receipts.flushed(request_id, selected, flushed)
        log.warning("flushed", extra={"dropped": asdict(flushed)})
        return flushed

    def _wanted(self, config: Config, snapshot: Snapshot) -> Iterator[tuple[Listeners, dict[str, Wanted]]]:
        """Yield both kinds of listeners, as a configuration has them."""
        gateway, section = config.gateway, config.admin
        settings = (gateway.keepalive_timeout, gateway.header_timeout, gateway.max_header_bytes)

        def server(name: str) -> GatewayServer:
            face = self._decisions if name == DECISION else self._gateway
            return GatewayServer(
                partial(face.serve, name),
                face.malformed,
                keepalive_timeout=gateway.keepalive_timeout,
                header_timeout=gateway.header_timeout,
                max_header_bytes=gateway.max_header_bytes,
                room=self._room,
            )

        def operators(face: Admin | Control) -> GatewayServer:
            return GatewayServer(
                face.serve,
                face.malformed,
                keepalive_timeout=gateway.keepalive_timeout,
                header_timeout=gateway.header_timeout,
                max_header_bytes=ADMIN_LISTENER.max_header_bytes,
                room=Room(ADMIN_CONNECTIONS),
            )

        yield (
            self._listeners,
            {
                name: Wanted(each.listen, _context(snapshot, name), settings, partial(server, name))
                for name, each in config.listeners.items()
            },
        )
        host, loopback_only = section.listen.host, section.pages == "loopback"
        admin = partial(operators, Admin(self, self.metrics, listen_host=host, loopback_only=loopback_only))
        wanted = {"admin": Wanted(section.listen, None, (section.pages, *settings), admin)}
        if section.control is not None:
            control = partial(operators, Control(self))
            wanted[CONTROL] = Wanted(section.control, None, settings, control, private=True)
        yield self._admin, wanted

    async def _prepare(self, loaded: Loaded, snapshot: Snapshot) -> list[tuple[Listeners, Prepared]]:
        """Make ready every change of a listener. ConfigError: one can't be bound; nothing of it is left."""
        changes: list[tuple[Listeners, Prepared]] = []
        try:
            for listeners, wanted in self._wanted(loaded.config, snapshot):
                changes.append((listeners, await listeners.prepare(wanted)))
        except BaseException as error:
            for _, prepared in changes:
                prepared.drop()
            if isinstance(error, BindError):
                raise ConfigError([loaded.problem(listen_key(loaded.config, error.listener), str(error))]) from None
            raise
        return changes

    def _leave(self, leaving: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Have something seen off in the background."""
        task = asyncio.create_task(leaving)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def _see_off(
        self, before: Snapshot, after: Snapshot, earlier: asyncio.Task[None] | None, grace: float
    ) -> None:
        """Close what only an earlier snapshot needed: when nobody decides by it or by one before it, or after grace."""
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        try:
            if earlier is not None:
                await asyncio.wait([earlier])
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await before.in_use.ended()
                    await self.exchanger.settled()
        except asyncio.CancelledError:
            until = loop.time()
            raise
        finally:
            await before.close(after, max(0.0, until - loop.time()))
            self._define()  # what ended by it has counted for routes that are gone

    def _afford(self) -> None:
        """Take no more connections than there are file descriptors for."""
        wanted = self.config.gateway.max_connections
        self._room.most = affordable(wanted)
        if self._room.most < wanted:
            log.warning(
                "the limit of open files allows fewer connections than gateway.max_connections",
                extra={"connections": self._room.most, "wanted": wanted},
            )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            self.exchanger.cache.sweep(time.monotonic())
            self._lately.sample()

    async def _rotate(self) -> None:
        """Have rotated files noticed; what a reload no longer uses leaves the metrics here too."""
        while True:
            self.metrics.define_secrets(self._rotation.names())
            await asyncio.sleep(LOOK_EVERY)
            await self._rotation.look()

    def _watch(self) -> None:
        """Have the metrics ask for what is true at the moment of a scrape."""
        metrics, cache = self.metrics, self.exchanger.cache
        metrics.requests_in_flight.set_function(lambda: self._gateway.in_flight + self._decisions.in_flight)
        metrics.cache_entries.set_function(lambda: len(cache))
        metrics.cache_bytes.set_function(lambda: cache.size)
        metrics.event_loop_lag.set_function(self._lag.worst)
        metrics.watch_upstream_connections(self._upstream_connections)
        metrics.watch_authorization_servers(self._server_loads)

    def _tell_taken(self) -> None:
        """Have the metrics say what the configuration is that is in use."""
        self._taken_at = time.time()
        self.metrics.config_last_reload_successful.set(1)
        self.metrics.config_last_reload_timestamp.set(self._taken_at)
        self.metrics.define_includes({included.name: not included.problems for included in self.included})
        self._define()

    def _define(self) -> None:
        self.metrics.define(
            exchanges={
                route.name: {exchange.authorization_server for exchange in route.exchanges}
                for route in self.snapshot.routes.values()
            },
            authorization_servers=self.config.authorization_servers,
            trusted_issuers=self.config.trusted_issuers,
        )
        routes = (*self.snapshot.routes.values(), *self.snapshot.operations.values())
        asked = {(route.approval.by, route.name) for route in routes if route.approval is not None}
        self.metrics.define_approvals(asked, self.config.approvers)

    def _upstream_connections(self) -> Iterator[tuple[str, str, int]]:
        for route, pool in self.snapshot.pools.items():
            yield route, "active", pool.active
            yield route, "idle", pool.idle

    def _server_loads(self) -> Iterator[ServerLoad]:
        for server in self.snapshot.servers.values():
            yield ServerLoad(server.name, server.in_flight, server.queued, server.breaker)


def _context(snapshot: Snapshot, listener: str) -> ssl.SSLContext | None:
    tls = snapshot.tls.get(listener)
    return tls.context if tls is not None else None


def _writer(config: Config, metrics: Metrics) -> LineWriter | None:
    section = config.receipts
    if section.sink == "none":
        return None
    path = None if section.sink == "stdout" else section.sink
    return LineWriter(path, metrics.receipts_dropped.inc, gap=dropped, chained=section.chain)


def _receipts(loaded: Loaded, writer: LineWriter | None) -> Receipts:
    section = loaded.config.receipts
    key = None
    if section.subject == "hashed" and section.subject_key_file is not None:
        key = FilePath(section.subject_key_file).read_bytes()
    return Receipts(writer, subject_key=key, uses=section.uses == "all", refuse=section.on_failure == "refuse")
