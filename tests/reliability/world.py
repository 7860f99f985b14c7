"""A gateway with everything around it, each a process of its own: authorization server, upstream, and a proxy before
each that can make it fail. What is measured and what is promised never lives here.

Two routes ask for the same tokens: ``/direct`` goes straight to the upstream, ``/faulted`` through its proxy.
"""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from sidecar.observe.logs import FOREIGN_MESSAGE
from tests.benchmarks.stage import listens
from tests.reliability.callers import ISSUER, Caller, Issuer, Tally, Way
from tests.reliability.faults import Faults, commanded
from tests.reliability.monitor import Samples
from tests.support.canary import Canary, search
from tests.support.gateway import ask, get
from tests.support.process import free_ports, running, stop

SECRET: Final = Canary.fresh("gateway-secret")
_START: Final = 60.0  # seconds
_FINE: Final = ("info", "warning")
_HERE: Final = "tests.reliability.programs"

_STS: Final = """
issuer: http://127.0.0.1:SERVER
listen: 127.0.0.1:STS
clients:
  gateway: {auth_methods: [client_secret_basic], secret_file: gateway.secret, audience: [orders-gateway]}
trusted_issuers:
  - {issuer: "ISSUER", jwks_file: jwks.json}
policies:
  - client: gateway
    subjects: [{iss: "ISSUER", sub: "*"}]
    audience: [orders-api]
    scope: [orders.read]
    semantics: impersonation
    max_lifetime: LIFETIME
"""

_GATEWAY: Final = """
version: 1
gateway: {listen: '127.0.0.1:GATEWAY', drain: {delay: 0s, grace: 5s}, MORE}
admin: {listen: '127.0.0.1:ADMIN'}
trusted_issuers:
  callers: {issuer: 'ISSUER', audience: [orders-gateway], jwks_file: jwks.json}
authorization_servers:
  corp:
    SERVER_AT
    timeout: TIMEOUT
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: direct
    match: {path_prefix: /direct}
    upstream: {url: 'http://127.0.0.1:UPSTREAM'}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: faulted
    match: {path_prefix: /faulted}
    upstream: {url: 'http://127.0.0.1:FAULTED', connect_timeout: 1s, response_timeout: 2s, read_idle: 2s, send_idle: 2s}
    exchange: {audience: [orders-api], scope: [orders.read]}
MORE_SECTIONS
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from one world to the next.

    lifetime: of issued tokens, as the authorization server's file says it. timeout: of an exchange. gateway: more keys
    of ``gateway``. more: more sections of the gateway's file. endpoint: arguments of ``programs.token_endpoint``, which
    then takes the authorization server's place, without a proxy. environment: what ``sidecar run`` starts under.
    """

    lifetime: str = "5m"
    timeout: str = "2s"
    gateway: str = ""
    more: str = "receipts: {sink: none}"
    endpoint: tuple[str, ...] | None = None
    environment: tuple[str, ...] = ()


_USUAL: Final = Settings()


class Programs:
    """The processes of a world, by name; all are ended with the stack."""

    def __init__(self, folder: Path, ports: Mapping[str, int], stack: ExitStack) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder
        self._ports = ports
        self._stack = stack

    def start(self, name: str, *argv: object, port: str) -> None:
        """Start one and return when its port answers. Its log goes to ``NAME.log``."""
        ready, log = partial(listens, self._ports[port]), self._folder / f"{name}.log"
        started = running([*map(str, argv)], ready=ready, log=log, deadline=_START)
        self.running[name] = self._stack.enter_context(started)

    def python(self, name: str, module: str, *arguments: object, port: str) -> None:
        """Start a module."""
        self.start(name, sys.executable, "-m", module, *arguments, port=port)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop one for the length of the block: it is there and does nothing."""
        self.running[name].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.running[name].send_signal(signal.SIGCONT)


@dataclass(slots=True)
class World:
    """What runs, and where. server, upstream: the proxies before them."""

    folder: Path
    settings: Settings
    issuer: Issuer
    ports: Mapping[str, int]
    programs: Programs
    server: Faults
    upstream: Faults

    @property
    def gateway(self) -> int:
        """The gateway's process id."""
        return self.programs.running["gateway"].pid

    def start_gateway(self) -> None:
        """Start the gateway; whatever had its ports must have ended."""
        argv = (*self.settings.environment, sys.executable, "-m", "sidecar", "run", "-c", self.folder / "routes.yaml")
        self.programs.start("gateway", *argv, port="GATEWAY")

    def way(self, path: str = "/direct", *, query: str = "", size: int = 0, post: bool = False) -> Way:
        """Return a way through the gateway."""
        return Way(self.ports["GATEWAY"], path, query=query, size=size, post=post)

    async def warm(self, callers: Sequence[Caller], at_once: int = 20) -> Tally:
        """Have a token issued for each of them."""
        way, following = self.way(), iter(callers)

        async def one_after_another() -> None:
            for caller in following:
                await way.ask(caller)

        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        way.close()
        return way.tally

    async def metrics(self) -> Samples:
        """A scrape."""
        return Samples((await ask(self.ports["ADMIN"], get("/metrics"))).body.decode())

    async def seen(self, port: str = "UPSTREAM") -> Any:
        """What the upstream has seen, or the scripted token endpoint (``STS``)."""
        return (await ask(self.ports[port], get("/seen"))).json()

    def log(self) -> str:
        """What the gateway has logged."""
        return (self.folder / "gateway.log").read_text(encoding="utf-8")


@asynccontextmanager
async def world(folder: Path, settings: Settings = _USUAL, *, seed: int = 1) -> AsyncIterator[World]:
    """Run all of it for the length of the block.

    Whatever happened in it, the gateway must then stop in order when it is told to, and have logged no error, nothing
    that a library reported (a task that was left over, an exception that nobody took) and no secret.
    """
    names = ("GATEWAY", "ADMIN", "STS", "SERVER", "SERVER_CONTROL", "UPSTREAM", "FAULTED", "FAULTED_CONTROL")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    (folder / "gateway.secret").write_text(SECRET.text, encoding="utf-8")
    issuer = Issuer(folder)
    scripted = settings.endpoint is not None
    at = "token_endpoint: 'http://127.0.0.1:STS/token'" if scripted else "issuer: 'http://127.0.0.1:SERVER'"
    texts = {
        "SERVER_AT": at,
        "LIFETIME": settings.lifetime,
        "TIMEOUT": settings.timeout,
        "MORE": settings.gateway,
        "MORE_SECTIONS": settings.more,
    }
    _write(folder / "sts.yaml", _STS, {**texts, **ports})
    _write(folder / "routes.yaml", _GATEWAY, {**texts, **ports})
    with ExitStack() as stack:
        programs = Programs(folder, ports, stack)
        programs.python("upstream", f"{_HERE}.upstream", ports["UPSTREAM"], port="UPSTREAM")
        if settings.endpoint is not None:
            programs.python("sts", f"{_HERE}.token_endpoint", ports["STS"], *settings.endpoint, port="STS")
        else:
            programs.python("sts", "sidecar", "sts", "-c", folder / "sts.yaml", port="STS")
        for proxy, server in (("SERVER", "STS"), ("FAULTED", "UPSTREAM")):
            behind = (ports[proxy], ports[f"{proxy}_CONTROL"], ports[server], seed)
            programs.python(proxy, f"{_HERE}.fault_proxy", *behind, port=f"{proxy}_CONTROL")
        async with (
            commanded(ports["SERVER_CONTROL"]) as server_faults,
            commanded(ports["FAULTED_CONTROL"]) as upstream_faults,
        ):
            made = World(folder, settings, issuer, ports, programs, server_faults, upstream_faults)
            made.start_gateway()
            yield made
            assert await asyncio.to_thread(stop, programs.running["gateway"]) == 0
    lines = [json.loads(line) for line in made.log().splitlines()]
    assert [line for line in lines if line["level"] not in _FINE or line["message"] == FOREIGN_MESSAGE] == []
    assert not search(made.log().encode(), SECRET)


def _write(path: Path, text: str, values: Mapping[str, object]) -> None:
    """Write a file with its upper-case names replaced, longer ones first."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(name, str(values[name]))
    path.write_text(text.replace("ISSUER", ISSUER), encoding="utf-8")
