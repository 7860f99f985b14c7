"""A pod on its own network, and what is seen of it: ``unshare --net python -m tests.deploy.pod SPEC`` prints JSON.

The sidecar is a process under the restrictions that the rendered manifest gives it, with its arguments, environment and
files; kubelet, application, upstreams and authorization server are played here. SPEC is a file of JSON: shape, the
rendered objects, the image's root and command, a folder to work in.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from sidecar.oauth.jwt import VerificationKeys, generate_key, sign
from sidecar.sts.config import AuthMethod, Client, Config, Pattern, Policy, TrustedIssuer, Workload
from tests.deploy.rendered import Rendered
from tests.support.canary import Canary
from tests.support.certificates import Authority
from tests.support.sts import RunningSts, running_sts

ISSUER: Final = "https://login.example.com/realms/corp"
LOGIN, UPSTREAM = "127.0.0.2", "127.0.0.3"
HOSTS: Final = {
    "login.example.com": LOGIN,
    "orders.orders.svc.cluster.local": UPSTREAM,
    "payments.payments.svc.cluster.local": UPSTREAM,
}
SECRET: Final = Canary.fresh("client-secret")
CLUSTER: Final = "https://kubernetes.default.svc"
CLUSTER_KEY: Final = generate_key("ES256", "cluster")
SERVICE_ACCOUNT: Final = "system:serviceaccount:orders:orders"
READY_WITHIN: Final = 30.0
ENDS_WITHIN: Final = 30.0


class Pod:
    """One sidecar under its restrictions."""

    def __init__(self, rendered: Rendered, image: dict[str, Any], folder: Path) -> None:
        self._rendered = rendered
        self._image = image
        self._folder = folder
        self.log = folder / "sidecar.log"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Lay out the volumes and start the container."""
        container, root = self._rendered.sidecar, Path(self._image["root"])
        (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in HOSTS.items()))
        mounts = {}
        for mount in container["volumeMounts"]:
            (root / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
            mounts[mount["mountPath"]] = str(self.volume(mount["name"]))
        context = container["securityContext"]
        spec = self._folder / "container.json"
        spec.write_text(
            json.dumps(
                {
                    "root": str(root),
                    "user": context["runAsUser"],
                    "group": context["runAsGroup"],
                    "mounts": mounts,
                    "argv": [*self._image["entrypoint"], *container.get("args", self._image["command"])],
                    "env": {entry["name"]: entry["value"] for entry in container.get("env", ())},
                }
            )
        )
        confine = str(Path(__file__).with_name("confine.py"))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, confine, str(spec)], stdout=log, stderr=log)

    def volume(self, name: str) -> Path:
        """The folder of a volume, laid out as the kubelet does: ``..data`` points to what is current."""
        folder = self._folder / "volumes" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            self.fill(name, self._files(name))
        return folder

    def fill(self, name: str, files: dict[str, bytes]) -> None:
        """Put these files in place of a volume's, all at once."""
        folder = self._folder / "volumes" / name
        version = folder / f"..{time.monotonic_ns()}"
        version.mkdir()
        for file, content in files.items():
            (version / file).write_bytes(content)
            if not (folder / file).is_symlink():
                (folder / file).symlink_to(f"..data/{file}")
        (folder / "..data_tmp").symlink_to(version.name)
        (folder / "..data_tmp").rename(folder / "..data")

    def _files(self, name: str) -> dict[str, bytes]:
        (volume,) = (one for one in self._rendered.pod["volumes"] if one["name"] == name)
        if "configMap" in volume:
            data = self._rendered.config_map(volume["configMap"]["name"])
            return {file: text.encode() for file, text in data.items()}
        if "secret" in volume:
            return {"client-secret": SECRET.text.encode()}
        (source,) = volume["projected"]["sources"]
        return {source["serviceAccountToken"]["path"]: service_account_token(source["serviceAccountToken"]).encode()}

    def seen(self) -> dict[str, Any]:
        """What the kernel says of the process."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return {
            "user": status["Uid"].split(),
            "group": status["Gid"].split(),
            "capabilities": [status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")],
            "no_new_privileges": status["NoNewPrivs"],
            "root_is_writable": os.access(f"/proc/{self.process.pid}/root/tmp", os.W_OK)
            and not _read_only(f"/proc/{self.process.pid}/mountinfo"),
        }

    async def probed(self, http: aiohttp.ClientSession, name: str) -> bool:
        """Whether a probe of the manifest succeeds, asked as a kubelet does."""
        probe = self._rendered.sidecar[name]["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in self._rendered.sidecar["ports"]}
        try:
            async with http.get(f"http://127.0.0.1:{ports[probe['port']]}{probe['path']}") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def ready(self, http: aiohttp.ClientSession) -> bool:
        """Wait for the start-up probe."""
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until and self.process.poll() is None:
            if await self.probed(http, "startupProbe"):
                return True
            await asyncio.sleep(0.1)
        return False

    def end(self) -> int | None:
        """Ask it to stop, as the kubelet does; its exit status, or None where it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def service_account_token(source: dict[str, Any]) -> str:
    """The pod's service account token, as the cluster makes it for this audience."""
    now = int(time.time())
    claims = {
        "iss": CLUSTER,
        "sub": SERVICE_ACCOUNT,
        "aud": [source["audience"]],
        "iat": now,
        "nbf": now,
        "exp": now + source["expirationSeconds"],
    }
    return sign(claims, CLUSTER_KEY, "ES256", {"typ": "JWT", "kid": "cluster"})


def cast(_: str) -> Config:
    """The authorization server's clients and policies."""
    policies = tuple(
        Policy(client, (Pattern(ISSUER, "alice"),), (audience,), (scope,), semantics=None)
        for client in ("gateway", "orders-gateway")
        for audience, scope in (("orders-api", "orders.read"), ("payments-api", "payments.write"))
    )
    cluster = TrustedIssuer(CLUSTER, keys=VerificationKeys([CLUSTER_KEY]))
    clients = (
        Client("gateway", (AuthMethod.BASIC,), SECRET.text),
        Client("orders-gateway", (AuthMethod.JWT_FILE,), workload=Workload(cluster, SERVICE_ACCOUNT)),
    )
    return Config(issuer=ISSUER, clients=clients, policies=policies)


def trust(root: Path, ca_file: str) -> None:
    """Have the image's bundle of authorities contain the one that signs for the pod's world."""
    with (root / "etc" / "ssl" / "certs" / "ca-certificates.crt").open("a") as bundle:
        bundle.write(Path(ca_file).read_text())


def loopback_up() -> None:
    """A new network namespace has its loopback down."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@asynccontextmanager
async def world(folder: Path, root: Path) -> AsyncIterator[tuple[RunningSts, list[dict[str, Any]]]]:
    """Everything around the pod: application, upstreams, authorization server; yields also what the upstreams got."""
    authority = Authority(folder)
    trust(root, authority.ca_file)
    certificate = authority.issue(*HOSTS)
    got: list[dict[str, Any]] = []

    async def upstream(request: web.BaseRequest) -> web.Response:
        got.append(
            {"host": request.host, "path": request.path, "authorization": request.headers.getall("Authorization", [])}
        )
        return web.Response(text="done")

    runner = web.ServerRunner(web.Server(upstream))
    await runner.setup()
    async with running_sts(cast, path="/realms/corp") as sts:
        await web.TCPSite(runner, "127.0.0.1", 9000).start()
        await web.TCPSite(runner, UPSTREAM, 443, ssl_context=certificate.server_context()).start()
        port = int(sts.bound.rsplit(":", 1)[1])

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer), return_exceptions=True)

        server = await asyncio.start_server(relay, LOGIN, 443, ssl=certificate.server_context())
        try:
            yield sts, got
        finally:
            server.close()
            await runner.cleanup()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def _read_only(mountinfo: str) -> bool:
    """Whether the root of these mounts is read-only."""
    (root,) = (line.split() for line in Path(mountinfo).read_text().splitlines() if line.split()[4] == "/")
    return "ro" in root[5].split(",")


async def ask(http: aiohttp.ClientSession, url: str, **headers: str) -> dict[str, Any]:
    """One request to the sidecar: status and problem type."""
    async with http.get(url, headers=headers) as response:
        problem = await response.json() if response.content_type == "application/problem+json" else {}
        return {"status": response.status, "problem": str(problem.get("type", "")).rpartition(":")[2]}


async def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Run the pod's life and return what was seen."""
    loopback_up()
    folder = Path(spec["folder"])
    pod = Pod(Rendered(tuple(spec["objects"])), spec["image"], folder)
    host, port, path, audience = spec["request"]
    url, named = f"http://127.0.0.1:{port}{path}", {"Host": host}
    async with world(folder, Path(spec["image"]["root"])) as (sts, got), aiohttp.ClientSession() as http:
        pod.start()
        try:
            seen: dict[str, Any] = {"ready": await pod.ready(http), "log": pod.log.read_text()}
            if not seen["ready"]:
                return seen
            token = sts.mint(aud=audience, scope="orders payments")
            seen |= {
                "process": pod.seen(),
                "probes": {name: await pod.probed(http, name) for name in ("readinessProbe", "livenessProbe")},
                "without_token": await ask(http, url, **named),
                "with_token": await ask(http, url, **named, Authorization=f"Bearer {token}"),
                "health": await ask(http, f"http://127.0.0.1:{port}/healthz", Host=host),
                "upstream": got,
                "token": token,
                "exchanges": sts.exchanges,
            }
        finally:
            status = pod.end()
        return seen | {"exit_status": status, "log": pod.log.read_text()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))))
