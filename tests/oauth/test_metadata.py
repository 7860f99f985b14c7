"""Where a server says it is, and when it is not believed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.oauth.http import PeerClient
from sidecar.oauth.metadata import (
    MAX_AGE,
    MetadataError,
    MetadataSource,
    MetadataUnavailable,
    ServerMetadata,
    locations,
    read_metadata,
)
from tests.oauth.peers import Documents, raw_peer, reply, serve_documents
from tests.support.clock import FakeClock

RFC8414 = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
ISSUER = "https://login.example.com/realms/corp"


@pytest.fixture
async def client() -> AsyncIterator[PeerClient]:
    client = PeerClient(timeout=5, max_in_flight=2)
    yield client
    await client.close()


@pytest.fixture
async def served() -> AsyncIterator[Documents]:
    async with serve_documents({}) as served:
        yield served


# --- where


@pytest.mark.parametrize(
    ("issuer", "places"),
    [
        ("https://a.example", [f"https://a.example{RFC8414}", f"https://a.example{OPENID}"]),
        ("https://a.example/", [f"https://a.example{RFC8414}", f"https://a.example{OPENID}"]),
        (
            "https://a.example:8443/realms/corp/",
            [
                f"https://a.example:8443{RFC8414}/realms/corp",
                f"https://a.example:8443{OPENID}/realms/corp",
                f"https://a.example:8443/realms/corp{OPENID}",
            ],
        ),
    ],
)
def test_where_an_issuer_publishes(issuer: str, places: list[str]) -> None:
    assert list(locations(issuer)) == places


@pytest.mark.parametrize("place", [f"{RFC8414}/realms/corp", f"{OPENID}/realms/corp", f"/realms/corp{OPENID}"])
async def test_each_place_is_tried(served: Documents, client: PeerClient, place: str) -> None:
    issuer = f"{served.origin}/realms/corp"
    served.documents[place] = {"issuer": issuer, "token_endpoint": f"{served.origin}/token", "other": [1]}
    source = MetadataSource(client, issuer=issuer)
    assert await source.metadata() == ServerMetadata(issuer, f"{served.origin}/token", None)


async def test_a_document_of_another_issuer_does_not_end_the_search(served: Documents, client: PeerClient) -> None:
    issuer = f"{served.origin}/realms/corp"
    served.documents[f"{RFC8414}/realms/corp"] = {"issuer": served.origin, "jwks_uri": f"{served.origin}/wrong"}
    served.documents[f"/realms/corp{OPENID}"] = {"issuer": issuer, "jwks_uri": f"{served.origin}/right"}
    assert (await MetadataSource(client, issuer=issuer).metadata()).jwks_uri == f"{served.origin}/right"


async def test_an_explicit_place_is_the_only_one(served: Documents, client: PeerClient) -> None:
    served.documents["/inside"] = {"issuer": ISSUER, "jwks_uri": f"{served.origin}/keys"}
    source = MetadataSource(client, issuer=ISSUER, discovery_url=f"{served.origin}/inside")
    assert (await source.metadata()).issuer == ISSUER
    assert served.counts == {"/inside": 1}
    stranger = MetadataSource(client, issuer=ISSUER + "/", discovery_url=f"{served.origin}/inside")
    with pytest.raises(MetadataUnavailable, match="another issuer"):
        await stranger.metadata()


async def test_an_explicit_place_alone_says_who_it_is(served: Documents, client: PeerClient) -> None:
    served.documents["/inside"] = {"issuer": ISSUER}
    source = MetadataSource(client, issuer=None, discovery_url=f"{served.origin}/inside")
    assert (await source.metadata()).issuer == ISSUER


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        (None, None),
        ("not-a-url", None),
        ("https://a.example/#x", None),
        ("https://a.example/?x", None),
        (ISSUER, "ftp://a.example"),
        (ISSUER, ""),
    ],
)
def test_settings_that_can_not_work(client: PeerClient, issuer: str | None, url: str | None) -> None:
    with pytest.raises(ValueError, match="metadata"):
        MetadataSource(client, issuer=issuer, discovery_url=url)


# --- what


GOOD = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token?x=1", "jwks_uri": f"{ISSUER}/keys"}


def test_a_good_document() -> None:
    assert read_metadata(GOOD, ISSUER, f"{ISSUER}{OPENID}") == ServerMetadata(
        ISSUER, f"{ISSUER}/token?x=1", f"{ISSUER}/keys"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": ISSUER + "/"},
        {"issuer": ISSUER.upper()},
        {"issuer": ISSUER.replace("https", "http")},
        {"issuer": "https://login.example.com:443/realms/corp"},
        {"issuer": [ISSUER]},
        {"issuer": ""},
        {"issuer": None},
        {"token_endpoint": "/token"},
        {"token_endpoint": ["https://a.example/token"]},
        {"token_endpoint": "https://user:secret@a.example/token"},
        {"token_endpoint": "https://a.example/token#x"},
        {"token_endpoint": "http://login.example.com/token"},
        {"jwks_uri": "http://login.example.com/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 1},
    ],
)
def test_a_document_that_is_not_used(change: dict[str, object]) -> None:
    with pytest.raises(MetadataError):
        read_metadata(GOOD | change, ISSUER, f"{ISSUER}{OPENID}")


def test_where_certificates_are_asked_for() -> None:
    where = f"{ISSUER}{OPENID}"
    assert read_metadata(GOOD, ISSUER, where).mtls_token_endpoint is None
    aliases = {"token_endpoint": "https://mtls.example/token", "revocation_endpoint": 7}
    found = read_metadata(GOOD | {"mtls_endpoint_aliases": aliases}, ISSUER, where)
    assert found.mtls_token_endpoint == "https://mtls.example/token"
    assert read_metadata(GOOD | {"mtls_endpoint_aliases": {}}, ISSUER, where).mtls_token_endpoint is None
    assert read_metadata(GOOD | {"mtls_endpoint_aliases": None}, ISSUER, where).mtls_token_endpoint is None
    wrongs: list[object] = [[], "x", {"token_endpoint": 7}, {"token_endpoint": "http://mtls.example/token"}]
    for wrong in wrongs:
        with pytest.raises(MetadataError):
            read_metadata(GOOD | {"mtls_endpoint_aliases": wrong}, ISSUER, where)


@pytest.mark.parametrize("member", ["token_endpoint", "jwks_uri", "introspection_endpoint"])
@pytest.mark.threat("S26")
def test_plain_http_stays_on_this_machine_unless_it_may_leave(member: str) -> None:
    where = "http://127.0.0.1/inside"
    for url in ("http://localhost:1/x", "http://127.0.0.2/x", "http://[::1]/x", "https://keys.example/x"):
        assert getattr(read_metadata(GOOD | {member: url}, ISSUER, where), member) == url
    for url in ("http://keys.example/x", "http://10.0.0.1/x", "http://localhost.example/x", "http://[::2]/x"):
        with pytest.raises(MetadataError, match=f"{member} leads to plain http on another machine"):
            read_metadata(GOOD | {member: url}, ISSUER, where)
        assert getattr(read_metadata(GOOD | {member: url}, ISSUER, where, plain_http=True), member) == url
        with pytest.raises(MetadataError, match="from https to plain http"):
            read_metadata(GOOD | {member: url}, ISSUER, ISSUER, plain_http=True)


def test_a_document_without_issuer_is_never_used() -> None:
    with pytest.raises(MetadataError):
        read_metadata({}, None, ISSUER)


# --- when


async def test_it_is_read_once_for_all_and_again_in_the_background(served: Documents, client: PeerClient) -> None:
    fake = FakeClock()
    path = f"{RFC8414}"
    served.documents[path] = {"issuer": served.origin, "jwks_uri": f"{served.origin}/one"}
    source = MetadataSource(client, issuer=served.origin, clock=fake.clock)
    served.hold.clear()
    waiting = [asyncio.create_task(source.metadata()) for _ in range(20)]
    await asyncio.sleep(0.02)
    waiting[0].cancel()
    served.hold.set()
    found = await asyncio.gather(*waiting[1:])
    assert {metadata.jwks_uri for metadata in found} == {f"{served.origin}/one"}
    assert served.counts[path] == 1
    fake.advance(MAX_AGE - 1)
    await source.metadata()
    assert served.counts[path] == 1
    served.documents[path] = {"issuer": served.origin, "jwks_uri": f"{served.origin}/two"}
    served.hold.clear()
    fake.advance(1)
    assert (await source.metadata()).jwks_uri == f"{served.origin}/one"  # at once
    served.hold.set()
    await source._flight.join()
    assert (await source.metadata()).jwks_uri == f"{served.origin}/two"
    assert served.counts[path] == 2


async def test_the_last_good_one_outlives_failures(served: Documents, client: PeerClient) -> None:
    fake = FakeClock()
    served.documents[RFC8414] = {"issuer": served.origin, "jwks_uri": f"{served.origin}/one"}
    source = MetadataSource(client, issuer=served.origin, clock=fake.clock)
    await source.metadata()
    served.documents[RFC8414] = {"issuer": "https://somebody.example"}
    for _ in range(3):
        fake.advance(MAX_AGE)
        assert (await source.metadata()).jwks_uri == f"{served.origin}/one"
        await source._flight.join()


async def test_failures_are_not_repeated_at_once(served: Documents, client: PeerClient) -> None:
    fake = FakeClock()
    source = MetadataSource(client, issuer=served.origin, clock=fake.clock)
    for _ in range(5):
        with pytest.raises(MetadataUnavailable, match="metadata: the reply's ") as caught:
            await source.metadata()
    assert caught.value.retry_after == 1
    assert served.counts == {RFC8414: 1, OPENID: 1}
    served.documents[OPENID] = {"issuer": served.origin}
    fake.advance(1)
    assert (await source.metadata()).issuer == served.origin


async def test_nobody_there_ends_the_search(client: PeerClient) -> None:
    async with raw_peer(b"") as peer:
        source = MetadataSource(client, issuer=f"http://127.0.0.1:{peer.port}/realms/corp")
        with pytest.raises(MetadataUnavailable, match="metadata: the connection was closed"):
            await source.metadata()
        assert {seen.target for seen in peer.seen} == {f"{RFC8414}/realms/corp"}


async def test_closing_gives_up_a_fetch(served: Documents, client: PeerClient) -> None:
    served.hold.clear()
    source = MetadataSource(client, issuer=served.origin)
    waiting = asyncio.create_task(source.metadata())
    await asyncio.sleep(0.02)
    await source.close()
    with pytest.raises(MetadataUnavailable, match="not read yet"):
        await waiting


@pytest.mark.threat("S47")
async def test_a_redirect_is_not_followed(client: PeerClient) -> None:
    async with raw_peer(reply(302, {}, Location="/elsewhere")) as peer:
        source = MetadataSource(client, issuer=f"http://127.0.0.1:{peer.port}")
        with pytest.raises(MetadataUnavailable, match="redirect"):
            await source.metadata()
        assert "/elsewhere" not in {seen.target for seen in peer.seen}


# --- looks


async def test_a_look_reads_it_again_however_fresh_it_is(served: Documents, client: PeerClient) -> None:
    served.documents[RFC8414] = {"issuer": served.origin}
    source = MetadataSource(client, issuer=served.origin, clock=FakeClock().clock)
    assert await source.look()
    await source.metadata()
    assert await source.look()
    assert served.counts[RFC8414] == 2
    served.status = 404
    assert not await source.look()
    assert (await source.metadata()).issuer == served.origin  # the last good one


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_asks_to_be_left_alone_is(client: PeerClient, status: int) -> None:
    fake = FakeClock()
    async with raw_peer(reply(status, b"", Retry_After="20")) as peer:
        source = MetadataSource(client, issuer=f"http://127.0.0.1:{peer.port}", clock=fake.clock)
        with pytest.raises(MetadataUnavailable) as caught:
            await source.metadata()
        assert caught.value.retry_after == 20
        fake.advance(19.9)
        assert not await source.look()
        assert len(peer.seen) == 1  # not one of its other places either
        fake.advance(0.1)
        await source.look()
        assert len(peer.seen) == 2


async def test_a_document_that_is_not_there_asks_for_nothing(client: PeerClient) -> None:
    fake = FakeClock()
    async with raw_peer(reply(404, b"", Retry_After="20")) as peer:
        source = MetadataSource(client, issuer=f"http://127.0.0.1:{peer.port}", clock=fake.clock)
        assert not await source.look()
        assert len(peer.seen) == 2
        fake.advance(1)
        await source.look()
        assert len(peer.seen) == 4
