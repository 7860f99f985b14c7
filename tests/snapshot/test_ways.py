"""Peers that are reached by a proxy, ask for a token before they tell their keys, or are described elsewhere."""

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.oauth.jwks import IssuerUnavailable
from sidecar.oauth.jwt import generate_key, jwk_set, sign
from sidecar.oauth.server import TokenReply
from sidecar.rotation import LOOK_EVERY
from tests.oauth.peers import Handler, Seen, raw_peer, reply
from tests.snapshot.conftest import Folder, place
from tests.snapshot.test_peers import HEALTH, closing, compiled
from tests.support.canary import Canary, search
from tests.support.certificates import Authority
from tests.support.proxy import running_proxy

ISSUER = "https://kubernetes.default.svc.cluster.local"
KEY = generate_key("ES256", "cluster-1")
TOKEN = Canary.fresh("service-account").text


def api_server(jwks_uri: Callable[[], str]) -> Handler:
    """A cluster's API server: it tells its metadata and keys to whoever shows a token."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.value("authorization") != f"Bearer {TOKEN}":
            writer.write(reply(401, {"kind": "Status"}))
        elif seen.target == "/.well-known/openid-configuration":
            writer.write(reply(200, {"issuer": ISSUER, "jwks_uri": jwks_uri()}))
        elif seen.target == "/openid/v1/jwks":
            writer.write(reply(200, jwk_set([KEY])))
        else:
            writer.write(reply(404, {}))
        await writer.drain()

    return answer


def context(folder: Path) -> ssl.SSLContext:
    return Authority(folder, "cluster-ca").issue("127.0.0.1").server_context()


def cluster(place: str) -> str:
    """A file that trusts the tokens of a cluster, told inside it where its issuer's documents are."""
    return f"""
version: 1
trusted_issuers:
  cluster:
    issuer: {ISSUER}
    audience: [orders]
    {place}
    tls: {{ca_file: cluster-ca.pem}}
    bearer_file: token
{HEALTH}"""


async def verified(folder: Folder, text: str) -> object:
    """The subject of a token of the cluster's, as its keys verify it."""
    folder.file("token", f"{TOKEN}\n")
    async with closing(folder, compiled(folder, text)) as peers:
        keys = peers.issuers["cluster"].keys
        assert keys is not None
        assert search(repr(peers).encode(), TOKEN) == []
        signed = await keys.verify(sign({"sub": "pod"}, KEY, "ES256", {"kid": "cluster-1"}), ["ES256"])
        return signed.claims["sub"]


async def test_a_clusters_own_issuer(folder: Folder) -> None:
    async with raw_peer(b"", tls=context(folder.path)) as peer:
        origin = f"https://127.0.0.1:{peer.port}"
        peer.answers = [api_server(lambda: f"{origin}/openid/v1/jwks")]
        assert await verified(folder, cluster(f"discovery_url: {origin}/.well-known/openid-configuration")) == "pod"
        assert [seen.target for seen in peer.seen] == ["/.well-known/openid-configuration", "/openid/v1/jwks"]


async def test_a_clusters_keys_by_their_address_alone(folder: Folder) -> None:
    async with raw_peer(api_server(str), tls=context(folder.path)) as peer:
        assert await verified(folder, cluster(f"jwks_uri: https://127.0.0.1:{peer.port}/openid/v1/jwks")) == "pod"


async def test_metadata_leads_the_token_nowhere_else(folder: Folder) -> None:
    """Keys may be at another origin; what is asked there is asked without our token."""
    tls = context(folder.path)
    async with raw_peer(b"", tls=tls) as peer, raw_peer(reply(200, jwk_set([KEY])), tls=tls) as other:
        peer.answers = [api_server(lambda: f"https://127.0.0.1:{other.port}/openid/v1/jwks")]
        place = f"discovery_url: https://127.0.0.1:{peer.port}/.well-known/openid-configuration"
        assert await verified(folder, cluster(place)) == "pod"
        assert [seen.value("authorization") for seen in other.seen] == [None]


async def test_without_a_token_there_are_no_keys(folder: Folder) -> None:
    async with raw_peer(api_server(str), tls=context(folder.path)) as peer:
        text = cluster(f"jwks_uri: https://127.0.0.1:{peer.port}/openid/v1/jwks").replace(
            "    bearer_file: token\n", ""
        )
        with pytest.raises(IssuerUnavailable, match="status is not 200"):
            await verified(folder, text)


async def test_a_renewed_token_is_presented(folder: Folder) -> None:
    async with raw_peer(api_server(str), tls=context(folder.path)) as peer:
        folder.file("token", "of-yesterday")
        text = cluster(f"jwks_uri: https://127.0.0.1:{peer.port}/openid/v1/jwks")
        async with closing(folder, compiled(folder, text)) as peers:
            keys = peers.issuers["cluster"].keys
            assert keys is not None
            with pytest.raises(IssuerUnavailable):
                await keys.keys()
            folder.file("token", TOKEN)
            for _ in range(2):  # a change is taken at the second look
                folder.time.advance(LOOK_EVERY)
                await folder.rotation.look()
            folder.time.advance(60)
            await keys.keys()


def introspecting(port: int, method: str) -> str:
    return f"""
version: 1
trusted_issuers:
  cluster:
    issuer: {ISSUER}
    audience: [orders]
    token_profile: opaque
    bearer_file: token
    introspection:
      endpoint: http://127.0.0.1:{port}/introspect
      client_auth: {{method: {method}, client_id: gateway}}
      max_age: 0s
{HEALTH}"""


async def test_introspection_may_ask_for_the_token_instead_of_client_authentication(folder: Folder) -> None:
    folder.file("token", TOKEN)
    async with raw_peer(reply(200, {"active": False})) as peer:
        async with closing(folder, compiled(folder, introspecting(peer.port, "none"))) as peers:
            introspection = peers.issuers["cluster"].introspection
            assert introspection is not None
            assert await introspection.introspect("opaque") is None
        assert peer.seen[0].value("authorization") == f"Bearer {TOKEN}"


async def test_nobody_authenticates_twice(folder: Folder) -> None:
    """RFC 6749 §2.3: no more than one method in a request."""
    folder.file("token", TOKEN)
    folder.file("secret", "x")
    async with raw_peer(reply(200, {"active": False})) as peer:
        text = introspecting(peer.port, "client_secret_post").replace(
            "client_id: gateway", "client_id: gateway, client_secret_file: secret"
        )
        async with closing(folder, compiled(folder, text)) as peers:
            introspection = peers.issuers["cluster"].introspection
            assert introspection is not None
            await introspection.introspect("opaque")
        assert peer.seen[0].value("authorization") is None


async def test_everything_for_a_server_goes_through_its_proxy_and_no_token_to_its_token_endpoint(
    folder: Folder,
) -> None:
    """Metadata inside, the issuer named as it is outside: what the metadata says is used as it says it."""
    folder.file("token", TOKEN)

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        documents = {
            "/metadata": {"issuer": ISSUER, "token_endpoint": f"{peer.url}", "jwks_uri": f"{origin}/keys"},
            "/keys": jwk_set([KEY]),
            "/token": {"access_token": "x", "token_type": "Bearer"},
        }
        writer.write(reply(200, documents[seen.target]))
        await writer.drain()

    async with running_proxy() as proxy, raw_peer(answer, tls=context(folder.path)) as peer:
        origin = f"https://127.0.0.1:{peer.port}"
        section = {
            "issuer": ISSUER,
            "discovery_url": f"{origin}/metadata",
            "client_auth": {"method": "none", "client_id": "gateway"},
            "bearer_file": "token",
            "proxy_url": proxy.url,
            "tls": {"ca_file": "cluster-ca.pem"},
        }
        text = json.dumps({"authorization_servers": {"corp": section}})[1:-1]
        async with closing(folder, compiled(folder, f"{{version: 1, {text}, routes: [{ROUTE}]}}")) as peers:
            assert isinstance(await peers.servers["corp"].token_request([("grant_type", "x")], b""), TokenReply)
            await peers.issued_keys[ISSUER].source.keys()
        sent = {seen.target: seen.value("authorization") for seen in peer.seen}
        assert sent == {"/metadata": f"Bearer {TOKEN}", "/keys": f"Bearer {TOKEN}", "/token": None}
        assert set(proxy.heads) == {f"CONNECT 127.0.0.1:{peer.port} HTTP/1.1"}
        assert len(proxy.heads) == peer.connections
        assert search(bytes(proxy.seen), TOKEN) == []


ROUTE = json.dumps(
    {
        "name": "health",
        "match": {"path": "/healthz"},
        "upstream": {"url": "http://127.0.0.1:9000"},
        "exchange": "none",
    }
)


@pytest.mark.parametrize("content", ["two words", "line\nline"])
def test_a_file_without_a_token(folder: Folder, content: str) -> None:
    folder.file("token", content)
    folder.file("cluster-ca.pem", Path(Authority(folder.path).ca_file).read_text())
    text = cluster("jwks_uri: https://127.0.0.1:1/keys")
    assert folder.complaints(text) == [
        place(text, "token\n", "trusted_issuers.cluster.bearer_file") + "token: no bearer token"
    ]
