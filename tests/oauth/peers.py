"""Peers for tests, on loopback: one that answers exactly the bytes it is given, one that serves JSON documents by path,
and a certificate authority that signs whatever a test asks for.

"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qsl

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handler = Callable[["Seen", asyncio.StreamWriter], Awaitable[None]]
PATIENCE = 5.0  # seconds; more than any test needs


@dataclass(frozen=True)
class Seen:
    """One request as a peer received it."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes

    def value(self, name: str) -> str | None:
        """The one value of a field; None where it is missing."""
        values = [value for key, value in self.fields if key == name]
        assert len(values) <= 1
        return values[0] if values else None

    @property
    def form(self) -> list[tuple[str, str]]:
        """The form's pairs."""
        return parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)


@dataclass
class RawPeer:
    """A peer that gives its answers in order, the last one for ever. An answer is bytes, or does what it likes.

    An answer of ``b""`` closes the connection.
    """

    answers: list[bytes | Handler]
    port: int = 0
    scheme: str = "http"
    connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/token"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self.seen.append(await read_request(reader))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    break
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(self.seen[-1], writer)
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> Seen:
    """Read one request whose body, if any, has a length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    start, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = start.split(" ")
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = int(next((value for name, value in fields if name == "content-length"), "0"))
    return Seen(method, target, fields, await reader.readexactly(length))


@asynccontextmanager
async def raw_peer(*answers: bytes | Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawPeer]:
    """Run a RawPeer."""
    peer = RawPeer(list(answers), scheme="https" if tls else "http")
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in peer.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def reply(status: int = 200, body: object = b"", content_type: str = "application/json", **fields: str) -> bytes:
    """A reply's bytes; a body that is not bytes becomes JSON, ``Retry_After`` the field Retry-After."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Type": content_type, "Content-Length": str(len(content))}
    lines |= {name.replace("_", "-"): value for name, value in fields.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + content


def never() -> Handler:
    """An answer that does not come."""

    async def wait(_: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(PATIENCE)

    return wait


def reset_after(part: bytes) -> Handler:
    """An answer cut short by a reset."""

    async def cut(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.02)  # let it arrive: a reset overtakes what is not yet read
        writer.transport.abort()

    return cut


def close_after(part: bytes) -> Handler:
    """An answer cut short by an orderly close."""

    async def cut(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(part)
        await writer.drain()
        writer.close()

    return cut


@dataclass
class Documents:
    """JSON documents by path; what is not there is a 404. ``counts`` says how often each was asked for.

    hold: while it is not set, nobody is answered.
    """

    documents: dict[str, object]
    origin: str = ""
    status: int = 200
    counts: dict[str, int] = field(default_factory=dict)
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, request: web.BaseRequest) -> web.Response:
        self.counts[request.path] = self.counts.get(request.path, 0) + 1
        await asyncio.wait_for(self.hold.wait(), PATIENCE)
        if request.path not in self.documents:
            return web.Response(status=404, text="<h1>not here</h1>", content_type="text/html")
        return web.json_response(self.documents[request.path], status=self.status)


@asynccontextmanager
async def serve_documents(documents: dict[str, object]) -> AsyncIterator[Documents]:
    """Run a Documents server."""
    served = Documents(documents)
    served.hold.set()
    runner = web.ServerRunner(web.Server(served.serve), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    served.origin = f"http://{host}:{port}"
    try:
        yield served
    finally:
        await runner.cleanup()


class Authority:
    """A certificate authority with its files in one folder."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            self._builder(self._name, self._key.public_key(), days=2)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = self._write(f"{name}.pem", self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, days: int = 1, password: bytes | None = None) -> tuple[str, str]:
        """Sign a certificate for a host name or address; returns the files of certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            host: x509.GeneralName = x509.IPAddress(ip_address(name))
        except ValueError:
            host = x509.DNSName(name)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(subject, key.public_key(), days=days)
            .add_extension(x509.SubjectAlternativeName([host]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(authority_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return (
            self._write(f"{name}-{days}.crt", certificate.public_bytes(pem)),
            self._write(f"{name}-{days}.key", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption)),
        )

    def serving(self, name: str = "127.0.0.1", *, days: int = 1, ask_for_clients: bool = False) -> ssl.SSLContext:
        """A server's context, with a fresh certificate for this name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, days=days))
        if ask_for_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=5))
            .not_valid_after(now + timedelta(days=days))
        )

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
