"""What a peer may do to us, and what becomes of it."""

import asyncio
import gc
import gzip
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.route import TLS
from sidecar.oauth.http import (
    MAX_DOCUMENT_BYTES,
    MAX_REPLY_BYTES,
    Flaw,
    PeerClient,
    PeerError,
    PeerReplyUnusable,
    PeerTimeout,
    PeerUnreachable,
    Reply,
    is_endpoint,
)
from sidecar.tls import TLSError, client_tls
from tests.oauth.peers import Authority, RawPeer, Seen, close_after, never, raw_peer, reply, reset_after
from tests.support.canary import Canary, search
from tests.support.clock import FakeClock


@asynccontextmanager
async def client_for(**settings: Any) -> AsyncIterator[PeerClient]:
    client = PeerClient(**{"timeout": 5.0, "max_in_flight": 4} | settings)
    try:
        yield client
    finally:
        await client.close()


async def post(peer: RawPeer, **settings: Any) -> Reply:
    async with client_for(**settings) as client:
        return await client.post_form(peer.url, [("a", "b")], {})


async def test_a_json_text_is_sent_as_it_is() -> None:
    async with raw_peer(reply(200, {})) as peer, client_for() as client:
        await client.post_json(peer.url, b'{"a":"\\u00fc"}')
        assert peer.seen[0].body == b'{"a":"\\u00fc"}'
        assert peer.seen[0].value("content-type") == "application/json"


async def failure(peer: RawPeer, **settings: Any) -> PeerError:
    with pytest.raises(PeerError) as caught:
        await post(peer, **settings)
    return caught.value


# --- what is sent


async def test_sends_a_form_in_the_body_and_nothing_that_was_not_asked_for() -> None:
    async with raw_peer(reply(body={})) as peer, client_for() as client:
        await client.post_form(peer.url + "?tenant=%41", [("a", "ü &="), ("a", "2")], {"Authorization": "Basic x"})
    (seen,) = peer.seen
    assert (seen.method, seen.target) == ("POST", "/token?tenant=%41")
    assert seen.form == [("a", "ü &="), ("a", "2")]
    assert dict(seen.fields) == {
        "host": f"127.0.0.1:{peer.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "token-exchange-sidecar",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(len(seen.body)),
        "authorization": "Basic x",
    }


@pytest.mark.threat("S49")
async def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    async with raw_peer(reply(body={})) as peer, raw_peer(reply(body={})) as proxy:
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await post(peer)
        assert peer.seen[0].value("authorization") is None
        assert not proxy.connections


@pytest.mark.threat("S42")
async def test_nothing_is_inflated_on_the_way() -> None:
    async with client_for() as client:
        assert not client._open().auto_decompress


@pytest.mark.threat("S46")
async def test_cookies_are_not_kept() -> None:
    async with raw_peer(reply(body={}, Set_Cookie="session=alice; Path=/")) as peer, client_for() as client:
        for _ in range(2):
            await client.post_form(peer.url, [], {})
        assert [seen.value("cookie") for seen in peer.seen] == [None, None]


async def test_a_kept_connection_is_used_again() -> None:
    async with raw_peer(reply(body={})) as peer, client_for() as client:
        for _ in range(3):
            await client.post_form(peer.url, [], {})
        assert peer.connections == 1


# --- what comes back


async def test_a_reply_is_status_type_and_body() -> None:
    async with raw_peer(reply(400, {"error": "invalid_grant"}, "Application/JSON; charset=utf-8")) as peer:
        received = await post(peer)
    assert (received.status, received.content_type, received.retry_after) == (400, "application/json", None)
    assert received.json_object() == {"error": "invalid_grant"}


def test_a_body_is_not_in_the_repr() -> None:
    canary = Canary.fresh("access-token")
    assert not search(repr(Reply(200, "application/json", None, canary.text.encode())).encode(), canary)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("99999999999999999999", 999999999.0),
        (formatdate(1_700_000_090, usegmt=True), 90.0),
        (formatdate(1_600_000_000, usegmt=True), 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Wed, 99 Foo 2026 25:61:61 GMT", None),
    ],
)
async def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    answer = reply(503, {}).replace(b"\r\n\r\n", b"\r\nRetry-After: " + value.encode() + b"\r\n\r\n", 1)
    async with raw_peer(answer) as peer:
        assert (await post(peer, clock=FakeClock(wall=1_700_000_000.0).clock)).retry_after == seconds


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40))
def test_no_retry_after_raises(value: str) -> None:
    client = PeerClient(timeout=1, max_in_flight=1, clock=FakeClock().clock)
    seconds = client._retry_after(value)
    assert seconds is None or seconds >= 0


def _gzipped(size: int) -> bytes:
    return gzip.compress(b'{"a": "' + b"a" * size + b'"}')


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "flaw"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Flaw.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\n{}", Flaw.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", Flaw.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 500 + b"\r\n", Flaw.NOT_HTTP),
        (CHUNKED + b"zz\r\n{}\r\n", Flaw.NOT_HTTP),
        (reply(301, {}, Location="/elsewhere"), Flaw.REDIRECT),
        (reply(307, {}, Location="/elsewhere"), Flaw.REDIRECT),
        (reply(308, {}), Flaw.REDIRECT),
        (reply(304).replace(b"Content-Length: 0\r\n", b""), Flaw.REDIRECT),
        (reply(200, _gzipped(10), Content_Encoding="gzip"), Flaw.CODED),
        (reply(200, _gzipped(10_000_000), Content_Encoding="gzip"), Flaw.CODED),
        (reply(200, b"{}", Content_Encoding="identity, br"), Flaw.CODED),
        (reply(200, b"{}", "text/html"), Flaw.CONTENT_TYPE),
        (reply(200, b"{}", "text/json"), Flaw.CONTENT_TYPE),
        (reply(200, b"{}", ""), Flaw.CONTENT_TYPE),
        (reply(200, b"{}", "application/jsonp"), Flaw.CONTENT_TYPE),
        (reply(200, b" " * (MAX_REPLY_BYTES + 1)), Flaw.TOO_LARGE),
        (CHUNKED + b"4000\r\n" + b" " * 0x4000 + b"\r\n" + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 4, Flaw.TOO_LARGE),
    ],
)
async def test_an_unusable_reply_is_named(answer: bytes, flaw: Flaw) -> None:
    async with raw_peer(answer) as peer:
        error = await failure(peer)
        assert isinstance(error, PeerReplyUnusable)
        assert error.reason == flaw
        assert len(peer.seen) == 1  # neither followed nor sent again


@pytest.mark.parametrize(
    "answer",
    [
        reply(503, b"<html>" + b"a" * MAX_REPLY_BYTES * 2, "text/html"),
        reply(503, b" " * (MAX_REPLY_BYTES + 1)),
        reply(503, _gzipped(10), Content_Encoding="gzip"),
    ],
)
async def test_the_status_of_a_failure_counts_whatever_its_body_is(answer: bytes) -> None:
    async with raw_peer(answer) as peer:
        received = await post(peer)
    assert (received.status, received.body) == (503, b"")


async def test_a_body_of_just_the_limit_is_taken() -> None:
    async with raw_peer(reply(200, b"{}".ljust(MAX_REPLY_BYTES))) as peer:
        assert (await post(peer)).json_object() == {}


@pytest.mark.threat("S42")
async def test_a_huge_body_is_not_read_to_its_end() -> None:
    sent = 0

    async def pour(_: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    async with raw_peer(pour) as peer:
        assert (await failure(peer)).reason == Flaw.TOO_LARGE
        await asyncio.sleep(0.05)
        so_far = sent
        await asyncio.sleep(0.05)
    assert sent == so_far < 32 * 1024 * 1024  # what the kernel took, and then an end


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"{}"', b"{}{}", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e999}', b"\xff", b"[" * 50_000],
)
def test_only_a_strict_json_object_is_one(body: bytes) -> None:
    with pytest.raises(PeerReplyUnusable, match=Flaw.NOT_JSON):
        Reply(200, "application/json", None, body).json_object()


# --- what breaks


async def test_nobody_there() -> None:
    async with raw_peer(b"") as peer:
        pass
    error = await failure(peer)
    assert isinstance(error, PeerUnreachable)
    assert error.before_reply


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid", "a..invalid"])
async def test_a_name_that_does_not_resolve(host: str) -> None:
    async with client_for() as client:
        with pytest.raises(PeerUnreachable, match="the name does not resolve") as caught:
            await client.post_form(f"http://{host}/token", [], {})
    assert caught.value.before_reply


@pytest.mark.parametrize(
    ("answer", "before_reply"),
    [
        (b"", True),
        (reset_after(b""), True),
        (close_after(b"HTTP/1.1 200 OK\r\nContent-Type: appl"), False),
        (close_after(reply(200, b"{}", Content_Length="200")), False),
        (reset_after(reply(200, b"{}", Content_Length="200")), False),
        (close_after(CHUNKED + b"2\r\n{}\r\n"), False),
    ],
)
async def test_where_a_connection_broke_is_known(answer: Any, before_reply: bool) -> None:
    async with raw_peer(answer) as peer:
        error = await failure(peer)
        assert isinstance(error, PeerUnreachable)
        assert error.before_reply is before_reply
        assert len(peer.seen) == 1  # a POST is never sent again down here


async def test_a_document_may_be_asked_for_again_where_a_kept_connection_broke() -> None:
    async with raw_peer(reply(200, {}), b"", reply(200, {"a": 1})) as peer, client_for() as client:
        assert await client.document(peer.url) == {}
        assert await client.document(peer.url) == {"a": 1}


async def drip(_: Seen, writer: asyncio.StreamWriter) -> None:
    for byte in reply(200, b"{}".ljust(1000)):
        writer.write(bytes([byte]))
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [never(), drip, reply(200, b"{}", Content_Length="200")])
async def test_one_deadline_is_over_everything(answer: Any) -> None:
    async with raw_peer(answer) as peer, asyncio.timeout(1):
        assert isinstance(await failure(peer, timeout=0.1), PeerTimeout)


async def test_waiting_for_a_connection_counts_too() -> None:
    async with raw_peer(never()) as peer, client_for(timeout=0.1, max_in_flight=1) as client:
        results = await asyncio.gather(*(client.post_form(peer.url, [], {}) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [PeerTimeout] * 3
    assert peer.connections <= 3


async def test_no_more_connections_than_requests_that_may_be_in_flight() -> None:
    busy = most = 0

    async def slow(_: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.01)
        busy -= 1
        writer.write(reply(200, {}))

    async with raw_peer(slow) as peer, client_for(max_in_flight=3) as client:
        await asyncio.gather(*(client.post_form(peer.url, [], {}) for _ in range(12)))
    assert most == 3


async def test_a_cancelled_request_gives_its_place_back() -> None:
    async with raw_peer(never(), reply(200, {})) as peer, client_for(max_in_flight=1) as client:
        task = asyncio.create_task(client.post_form(peer.url, [], {}))
        await asyncio.sleep(0.05)
        assert len(peer.seen) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.post_form(peer.url, [], {})).status == 200


async def test_whoever_leaves_at_any_moment_leaves_no_connection_behind() -> None:
    """A connection that is lost between the pool and the request is a warning, and warnings are errors here."""
    async with raw_peer(reply(200, {})) as peer, client_for(max_in_flight=1) as client:
        for moment in range(40):
            task = asyncio.create_task(client.post_form(peer.url, [], {}))
            for _ in range(moment):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            del task
            assert (await client.post_form(peer.url, [], {})).status == 200
        gc.collect()


async def test_a_closed_client_is_unreachable() -> None:
    async with raw_peer(never()) as peer, client_for() as client:
        under_way = asyncio.create_task(client.post_form(peer.url, [], {}))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(PeerUnreachable):
            await under_way
        with pytest.raises(PeerUnreachable, match="closed"):
            await client.document(peer.url)
        assert peer.connections == 1


# --- bytes that nobody asked for


@pytest.mark.parametrize("unasked", [reply(200, {"access_token": "alice's"}), b"HTTP/1.1 408 Timeout\r\n\r\n", b"x"])
@pytest.mark.threat("S37")
async def test_what_came_in_on_an_idle_connection_is_nobodys_reply(unasked: bytes) -> None:
    async with raw_peer(reply(200, {"n": 1}), reply(200, {"n": 2})) as peer, client_for() as client:
        assert (await client.post_form(peer.url, [], {})).json_object() == {"n": 1}
        peer.writers[0].write(unasked)
        await peer.writers[0].drain()
        await asyncio.sleep(0.02)
        assert (await client.post_form(peer.url, [], {})).json_object() == {"n": 2}
        assert peer.connections == 2


async def test_bytes_that_nobody_looked_at_yet_count_too() -> None:
    async with raw_peer(reply(200, {"n": 1}), reply(200, {"n": 2})) as peer, client_for() as client:
        assert (await client.post_form(peer.url, [], {})).json_object() == {"n": 1}
        with socket.socket(fileno=os.dup(peer.writers[0].get_extra_info("socket").fileno())) as wire:
            wire.send(reply(200, {"access_token": "alice's"}))  # in the kernel; our loop has had no turn
        assert (await client.post_form(peer.url, [], {})).json_object() == {"n": 2}
        assert peer.connections == 2


async def test_a_peer_that_speaks_first_is_not_called_for_ever() -> None:
    calls: list[asyncio.StreamWriter] = []

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(writer)
        writer.write(b"220 mail.example.com ESMTP\r\n")

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, client_for(max_in_flight=4) as client:
        with pytest.raises(PeerError):
            await client.post_form(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", [], {})
        for writer in calls:
            writer.transport.abort()
    assert 1 <= len(calls) <= 5
    await asyncio.sleep(0.01)


async def test_two_replies_at_once_spoil_the_connection() -> None:
    twice = reply(200, {"n": 1}) + reply(200, {"n": "alice's"})
    async with raw_peer(twice, reply(200, {"n": 2})) as peer, client_for() as client:
        assert (await client.post_form(peer.url, [], {})).json_object() == {"n": 1}
        assert (await client.post_form(peer.url, [], {})).json_object() == {"n": 2}
        assert peer.connections == 2


async def test_every_spoiled_connection_is_passed_over() -> None:
    async with raw_peer(reply(200, {})) as peer, client_for(max_in_flight=4) as client:
        await asyncio.gather(*(client.post_form(peer.url, [], {}) for _ in range(4)))
        for writer in peer.writers:
            writer.write(reply(200, {"access_token": "alice's"}))
        await asyncio.sleep(0.02)
        assert (await client.post_form(peer.url, [], {})).json_object() == {}


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def test_tls_with_an_authority_of_ones_own(authority: Authority) -> None:
    async with raw_peer(reply(200, {}), tls=authority.serving()) as peer:
        assert (await post(peer, tls=TLS(ca_file=authority.ca_file))).status == 200


async def test_a_server_name_of_ones_own(authority: Authority) -> None:
    tls = TLS(ca_file=authority.ca_file, server_name="login.example.com")
    async with raw_peer(reply(200, {}), tls=authority.serving("login.example.com")) as peer:
        assert (await post(peer, tls=tls)).status == 200


async def test_a_client_certificate(authority: Authority) -> None:
    certificate, key = authority.issue("client")
    async with raw_peer(reply(200, {}), tls=authority.serving(ask_for_clients=True)) as peer:
        with_certificate = TLS(ca_file=authority.ca_file, cert_file=certificate, key_file=key)
        assert (await post(peer, tls=with_certificate)).status == 200
        assert isinstance(await failure(peer, tls=TLS(ca_file=authority.ca_file)), PeerUnreachable)
        assert len(peer.seen) == 1


@pytest.mark.parametrize(("name", "days"), [("other.example.com", 1), ("127.0.0.1", -1)])
@pytest.mark.threat("S60")
async def test_a_wrong_certificate_is_sent_nothing(authority: Authority, name: str, days: int) -> None:
    async with raw_peer(reply(200, {}), tls=authority.serving(name, days=days)) as peer:
        error = await failure(peer, tls=TLS(ca_file=authority.ca_file))
        assert isinstance(error, PeerUnreachable)
        assert error.reason == "the certificate is not trusted"
        assert not peer.seen


@pytest.mark.threat("S60")
async def test_an_unknown_authority_is_sent_nothing(authority: Authority) -> None:
    async with raw_peer(reply(200, {}), tls=authority.serving()) as peer:
        assert (await failure(peer)).reason == "the certificate is not trusted"
        assert not peer.seen


async def test_plain_http_behind_an_https_url() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(400, {}))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, client_for() as client:
        with pytest.raises(PeerUnreachable, match="TLS failed"):
            await client.post_form(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", [], {})


def test_tls_files_are_judged_at_construction(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("client")
    encrypted = authority.issue("encrypted", password=b"x")
    other = authority.issue("other")[1]
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("canary-garbage")
    missing = str(tmp_path / "missing.pem")
    for tls, named in (
        (TLS(ca_file=missing), missing),
        (TLS(ca_file=str(garbage)), str(garbage)),
        (TLS(cert_file=missing, key_file=key), missing),
        (TLS(cert_file=certificate, key_file=missing), missing),
        (TLS(cert_file=certificate, key_file=other), other),
        (TLS(cert_file=encrypted[0], key_file=encrypted[1]), encrypted[1]),
        (TLS(cert_file=str(garbage), key_file=str(garbage)), str(garbage)),
    ):
        with pytest.raises(TLSError) as caught:
            PeerClient(timeout=1, max_in_flight=1, tls=tls)
        assert named in str(caught.value)
        assert "canary" not in str(caught.value)


async def test_a_renewed_certificate_is_shown_to_the_next(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(name: str) -> None:
        for path, source in zip((cert, key), authority.issue(name), strict=True):
            path.write_bytes(Path(source).read_bytes())

    put("old")
    settings = TLS(ca_file=authority.ca_file, cert_file=str(cert), key_file=str(key))
    tls = client_tls(settings)
    client = PeerClient(timeout=5, max_in_flight=2, tls=settings, contexts=lambda _: tls)
    shown: list[str] = []

    async def answer(_: Seen, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert")["subjectAltName"][0][1])
        writer.write(reply(body={}))

    async with raw_peer(answer, tls=authority.serving(ask_for_clients=True)) as peer:
        for _ in range(2):
            await client.post_form(peer.url, [], {})
        put("new")
        tls.reread()
        for _ in range(2):
            await client.post_form(peer.url, [], {})
        await client.close()
    assert (shown, peer.connections) == (["old", "old", "new", "new"], 2)


# --- URLs


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com/token",
        "http://127.0.0.1:8080/token?tenant=a%2Fb",
        "http://[::1]:8080/token",
        "https://login.example.com",
    ],
)
def test_an_endpoint(url: str) -> None:
    assert is_endpoint(url)


@pytest.mark.parametrize(
    "url",
    [
        None,
        1,
        "",
        "/token",
        "login.example.com/token",
        "https:///token",
        "https://",
        "file:///etc/passwd",
        "ftp://login.example.com/",
        "https://login.example.com/token#a",
        "https://login.example.com/token#",
        "https://user:password@login.example.com/token",
        "https://user@login.example.com/token",
        "https://:password@login.example.com/token",
        "https://login.example.com:port/token",
        "https://login.example.com:99999/token",
        "https://login.example.com/a b",
        "https://login.example.com/ü",
        "https://login.example.com/a\r\nX: y",
        "https://[::1/token",
    ],
)
def test_no_endpoint(url: object) -> None:
    assert not is_endpoint(url)


@given(st.text(max_size=60))
@pytest.mark.fuzz
def test_no_text_raises(text: str) -> None:
    assert not is_endpoint(f"https://example.com/#{text}")
    is_endpoint(f"https://{text}")


# --- nothing leaks


@pytest.mark.threat("S10")
async def test_no_secret_is_in_an_error_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret, token = Canary.fresh("client-secret"), Canary.fresh("access-token")
    shown = []
    for answer in (
        b"garbage " + token.text.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 " + token.text.encode() + b"\r\nBad Field " + token.text.encode() + b": x\r\n\r\n",
        reply(302, {}, Location=f"http://127.0.0.1:1/{token.text}"),
        reply(200, token.text.encode(), "text/plain"),
        reset_after(b"HTTP/1.1 200 OK\r\nX-Token: " + token.text.encode()),
        b"",
    ):
        async with raw_peer(answer) as peer, client_for() as client:
            with pytest.raises(PeerError) as caught:
                await client.post_form(peer.url, [("a", secret.text)], {"Authorization": secret.text})
            shown += [repr(caught.value), str(caught.value), repr(caught.value.__cause__)]
    text = "\n".join(shown) + caplog.text
    assert not search(text.encode(), secret, token)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (reply(429, b"", Retry_After="7"), 7),
        (reply(503, b"", Retry_After="7"), 7),
        (reply(503), None),
        (reply(404, b"", Retry_After="7"), None),  # it is not there, and that is all it says
    ],
)
async def test_a_document_may_be_asked_for_later(answer: bytes, seconds: float | None) -> None:
    async with raw_peer(answer) as peer, client_for() as client:
        with pytest.raises(PeerReplyUnusable) as caught:
            await client.document(peer.url)
        assert caught.value.retry_after == seconds


async def test_a_document_must_be_ok(caplog: pytest.LogCaptureFixture) -> None:
    async with raw_peer(reply(404, {}), reply(200, b"{}".ljust(MAX_DOCUMENT_BYTES))) as peer, client_for() as client:
        with pytest.raises(PeerReplyUnusable, match=Flaw.STATUS):
            await client.document(peer.url)
        assert await client.document(peer.url) == {}
    async with raw_peer(reply(200, {"keys": []}, "application/jwk-set+json")) as peer, client_for() as client:
        assert await client.document(peer.url) == {"keys": []}
        assert peer.seen[0].method == "GET"


# --- what time it is there


@pytest.mark.parametrize(
    ("fields", "ahead"),
    [
        ({}, None),
        ({"Date": "yesterday"}, None),
        ({"Date": "Mon, 01 Jan 99999 00:00:00 GMT"}, None),
        ({"Date": formatdate(1_000_000_100, usegmt=True)}, 100.0),
        ({"Date": formatdate(999_999_900, usegmt=True)}, -100.0),
        ({"Date": formatdate(999_999_900, usegmt=True), "Age": "90"}, -10.0),
        ({"Date": formatdate(999_999_900, usegmt=True), "Age": "-90"}, -100.0),
        ({"Date": formatdate(1_000_000_000)}, 0.0),
    ],
)
async def test_how_far_a_peers_clock_is_ahead(fields: dict[str, str], ahead: float | None) -> None:
    time = FakeClock(wall=1_000_000_000.0)
    async with raw_peer(reply(200, {}, **fields)) as peer, client_for(clock=time.clock) as client:
        assert client.ahead is None
        await client.post_form(peer.url, [], {})
        assert client.ahead == ahead
