"""Real proxies in front of an upstream that records, each by the configuration that ``deploy/decision`` shows for it.

What they are asked, and what must never reach the upstream, is for the tests to say.
"""

import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks import installed
from tests.deploy import tools
from tests.support.canary import search
from tests.support.gateway import Answer, RunningGateway, Upstream, ask, recording_upstream, running_gateway
from tests.support.process import free_port, start, stop
from tests.support.sts import GATEWAY_SECRET, RunningSts, running_sts

SHOWN: Final = Path(__file__).parents[2] / "deploy" / "decision"

#: FORM, ISSUER and PORT are replaced.
CONFIG: Final = """
decision: {listen: '127.0.0.1:0', form: FORM}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
authorization_servers:
  corp:
    issuer: ISSUER
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: written
    match: {path_prefix: /orders, methods: [POST]}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.write]}
  - name: grpc
    match: {path: /shop.Orders/Get}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: alone
    match: {path_prefix: /alone}
    upstream: {url: 'http://127.0.0.1:PORT', token_header: X-Upstream-Token}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: sockets
    match: {path: /sockets}
    upstream: {url: 'http://127.0.0.1:PORT', websocket: true}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: unserved
    match: {path: /unserved}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: {audience: [nobodys-api]}
  - name: scoped
    match: {path_prefix: /scoped}
    upstream: {url: 'http://127.0.0.1:PORT'}
    subject: {require_scope: [orders.admin]}
    exchange: {audience: [orders-api], scope: [orders.read]}
  - name: public
    match: {path_prefix: /public}
    upstream: {url: 'http://127.0.0.1:PORT'}
    exchange: none
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everybody listens, by what they are called in the configurations shown."""

    proxy: int
    sidecar: int
    upstream: int
    grpc: int

    def put(self, text: str) -> str:
        """Replace the ports of a configuration that is shown."""
        ours = {"8000": self.proxy, "8082": self.sidecar, "9000": self.upstream, "9001": self.grpc}
        return re.sub(r"\b(8000|8082|9000|9001)\b", lambda found: str(ours[found[1]]), text)


def _envoy(folder: Path, ports: Ports) -> list[str]:
    program = installed.envoy()
    file = folder / "envoy.yaml"
    shown = ports.put((SHOWN / "envoy.yaml").read_text("utf-8"))
    # What users who want WebSockets add.
    upgrades = "use_remote_address: true\n                upgrade_configs: [{upgrade_type: websocket}]\n"
    file.write_text(shown.replace("use_remote_address: true\n", upgrades), "utf-8")
    return [program, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]


def _nginx(folder: Path, ports: Ports) -> list[str]:
    if (program := shutil.which("nginx")) is None:
        raise installed.Missing("nginx is not installed: apt-get install nginx")
    (folder / "application.conf").write_text(ports.put((SHOWN / "nginx.conf").read_text("utf-8")), "utf-8")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    bodies = "\n".join(f"  {kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/pid;\nworker_processes 1;\nerror_log stderr warn;\nevents {{}}\n"
        f"http {{\n  access_log off;\n{bodies}\n  include {folder}/application.conf;\n}}\n",
        "utf-8",
    )
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _caddy(folder: Path, ports: Ports) -> list[str]:
    try:
        program = tools.program("caddy")
    except tools.Unavailable as reason:
        raise installed.Missing(str(reason)) from None
    shown = ports.put((SHOWN / "Caddyfile").read_text("utf-8"))
    ours = f"{{\n\tadmin off\n\tpersist_config off\n\tstorage file_system {folder}/storage\n}}\n"
    (folder / "Caddyfile").write_text(ours + shown, "utf-8")
    return [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


#: By name: the form in which one asks, and how it is started.
PROXIES: Final[Mapping[str, tuple[str, Callable[[Path, Ports], list[str]]]]] = {
    "envoy": ("envoy", _envoy),
    "nginx": ("forwarded", _nginx),
    "caddy": ("forwarded", _caddy),
}


class World:
    """A proxy, whom it asks, and the upstream behind it."""

    def __init__(self, name: str, ports: Ports, gateway: RunningGateway, sts: RunningSts, upstream: Upstream) -> None:
        self.name = name
        self.ports = ports
        self.gateway = gateway
        self.sts = sts
        self.upstream = upstream

    async def ask(self, request: bytes) -> Answer:
        """Send bytes to the proxy, and return its answer."""
        return await ask(self.ports.proxy, request)

    def leaked(self, token: str) -> bool:
        """Whether the upstream has seen a token, or its signature, in any form."""
        return search(bytes(self.upstream.bytes), token, token.rsplit(".", 1)[1]) != []


@asynccontextmanager
async def running_world(name: str, folder: Path) -> AsyncIterator[World]:
    """Run a proxy and all around it. installed.Missing: it can't be had."""
    form, configured = PROXIES[name]
    async with AsyncExitStack() as stack:
        sts = await stack.enter_async_context(running_sts())
        upstream = await stack.enter_async_context(recording_upstream())
        (folder / "gateway.secret").write_text(GATEWAY_SECRET)
        text = CONFIG.replace("FORM", form).replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
        gateway = await stack.enter_async_context(running_gateway(folder, text))
        ports = Ports(free_port(), gateway.port("decision"), upstream.port, free_port())
        stack.enter_context(_running(configured(folder, ports), ports.proxy, folder / f"{name}.log"))
        yield World(name, ports, gateway, sts, upstream)


@contextmanager
def _running(argv: list[str], port: int, log: Path) -> Iterator[None]:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    process = start(argv, ready=listens, log=log)
    try:
        yield
    finally:
        stop(process)
