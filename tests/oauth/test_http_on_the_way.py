"""Peers behind a proxy, and peers that ask for a token of ours before they tell anything."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.model.route import TLS
from sidecar.oauth.http import Bearer, PeerClient, PeerError, PeerTimeout, PeerUnreachable, bearer_token, origin
from sidecar.oauth.secrets import file_secret
from tests.oauth.peers import raw_peer, reply
from tests.support.canary import Canary, search
from tests.support.certificates import Authority
from tests.support.proxy import running_proxy

SECRET = Canary.fresh("client-secret").text


async def post(url: str, **settings: Any) -> int:
    """Send a form with a secret, and return the status."""
    client = PeerClient(**{"timeout": 2.0, "max_in_flight": 2} | settings)
    try:
        return (await client.post_form(url, [("client_secret", SECRET)], {})).status
    finally:
        await client.close()


# --- a proxy


async def test_what_is_https_goes_through_a_tunnel_that_shows_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.issue("127.0.0.1").server_context()
    async with running_proxy() as proxy, raw_peer(reply(200, {}), tls=context) as peer:
        assert await post(peer.url, proxy=proxy.url, tls=TLS(ca_file=authority.ca_file)) == 200
        assert proxy.heads == [f"CONNECT 127.0.0.1:{peer.port} HTTP/1.1"]
        assert dict(peer.seen[0].form) == {"client_secret": SECRET}
        assert search(bytes(proxy.seen), SECRET) == []


async def test_the_proxy_is_not_told_the_token_either(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.issue("127.0.0.1").server_context()
    async with running_proxy() as proxy, raw_peer(reply(200, {}), tls=context) as peer:
        held = bearer(tmp_path, origin(peer.url))
        client = PeerClient(
            timeout=2, max_in_flight=2, proxy=proxy.url, tls=TLS(ca_file=authority.ca_file), bearer=held
        )
        await client.document(peer.url)
        await client.close()
        assert peer.seen[0].value("authorization") == f"Bearer {SECRET}"
        assert search(bytes(proxy.seen), SECRET) == []
        assert b"uthorization" not in proxy.seen


async def test_a_tunnel_is_kept_for_the_next_request(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.issue("127.0.0.1").server_context()
    async with running_proxy() as proxy, raw_peer(reply(200, {}), tls=context) as peer:
        client = PeerClient(timeout=2, max_in_flight=2, proxy=proxy.url, tls=TLS(ca_file=authority.ca_file))
        for _ in range(3):
            await client.document(peer.url)
        await client.close()
        assert len(proxy.heads) == peer.connections == 1


async def test_a_proxy_can_not_stand_in_for_the_peer(tmp_path: Path) -> None:
    """The certificate has to be the peer's, whoever the bytes come from."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    strangers = Authority(tmp_path / "b").issue("127.0.0.1").server_context()
    async with running_proxy() as proxy, raw_peer(reply(200, {}), tls=strangers) as peer:
        with pytest.raises(PeerUnreachable, match="certificate is not trusted"):
            await post(peer.url, proxy=proxy.url, tls=TLS(ca_file=Authority(tmp_path / "a").ca_file))
        assert peer.seen == []


async def test_the_name_that_is_verified_may_be_another_behind_a_proxy_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.issue("login.example").server_context()
    async with running_proxy() as proxy, raw_peer(reply(200, {}), tls=context) as peer:
        tls = TLS(ca_file=authority.ca_file, server_name="login.example")
        assert await post(peer.url, proxy=proxy.url, tls=tls) == 200
        with pytest.raises(PeerError):
            await post(peer.url, proxy=proxy.url, tls=TLS(ca_file=authority.ca_file))


async def test_what_is_plain_goes_with_its_whole_address() -> None:
    async with running_proxy() as proxy, raw_peer(reply(200, {})) as peer:
        assert await post(peer.url, proxy=proxy.url) == 200
        assert proxy.heads == [f"POST {peer.url} HTTP/1.1"]
        assert peer.seen[0].target == "/token"


@pytest.mark.parametrize(
    ("manner", "says"),
    [
        ("refuse", "the proxy gives no connection"),
        ("close", "the connection was closed"),
        ("cut", "no connection|connection broke|TLS failed"),
    ],
)
async def test_a_proxy_that_does_not_let_us_through(manner: Any, says: str, tmp_path: Path) -> None:
    context = Authority(tmp_path).issue("127.0.0.1").server_context()
    async with running_proxy() as proxy, raw_peer(reply(200, {}), tls=context) as peer:
        proxy.manner = manner
        with pytest.raises(PeerUnreachable, match=says) as caught:
            await post(peer.url, proxy=proxy.url, tls=TLS(ca_file=str(tmp_path / "authority.pem")))
        assert caught.value.before_reply
        assert "canary" not in str(caught.value)
        assert peer.seen == []


async def test_a_proxy_that_hangs_is_not_waited_for_longer_than_a_peer(tmp_path: Path) -> None:
    async with running_proxy() as proxy:
        proxy.manner = "hang"
        with pytest.raises(PeerTimeout):
            await post("https://login.example/token", proxy=proxy.url, timeout=0.1)


async def test_a_proxy_that_is_down() -> None:
    async with running_proxy() as proxy:
        pass
    with pytest.raises(PeerUnreachable, match="no connection to the proxy"):
        await post("https://login.example/token", proxy=proxy.url)


@pytest.mark.threat("S49")
async def test_the_environments_proxies_never_count(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_proxy() as proxy, raw_peer(reply(200, {})) as peer:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert await post(peer.url) == 200
        assert proxy.heads == []


# --- a token that the peer asks for


def bearer(folder: Path, *origins: str) -> Bearer:
    """A token in a file."""
    (folder / "token").write_text(f"{SECRET}\n")
    return Bearer(file_secret(str(folder / "token"), bearer_token), frozenset(origins))


async def test_the_token_goes_to_its_origin_alone(tmp_path: Path) -> None:
    async with raw_peer(reply(200, {})) as ours, raw_peer(reply(200, {})) as other:
        client = PeerClient(timeout=2, max_in_flight=2, bearer=bearer(tmp_path, origin(ours.url)))
        await client.document(ours.url)
        await client.document(other.url)
        await client.close()
        assert ours.seen[0].value("authorization") == f"Bearer {SECRET}"
        assert other.seen[0].value("authorization") is None


@pytest.mark.threat("S47")
async def test_a_redirect_takes_the_token_nowhere(tmp_path: Path) -> None:
    async with raw_peer(reply(200, {})) as other:
        async with raw_peer(reply(302, {}, Location=other.url)) as ours:
            client = PeerClient(timeout=2, max_in_flight=2, bearer=bearer(tmp_path, origin(ours.url)))
            with pytest.raises(PeerError, match="redirect"):
                await client.document(ours.url)
            await client.close()
        assert other.seen == []


async def test_whoever_says_otherwise_who_we_are_is_believed(tmp_path: Path) -> None:
    async with raw_peer(reply(200, {})) as peer:
        client = PeerClient(timeout=2, max_in_flight=2, bearer=bearer(tmp_path, origin(peer.url)))
        await client.post_form(peer.url, [], {"Authorization": "Basic x"})
        await client.close()
        assert peer.seen[0].value("authorization") == "Basic x"


async def test_a_renewed_token_is_the_one_that_is_sent(tmp_path: Path) -> None:
    async with raw_peer(reply(200, {})) as peer:
        held = bearer(tmp_path, origin(peer.url))
        client = PeerClient(timeout=2, max_in_flight=2, bearer=held)
        (tmp_path / "token").write_text("another-token")
        held.token.reread()
        await client.document(peer.url)
        await client.close()
        assert peer.seen[0].value("authorization") == "Bearer another-token"
        assert search(repr((client, held)).encode(), SECRET, "another-token") == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/x?y", "https://a.example"),
        ("https://a.example:443/x", "https://a.example"),
        ("https://A.example:8443", "https://a.example:8443"),
        ("http://a.example:443/", "http://a.example:443"),
    ],
)
def test_an_origin(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize("text", [b"", b"two words", b"line\r\nX: y", "ü".encode()])
def test_what_is_no_bearer_token(text: bytes) -> None:
    with pytest.raises(ValueError, match="no bearer token"):
        bearer_token(text)
