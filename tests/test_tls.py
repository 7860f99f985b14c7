import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar.model.route import TLS
from sidecar.tls import TLSError, client_context, server_context
from tests.support.certificates import Authority

BOUND = 5.0


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "upstream.example") -> str | None:
    """Speak over TLS on loopback; the protocol agreed on, or None where either side refuses."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await reader.readline())
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(BOUND):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
            try:
                writer.write(b"hello\n")
                # TLS 1.3: a server's no to our certificate comes with the first read.
                if await reader.readline() != b"hello\n":
                    return None
                return str(writer.get_extra_info("ssl_object").selected_alpn_protocol())
            finally:
                writer.close()
    except (ssl.SSLError, ConnectionError):
        return None
    finally:
        listening.close()
        await listening.wait_closed()


async def test_a_peer_of_our_authority_is_spoken_to(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("upstream.example")
    server = server_context(issued.cert_file, issued.key_file, None)
    assert await handshake(server, client_context(TLS(ca_file=authority.ca_file))) == "http/1.1"


async def test_nobody_else_is(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    ours = client_context(TLS(ca_file=authority.ca_file))
    for issued, name in (
        (other.issue("upstream.example"), "upstream.example"),
        (authority.issue("another.example"), "upstream.example"),
        (authority.issue("upstream.example", lifetime=timedelta(hours=-1)), "upstream.example"),
    ):
        assert await handshake(server_context(issued.cert_file, issued.key_file, None), ours, name) is None
    issued = authority.issue("upstream.example")
    server = server_context(issued.cert_file, issued.key_file, None)
    assert await handshake(server, client_context(TLS())) is None  # the system's authorities know nothing of ours


async def test_callers_show_a_certificate_where_one_is_asked_for(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    issued, client, stranger = (
        authority.issue("upstream.example"),
        authority.issue("client.example"),
        other.issue("client.example"),
    )
    server = server_context(issued.cert_file, issued.key_file, authority.ca_file)
    good = TLS(ca_file=authority.ca_file, cert_file=client.cert_file, key_file=client.key_file)
    assert await handshake(server, client_context(good)) == "http/1.1"
    bad = TLS(ca_file=authority.ca_file, cert_file=stranger.cert_file, key_file=stranger.key_file)
    assert await handshake(server, client_context(bad)) is None
    assert await handshake(server, client_context(TLS(ca_file=authority.ca_file))) is None


def test_verification_can_not_be_turned_off() -> None:
    for tls in (TLS(), TLS(server_name="other.example")):
        context = client_context(tls)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_peers_without_settings_share_a_context(tmp_path: Path) -> None:
    assert client_context(TLS()) is client_context(TLS(server_name="other.example"))
    authority = Authority(tmp_path)
    assert client_context(TLS(ca_file=authority.ca_file)) is not client_context(TLS(ca_file=authority.ca_file))


def test_bad_files_are_named_and_not_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good, other = authority.issue("a.example"), authority.issue("b.example")
    locked = authority.issue("c.example", password=b"secret")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("canary-in-a-file")
    missing = str(tmp_path / "missing.pem")
    for ca_file in (missing, str(garbage)):
        with pytest.raises(TLSError, match=ca_file):
            client_context(TLS(ca_file=ca_file))
        with pytest.raises(TLSError, match=ca_file):
            server_context(good.cert_file, good.key_file, ca_file)
    for cert_file, key_file in (
        (missing, good.key_file),
        (good.cert_file, missing),
        (good.cert_file, other.key_file),
        (locked.cert_file, locked.key_file),
        (str(garbage), str(garbage)),
    ):
        with pytest.raises(TLSError, match=key_file) as raised:
            server_context(cert_file, key_file, None)
        assert "canary" not in str(raised.value)
        with pytest.raises(TLSError, match=cert_file):
            client_context(TLS(cert_file=cert_file, key_file=key_file))
