import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.faces import control as tested
from sidecar.faces.control import MOST, Control, Meant, UnknownName
from sidecar.inbound.room import Room
from sidecar.inbound.server import GatewayServer, Incoming
from sidecar.model.flush import Flushed
from tests.support.gateway import Answer, read_answer

BOUND = 10


class Gateway:
    """What was asked of it."""

    def __init__(self) -> None:
        self.meant: list[Meant] = []
        self.request_ids: list[str] = []
        self.unknown: str | None = None

    def flush(self, meant: Meant, request_id: str) -> Flushed:
        if self.unknown is not None:
            raise UnknownName(self.unknown)
        self.meant.append(meant)
        self.request_ids.append(request_id)
        return Flushed(issued_tokens=3)


class Client:
    def __init__(self, gateway: Gateway, path: Path) -> None:
        self.gateway = gateway
        self.path = path

    async def send(self, raw: bytes) -> Answer:
        async with asyncio.timeout(BOUND):
            reader, writer = await asyncio.open_unix_connection(self.path)
            writer.write(raw)
            try:
                return await read_answer(reader, head_only=raw.startswith(b"HEAD"))
            finally:
                writer.close()

    async def ask(self, body: Any, path: str = "/flush", method: str = "POST") -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        return await self.send(head.encode() + content)


@asynccontextmanager
async def socket_folder() -> AsyncIterator[Path]:
    """A folder whose name is short enough for a socket's path."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
async def control() -> AsyncIterator[Client]:
    gateway = Gateway()
    face = Control(gateway)
    server = GatewayServer(
        face.serve, face.malformed, keepalive_timeout=75, header_timeout=10, max_header_bytes=16384, room=Room(64)
    )
    async with socket_folder() as folder:
        listening = await asyncio.get_running_loop().create_unix_server(server, folder / "c.sock")
        yield Client(gateway, folder / "c.sock")
        listening.close()
        await server.shutdown(0)


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ({"all": True}, Meant()),
        ({"subject": ["corp", "alice"]}, Meant(subject=("corp", "alice"))),
        ({"issuer": "https://login.example"}, Meant(issuer="https://login.example")),
        ({"route": "orders"}, Meant(route="orders")),
        ({"server": "corp"}, Meant(server="corp")),
    ],
)
async def test_what_can_be_meant(control: Client, body: Any, meant: Meant) -> None:
    answer = await control.ask(body)
    assert (answer.status, control.gateway.meant) == (200, [meant])
    assert answer.json()["dropped"]["issued_tokens"] == 3
    assert answer.value("cache-control") == "no-store"
    assert answer.value("x-request-id") == control.gateway.request_ids[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        {},
        {"all": False},
        {"all": 1},
        {"all": "true"},
        {"all": True, "route": "orders"},
        {"route": "orders", "server": "corp"},
        {"route": None},
        {"route": ["orders"]},
        {"subject": "alice"},
        {"subject": ["alice"]},
        {"subject": ["corp", None]},
        {"subject": ["corp", "alice", "bob"]},
        {"subject": {"iss": "corp", "sub": "alice"}},
        {"everything": True},
        b'{"route": "orders", "route": "orders"}',
        b'{"all": true}{"all": true}',
        b"[" * 5000,
        b"\xff",
    ],
)
async def test_what_is_not_exactly_that_is_nothing(control: Client, body: Any) -> None:
    answer = await control.ask(body)
    assert (answer.status, control.gateway.meant) == (400, [])
    assert answer.value("content-type") == "application/problem+json"


async def test_a_name_that_nothing_has(control: Client) -> None:
    control.gateway.unknown = "There is no route of this name."
    answer = await control.ask({"route": "canary"})
    assert (answer.status, answer.json()["detail"]) == (404, "There is no route of this name.")
    assert b"canary" not in answer.body


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_a_post_flushes(control: Client, method: str) -> None:
    assert (await control.ask({"all": True}, method=method)).status == 405
    assert control.gateway.meant == []


@pytest.mark.parametrize("path", ["/", "/flush/", "/flush%20", "/status", "/metrics", "/x?/flush"])
async def test_there_is_nothing_else(control: Client, path: str) -> None:
    assert (await control.ask({"all": True}, path=path)).status == 404
    assert control.gateway.meant == []


async def test_a_body_is_read_to_its_end_and_no_further_than_it_may_be_long(control: Client) -> None:
    padded = json.dumps({"all": True}).encode().ljust(MOST)
    assert (await control.ask(padded)).status == 200
    assert (await control.ask(padded + b" ")).status == 413
    assert len(control.gateway.meant) == 1


async def test_a_body_that_does_not_come_is_not_waited_for(control: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "PATIENCE", 0.05)
    answer = await control.send(b"POST /flush HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{")
    assert (answer.status, control.gateway.meant) == (408, [])


@pytest.mark.parametrize("user", [os.geteuid() + 1, 65534, None])
async def test_other_users_are_refused_whatever_the_mode_says(
    control: Client, monkeypatch: pytest.MonkeyPatch, user: int | None
) -> None:
    monkeypatch.setattr(Incoming, "peer_user", property(lambda _: user))
    assert (await control.ask({"all": True})).status == 403
    assert control.gateway.meant == []


async def test_the_kernel_says_who_it_is(control: Client) -> None:
    """Played by a process of another user, which root alone can start."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    control.path.parent.chmod(0o755)
    control.path.chmod(0o777)
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/env",
        "python3",
        "-c",
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        's.sendall(b"POST /flush HTTP/1.0\\r\\nContent-Length: 13\\r\\n\\r\\n" + b\'{"all": true}\');'
        "print(s.recv(65536).split()[1].decode())",
        str(control.path),
        stdout=asyncio.subprocess.PIPE,
        user=65534,
    )
    async with asyncio.timeout(BOUND):
        out, _ = await process.communicate()
    assert (out.strip(), control.gateway.meant) == (b"403", [])


async def test_a_malformed_request_is_not_repeated_to_its_sender(control: Client) -> None:
    answer = await control.send(b"POST /flush HTTP/1.1\r\nX-Odd: canary\x01\r\n\r\n")
    assert answer.status == 400
    assert b"canary" not in answer.raw
