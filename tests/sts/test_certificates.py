"""Certificates that prove a client, and the listener that asks for them: who gets in, and as whom."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.sts.certificates import Certificates, is_subject, server_context
from sidecar.sts.config import AuthMethod, Client, MutualTLS, SubjectKind
from tests.support.certificates import Authority, Issued, self_signed

BOUND = 5.0


def read(issued: Issued | str) -> x509.Certificate:
    path = issued if isinstance(issued, str) else issued.cert_file
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def der(issued: Issued) -> bytes:
    return read(issued).public_bytes(Encoding.DER)


def mtls(server: Issued, *authorities: Authority) -> MutualTLS:
    trusted = tuple(read(authority.ca_file) for authority in authorities)
    return MutualTLS(("127.0.0.1", 0), server.cert_file, server.key_file, trusted)


NAMES = ("gateway", "gateway.example", "spiffe://example.org/gateway", "127.0.0.2", "gateway@example.org")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SubjectKind.DN, "CN=gateway"),
        (SubjectKind.SAN_DNS, "gateway.example"),
        (SubjectKind.SAN_URI, "spiffe://example.org/gateway"),
        (SubjectKind.SAN_IP, "127.0.0.2"),
        (SubjectKind.SAN_EMAIL, "gateway@example.org"),
    ],
)
def test_a_subject_is_what_the_client_is_known_by(tmp_path: Path, kind: SubjectKind, value: str) -> None:
    authority = Authority(tmp_path)
    ours, another = authority.issue(*NAMES), authority.issue("other", "other.example", "127.0.0.3")
    judge = Certificates(mtls(ours, authority))
    client = Client("gw", (AuthMethod.TLS,), subject=(kind, value))
    assert judge.method(client, der(ours)) is AuthMethod.TLS
    assert judge.method(client, der(another)) is None
    assert judge.method(Client("gw", (AuthMethod.TLS,)), der(ours)) is None


def test_a_subject_is_compared_whole(tmp_path: Path) -> None:
    ours = read(Authority(tmp_path).issue(*NAMES))
    for kind, value in (
        (SubjectKind.DN, "CN=gateway,O=Example"),
        (SubjectKind.DN, "O=gateway"),
        (SubjectKind.SAN_DNS, "example"),
        (SubjectKind.SAN_DNS, "spiffe://example.org/gateway"),  # it is there, and is no DNS name
        (SubjectKind.SAN_URI, "spiffe://example.org/gateway/x"),
        (SubjectKind.SAN_EMAIL, "gateway"),
    ):
        assert not is_subject(ours, kind, value)
    assert not is_subject(read(self_signed(tmp_path, "gateway")), SubjectKind.SAN_DNS, "gateway")
    assert is_subject(read(self_signed(tmp_path, "gateway")), SubjectKind.DN, "CN=gateway")


def test_only_an_authority_of_the_file_vouches_for_a_subject(tmp_path: Path) -> None:
    ours, strangers = Authority(tmp_path, "ours"), Authority(tmp_path, "strangers")
    # One with the same name as ours, and one that is a client's own.
    (tmp_path / "b").mkdir()
    same_name = Authority(tmp_path / "b", "ours")
    client = Client("gw", (AuthMethod.TLS,), subject=(SubjectKind.DN, "CN=gateway"))
    judge = Certificates(mtls(ours.issue("x"), ours))
    assert judge.method(client, der(ours.issue("gateway"))) is AuthMethod.TLS
    for wrong in (strangers.issue("gateway"), same_name.issue("gateway"), self_signed(tmp_path, "gateway")):
        assert judge.method(client, der(wrong)) is None
    assert Certificates(None).method(client, der(ours.issue("gateway"))) is None


def test_a_client_has_certificates_of_its_own(tmp_path: Path) -> None:
    one, two, other = (self_signed(tmp_path, "gateway") for _ in range(3))
    client = Client("gw", (AuthMethod.SELF_SIGNED_TLS,), certificates=(read(one), read(two)))
    judge = Certificates(mtls(one))
    assert judge.method(client, der(one)) is judge.method(client, der(two)) is AuthMethod.SELF_SIGNED_TLS
    assert judge.method(client, der(other)) is None  # the same subject counts for nothing


async def shown(context: ssl.SSLContext, authority: Authority, ours: Issued | None) -> bytes | None:
    """What the listener gets to see of a client; None where the handshake fails."""
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b"")
        writer.write(b"hello\n")
        await writer.drain()
        writer.close()

    client = ssl.create_default_context(cafile=authority.ca_file)
    if ours is not None:
        client.load_cert_chain(ours.cert_file, ours.key_file)
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(BOUND):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            try:
                return seen.result() if await reader.readline() == b"hello\n" else None
            finally:
                writer.close()
    except (ssl.SSLError, ConnectionError):
        return None
    finally:
        server.close()
        await server.wait_closed()


async def test_the_listener_takes_authorities_own_ones_and_none(tmp_path: Path) -> None:
    authority, strangers = Authority(tmp_path, "ours"), Authority(tmp_path, "strangers")
    own, own_ca = self_signed(tmp_path, "own"), self_signed(tmp_path, "own-ca", ca=True)
    clients = [Client("a", (), certificates=(read(own),)), Client("b", (), certificates=(read(own_ca),))]
    context = server_context(clients, mtls(authority.issue("127.0.0.1"), authority))
    issued = authority.issue("gateway")
    for good in (issued, own, own_ca):
        assert await shown(context, authority, good) == der(good)
    assert await shown(context, authority, None) == b""
    late = authority.issue("late", lifetime=-timedelta(hours=1))
    for wrong in (strangers.issue("gateway"), self_signed(tmp_path, "own"), late):
        assert await shown(context, authority, wrong) is None


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, two = authority.issue("a"), authority.issue("b")
    for cert, key in ((one.cert_file, two.key_file), (one.cert_file, str(tmp_path / "missing"))):
        with pytest.raises((OSError, ValueError)):
            server_context((), MutualTLS(("127.0.0.1", 0), cert, key))
