import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar.model.route import TLS
from sidecar.tls import KeyPairError, ServerTLS, TLSError, client_context, client_tls, server_context
from tests.support.certificates import Authority, Issued

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


@pytest.mark.threat("S60")
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


# --- rotation


def copy(source: str, target: Path) -> None:
    target.write_bytes(Path(source).read_bytes())


def put(source: Issued, cert: Path, key: Path) -> None:
    copy(source.cert_file, cert)
    copy(source.key_file, key)


async def test_a_renewed_certificate_is_shown_and_half_of_one_is_not(tmp_path: Path) -> None:
    authority, cert, key = Authority(tmp_path), tmp_path / "tls.crt", tmp_path / "tls.key"
    server = authority.issue("upstream.example").server_context(authority.ca_file)
    old, new = authority.issue("old"), Authority(tmp_path, "other").issue("new")
    put(old, cert, key)
    tls = client_tls(TLS(ca_file=authority.ca_file, cert_file=str(cert), key_file=str(key)))
    first = tls.value
    assert await handshake(server, first) is not None
    copy(new.cert_file, cert)
    tls.reread()
    assert tls.value is first  # the key is still that of the old one
    put(new, cert, key)
    tls.reread()
    assert tls.value is not first
    assert await handshake(server, tls.value) is None  # nobody here trusts its authority


async def test_a_renewed_authority_is_believed_and_the_old_one_no_more(tmp_path: Path) -> None:
    one, two, ca = Authority(tmp_path, "one"), Authority(tmp_path, "two"), tmp_path / "ca.pem"
    copy(one.ca_file, ca)
    tls = client_tls(TLS(ca_file=str(ca)))
    servers = [authority.issue("upstream.example").server_context() for authority in (one, two)]
    assert [await handshake(server, tls.value) is not None for server in servers] == [True, False]
    copy(two.ca_file, ca)
    tls.reread()
    assert [await handshake(server, tls.value) is not None for server in servers] == [False, True]


async def test_a_listener_shows_its_renewed_certificate_and_believes_its_renewed_authority(tmp_path: Path) -> None:
    one, two = Authority(tmp_path, "one"), Authority(tmp_path, "two")
    cert, key, ca = tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.pem"
    put(one.issue("upstream.example"), cert, key)
    copy(one.ca_file, ca)
    listening = ServerTLS(str(cert), str(key), str(ca))

    def client(trusts: Authority, is_of: Authority) -> ssl.SSLContext:
        ours = is_of.issue("client")
        return client_context(TLS(ca_file=trusts.ca_file, cert_file=ours.cert_file, key_file=ours.key_file))

    async def accepted() -> list[bool]:
        return [
            await handshake(listening.context, client(trusts, is_of)) is not None
            for trusts in (one, two)
            for is_of in (one, two)
        ]

    assert await accepted() == [True, False, False, False]
    put(two.issue("upstream.example"), cert, key)
    listening.reread()
    assert await accepted() == [False, False, True, False]
    copy(two.ca_file, ca)
    listening.reread()
    assert await accepted() == [False, False, False, True]
    assert await handshake(listening.context, client_context(TLS(ca_file=two.ca_file))) is None


@pytest.mark.parametrize("name", ["upstream.example", "127.0.0.1"])
async def test_a_renewed_certificate_is_shown_with_and_without_a_name(tmp_path: Path, name: str) -> None:
    """Who asks for an address names nobody in the handshake."""
    one, two = Authority(tmp_path, "one"), Authority(tmp_path, "two")
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    put(one.issue(name), cert, key)
    listening = ServerTLS(str(cert), str(key), None)
    put(two.issue(name), cert, key)
    listening.reread()
    assert await handshake(listening.context, client_context(TLS(ca_file=two.ca_file)), name) is not None


async def test_a_session_does_not_outlive_its_authority(tmp_path: Path) -> None:
    """A listener that asks for certificates gives no tickets, with which a client would come back unasked."""
    authority = Authority(tmp_path)
    ours = authority.issue("upstream.example")
    asking = ServerTLS(ours.cert_file, ours.key_file, authority.ca_file).context
    assert asking.num_tickets == 0
    assert asking.options & ssl.OP_NO_TICKET


def test_what_can_not_be_used_is_named_by_what_it_is(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, two = authority.issue("a"), authority.issue("b")
    with pytest.raises(KeyPairError):
        client_tls(TLS(cert_file=one.cert_file, key_file=two.key_file))
    with pytest.raises(KeyPairError):
        ServerTLS(one.cert_file, two.key_file, None)
    for tls in (TLS(ca_file=one.key_file), TLS(ca_file=str(tmp_path / "missing"))):
        with pytest.raises(TLSError) as caught:
            client_tls(tls)
        assert not isinstance(caught.value, KeyPairError)
        assert str(tls.ca_file) in str(caught.value)
