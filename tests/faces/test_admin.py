import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.faces.admin import Admin
from sidecar.faces.responses import OwnResponse
from sidecar.faces.status_page import POLICY, SCRIPT, STYLE, page
from sidecar.inbound.room import Room
from sidecar.inbound.server import GatewayServer
from sidecar.model.status import Status, as_json
from sidecar.observe.metrics import Metrics
from tests.support.status import STATUS
from tests.support.values import request

TIMEOUT = 10
FOR_PEOPLE = ("/", "/status", "/status.css", "/status.js")
EVERY_PAGE = ("/livez", "/readyz", "/metrics", *FOR_PEOPLE)
for_people = pytest.mark.parametrize("path", FOR_PEOPLE)


class Source:
    def __init__(self) -> None:
        self.now = STATUS

    def ready(self) -> bool:
        return self.now.ready

    def status(self) -> Status:
        return self.now


class Answer:
    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        self.status = int(start.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


class Client:
    """Sends requests as bytes, each on a connection of its own."""

    def __init__(self, source: Source, address: tuple[str, int] | str) -> None:
        self.source = source
        self.address = address

    async def __call__(self, path: str, *headers: str, method: str = "GET", host: str | None = "127.0.0.1") -> Answer:
        if isinstance(self.address, str):
            reader, writer = await asyncio.open_unix_connection(self.address)
        else:
            reader, writer = await asyncio.open_connection(*self.address)
        lines = [f"{method} {path} HTTP/1.{0 if host is None else 1}", "Connection: close", *headers]
        if host is not None:
            lines.append(f"Host: {host}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        async with asyncio.timeout(TIMEOUT):
            raw = await reader.read()
        writer.close()
        return Answer(raw)


@asynccontextmanager
async def _serve(
    listen_host: str | None = "127.0.0.1", loopback_only: bool = True, path: Path | None = None
) -> AsyncIterator[Client]:
    source = Source()
    admin = Admin(source, Metrics("1.2.3"), listen_host=listen_host, loopback_only=loopback_only)
    server = GatewayServer(
        admin.serve, admin.malformed, keepalive_timeout=75, header_timeout=10, max_header_bytes=16384, room=Room(64)
    )
    loop = asyncio.get_running_loop()
    if path is None:
        listening = await loop.create_server(server, "127.0.0.1", 0)
    else:
        listening = await loop.create_unix_server(server, path)
    yield Client(source, listening.sockets[0].getsockname())
    listening.close()
    await server.shutdown(0)


@pytest.fixture
async def admin() -> AsyncIterator[Client]:
    async with _serve() as client:
        yield client


def _ask_from(peer: str | None, path: str, *fields: tuple[bytes, bytes], loopback_only: bool = True) -> OwnResponse:
    """A request from anywhere, which no socket on loopback can play."""
    admin = Admin(Source(), Metrics("1"), listen_host="127.0.0.1", loopback_only=loopback_only)
    host = next((value.decode() for name, value in fields if name == b"Host"), "127.0.0.1")
    return admin.answer(request(*fields, path=path.encode(), peer=peer, host=host))


async def test_alive_as_long_as_it_answers(admin: Client) -> None:
    admin.source.now = replace(STATUS, ready=False)
    answer = await admin("/livez")
    assert (answer.status, answer.body) == (200, b"live\n")


async def test_ready_follows_its_source(admin: Client) -> None:
    assert (await admin("/readyz")).status == 200
    admin.source.now = replace(STATUS, ready=False)
    answer = await admin("/readyz")
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == 503


async def test_metrics_in_the_form_that_is_asked_for(admin: Client) -> None:
    answer = await admin("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert "token_sidecar_requests_in_flight" in names
    answer = await admin("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


async def test_the_status_tells_everything(admin: Client) -> None:
    answer = await admin("/status")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.body == as_json(STATUS)


async def test_the_page_tells_it_in_words(admin: Client) -> None:
    answer = await admin("/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.body == page(STATUS)
    assert answer.headers["content-security-policy"] == POLICY.decode()


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [("/status.css", "text/css", STYLE), ("/status.js", "text/javascript", SCRIPT)],
)
async def test_what_the_page_is_made_of(admin: Client, path: str, content_type: str, body: bytes) -> None:
    answer = await admin(path)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == f"{content_type}; charset=utf-8"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9090", "localhost", "LocalHost:9090", "[::1]:9090", "192.0.2.1"]
)
@for_people
async def test_the_status_is_for_names_nobody_else_can_point_here(admin: Client, path: str, host: str) -> None:
    assert (await admin(path, host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:9090",
        "",
        None,
        "[::1",
        "[::1]x",
        "127.0.0.1:x",
        "a@127.0.0.1",
        "127.1",
    ],
)
@for_people
@pytest.mark.threat("S30")
async def test_the_status_is_not_for_names_somebody_pointed_here(admin: Client, path: str, host: str | None) -> None:
    answer = await admin(path, host=host)
    assert answer.status in (400, 403)
    assert b"orders" not in answer.body


async def test_two_hosts_are_none(admin: Client) -> None:
    assert (await admin("/status", "Host: 127.0.0.1")).status in (400, 403)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9090"])
@for_people
@pytest.mark.threat("S30")
async def test_the_status_is_not_for_scripts_in_a_browser(admin: Client, path: str, origin: str) -> None:
    answer = await admin(path, f"Origin: {origin}")
    assert answer.status == 403
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_name_listened_on_is_ours() -> None:
    async with _serve(listen_host="Admin.Example") as admin:
        assert (await admin("/status", host="admin.example:9090")).status == 200
        assert (await admin("/status", host="other.example")).status == 403


async def test_without_a_name_listened_on_none_is_ours(tmp_path: Path) -> None:
    async with _serve(listen_host=None, path=tmp_path / "admin.sock") as admin:
        assert (await admin("/status", host="localhost")).status == 200
        assert (await admin("/status", host="none")).status == 403
        assert (await admin("/status", host="")).status in (400, 403)


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.8.8", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        (None, 200),
        ("192.0.2.7", 403),
        ("10.0.0.1", 403),
        ("::ffff:192.0.2.7", 403),
        ("fe80::1%eth0", 403),
    ],
)
@for_people
def test_the_status_is_for_peers_on_this_machine(path: str, peer: str | None, status: int) -> None:
    assert _ask_from(peer, path).status == status


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_and_metrics_are_for_all_who_reach_them(path: str) -> None:
    answer = _ask_from("192.0.2.7", path, (b"Host", b"anything.example"), (b"Origin", b"http://evil.example"))
    assert answer.status == 200


@for_people
def test_pages_for_all_still_check_host_and_origin(path: str) -> None:
    peer = "192.0.2.7"
    assert _ask_from(peer, path, loopback_only=False).status == 200
    assert _ask_from(peer, path, (b"Host", b"evil.example"), loopback_only=False).status == 403
    assert _ask_from(peer, path, (b"Origin", b"null"), loopback_only=False).status == 403


async def test_a_malformed_request_is_not_repeated_to_its_sender(admin: Client) -> None:
    answer = await admin("/livez", "X-Odd: canary-of-a-header\x01")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"canary" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/status.css/",
        "/status.py",
        "/livez/",
        "/LIVEZ",
        "/x%0ay",
        "/%6civezz",
        "//livez",
        "/livez/../status",
    ],
)
@pytest.mark.threat("S65", "S68")
async def test_there_is_nothing_else(admin: Client, path: str) -> None:
    answer = await admin(path)
    assert answer.status == 404
    assert json.loads(answer.body)["title"] == "Not Found"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("path", EVERY_PAGE)
@pytest.mark.threat("S30")
async def test_it_is_for_reading_only(admin: Client, method: str, path: str) -> None:
    answer = await admin(path, method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert json.loads(answer.body)["title"] == "Method Not Allowed"


@pytest.mark.parametrize("path", [*EVERY_PAGE, "/nothing"])
async def test_head_is_get_without_the_body(admin: Client, path: str) -> None:
    get, head = await admin(path), await admin(path, method="HEAD")
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert int(get.headers["content-length"]) == len(get.body)


@pytest.mark.parametrize("path", [*EVERY_PAGE, "/nothing"])
async def test_every_answer_is_guarded_and_silent_about_its_server(admin: Client, path: str) -> None:
    headers = (await admin(path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert policy == (POLICY.decode() if path == "/" else "default-src 'none'; frame-ancestors 'none'")
    assert headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control")]
