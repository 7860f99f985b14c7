"""Keys that rotate, vanish, or were never there; and what a flood of unknown ones can do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import Key

from sidecar.oauth import jwt
from sidecar.oauth.http import PeerClient
from sidecar.oauth.jwks import (
    LOOK_FIRST,
    UNKNOWN_KEY_EVERY,
    FileKeys,
    IssuerUnavailable,
    KeySource,
    KeysUnavailable,
    PublishedKeys,
)
from sidecar.oauth.jwt import JWTError, UnknownKeyError
from sidecar.oauth.metadata import MetadataSource
from tests.oauth.peers import Documents, raw_peer, reply, serve_documents
from tests.support.clock import FakeClock

ALGORITHMS = ("ES256",)
STALE = 24 * 3600.0
KEYS = {kid: jwt.generate_key("ES256", kid) for kid in ("one", "two", "three")}


def published(*kids: str) -> dict[str, Any]:
    return jwt.jwk_set([KEYS[kid] for kid in kids])


def token(kid: str, key: Key | None = None) -> str:
    return jwt.sign({"sub": "alice"}, key or KEYS[kid], "ES256", {"kid": kid})


class Shelf:
    """A set as a test wants it: a document, or a failure. Held, it lets nobody have it."""

    def __init__(self, document: Any, max_age: float = 300.0) -> None:
        self.document = document
        self.max_age = max_age
        self.reads = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def read(self) -> Any:
        self.reads += 1
        await asyncio.wait_for(self.hold.wait(), 5)
        if self.document is None:
            raise KeysUnavailable("keys: nobody there")
        return self.document


class Issuer:
    """A KeySource on a shelf, with a clock and a record of outcomes."""

    def __init__(self, *kids: str, keys_stale: float = STALE) -> None:
        self.shelf = Shelf(published(*kids) if kids else None)
        self.time = FakeClock()
        self.outcomes: list[str] = []
        self.source = KeySource(self.shelf, keys_stale=keys_stale, clock=self.time.clock, observed=self.outcomes.append)

    async def accepts(self, kid: str) -> bool:
        """Whether a good token by this key is accepted now; unknown keys are the only reason why not."""
        try:
            return (await self.source.verify(token(kid), ALGORITHMS)).claims == {"sub": "alice"}
        except UnknownKeyError:
            return False

    async def settle(self) -> None:
        """Let a look under way come to its end."""
        await self.source._flight.join()


# --- the ordinary life of keys


async def test_keys_are_read_on_first_use_once_for_all() -> None:
    issuer = Issuer("one")
    assert (issuer.source.generation, issuer.source.available, issuer.shelf.reads) == (0, False, 0)
    issuer.shelf.hold.clear()
    waiting = [asyncio.create_task(issuer.source.verify(token("one"), ALGORITHMS)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in waiting[:25]:
        task.cancel()
    await asyncio.sleep(0)
    issuer.shelf.hold.set()
    assert len(await asyncio.gather(*waiting[25:])) == 25
    assert (issuer.source.generation, issuer.source.available, issuer.shelf.reads) == (1, True, 1)
    assert issuer.outcomes == ["success"]


async def test_how_old_keys_are_and_how_long_they_serve() -> None:
    issuer = Issuer("one")
    assert (issuer.source.age, issuer.source.serve) == (None, None)
    await issuer.source.keys()
    assert (issuer.source.age, issuer.source.serve) == (0, STALE)
    issuer.time.advance(100)
    assert (issuer.source.age, issuer.source.serve) == (100, STALE - 100)
    issuer.time.advance(STALE)
    assert issuer.source.serve == 0
    issuer.shelf.document = None
    issuer.source.use()
    await issuer.settle()
    assert [issuer.source.age, issuer.source.serve] == [None, None]


async def test_fresh_keys_are_there_without_waiting() -> None:
    issuer = Issuer("one")
    await issuer.source.keys()
    with pytest.raises(StopIteration) as ended:  # not one suspension
        issuer.source.keys().send(None)
    assert len(ended.value.value) == 1


async def test_they_are_read_again_in_the_background() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    issuer.time.advance(0.89 * 300)
    assert await issuer.accepts("one")
    assert issuer.shelf.reads == 1
    issuer.shelf.hold.clear()
    issuer.time.advance(0.22 * 300)
    assert await issuer.accepts("one")  # at once, by the old keys
    issuer.shelf.hold.set()
    await issuer.settle()
    assert (issuer.shelf.reads, issuer.source.generation) == (2, 1)  # the same keys


async def test_a_key_that_is_gone_is_dead_as_soon_as_the_set_was_read() -> None:
    issuer = Issuer("one", "two")
    assert await issuer.accepts("one")
    issuer.shelf.document = published("two")
    issuer.time.advance(330)
    generation = issuer.source.use()
    await issuer.settle()
    assert issuer.source.use() == generation + 1  # who remembers a verified token must ask again
    assert not await issuer.accepts("one")
    assert await issuer.accepts("two")


async def test_after_a_long_silence_nobody_is_let_in_by_an_old_set() -> None:
    issuer = Issuer("one", "two")
    assert await issuer.accepts("one")
    issuer.shelf.document = published("two")
    issuer.time.advance(3600)
    assert not await issuer.accepts("one")


async def test_memories_of_verified_tokens_keep_the_keys_fresh() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    issuer.shelf.document = published("two")
    issuer.time.advance(330)
    issuer.source.use()  # nobody verifies anything
    await issuer.settle()
    assert issuer.source.generation == 2


async def test_after_a_long_silence_no_memory_is_to_be_used_before_a_look() -> None:
    issuer = Issuer("one", "two")
    assert issuer.source.use() == LOOK_FIRST  # nothing was ever read
    assert await issuer.accepts("one")
    issuer.shelf.document = published("two")
    issuer.time.advance(2 * 300 - 1)
    generation = issuer.source.use()  # a look begins, and is not waited for
    assert generation != LOOK_FIRST
    await issuer.settle()
    issuer.time.advance(2 * 300)
    assert issuer.source.use() == LOOK_FIRST
    await issuer.settle()
    assert issuer.source.use() == generation + 1
    assert not await issuer.accepts("one")


async def test_a_look_that_failed_after_a_long_silence_leaves_memories_as_they_were() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    issuer.shelf.document = None
    for _ in range(3):
        issuer.time.advance(2 * 300)
        assert issuer.source.use() == LOOK_FIRST
        await issuer.settle()
        assert issuer.source.use() == 1  # the last good keys serve on
    assert issuer.shelf.reads == 4


# --- unknown keys


async def test_a_new_key_is_looked_for_at_once() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    issuer.shelf.document = published("one", "two")
    assert await issuer.accepts("two")
    assert issuer.shelf.reads == 2


@pytest.mark.threat("S58")
async def test_a_flood_of_unknown_keys_is_one_look_in_thirty_seconds() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    stranger = jwt.generate_key("ES256", "x")
    for second in range(61):
        tokens = [token(f"kid-{second}-{index}", stranger) for index in range(5)]
        results = await asyncio.gather(
            *(issuer.source.verify(text, ALGORITHMS) for text in tokens), return_exceptions=True
        )
        assert {type(result) for result in results} == {UnknownKeyError}
        issuer.time.advance(1)
    assert issuer.shelf.reads == 1 + 3  # the first, then at 0 s, 30 s and 60 s


async def test_a_new_key_works_within_thirty_seconds_of_a_flood() -> None:
    issuer = Issuer("one")
    assert not await issuer.accepts("two")
    issuer.shelf.document = published("one", "two")
    assert not await issuer.accepts("two")
    issuer.time.advance(UNKNOWN_KEY_EVERY)
    assert await issuer.accepts("two")


async def test_many_tokens_by_a_new_key_wait_for_the_same_look() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    issuer.shelf.document = published("one", "two")
    issuer.shelf.hold.clear()
    waiting = [asyncio.create_task(issuer.accepts("two")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    issuer.shelf.hold.set()
    assert await asyncio.gather(*waiting[1:]) == [True] * 19
    assert issuer.shelf.reads == 2


async def test_a_new_key_works_as_soon_as_a_failure_is_over() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    issuer.shelf.document = None
    issuer.time.advance(330)
    issuer.source.use()
    await issuer.settle()
    assert not await issuer.accepts("two")
    issuer.shelf.document = published("two")
    issuer.time.advance(1)
    assert await issuer.accepts("two")


async def test_a_token_that_is_wrong_otherwise_causes_no_look() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    for wrong in ("", "a.b.c", token("one", KEYS["two"]), jwt.sign({}, jwt.generate_key("ES384", "x"), "ES384")):
        with pytest.raises(JWTError):
            await issuer.source.verify(wrong, ALGORITHMS)
    assert issuer.shelf.reads == 1


# --- looks that nobody needs yet


async def test_a_look_reads_the_set_however_fresh_it_is() -> None:
    issuer = Issuer("one")
    assert await issuer.source.look()
    assert issuer.source.available
    issuer.shelf.document = published("two")
    assert await issuer.source.look()
    assert not await issuer.accepts("one")  # gone from the set: dead, without waiting for its age
    assert await issuer.accepts("two")
    issuer.shelf.document = None
    assert not await issuer.source.look()
    assert await issuer.accepts("two")
    assert (issuer.outcomes[-1], issuer.source.available) == ("failure", False)


async def test_looks_keep_the_keys_of_a_silent_issuer_fresh() -> None:
    issuer = Issuer("one")
    for _ in range(100):
        await issuer.source.look()
        issuer.time.advance(30)
    reads = issuer.shelf.reads
    generation = issuer.source.use()
    assert generation == 1  # no wait for the first user after an hour
    assert issuer.shelf.reads == reads


async def test_who_asks_while_somebody_looks_waits_for_the_same_look() -> None:
    issuer = Issuer("one")
    issuer.shelf.hold.clear()
    look = asyncio.create_task(issuer.source.look())
    user = asyncio.create_task(issuer.accepts("one"))
    await asyncio.sleep(0)
    issuer.shelf.hold.set()
    assert (await look, await user, issuer.shelf.reads) == (True, True, 1)


async def test_a_flood_of_unknown_keys_and_looks_are_each_bounded() -> None:
    """Ten looks in five minutes, and as many because of unknown keys, whatever comes."""
    issuer = Issuer("one")
    stranger = jwt.generate_key("ES256", "x")
    for second in range(300):
        if second % 30 == 0:
            await issuer.source.look()
        for index in range(3):
            with pytest.raises(UnknownKeyError):
                await issuer.source.verify(token(f"kid-{second}-{index}", stranger), ALGORITHMS)
        issuer.time.advance(1)
    assert issuer.shelf.reads <= 20


@pytest.mark.parametrize("status", [429, 503])
async def test_who_has_the_keys_may_ask_to_be_left_alone(client: PeerClient, status: int) -> None:
    fake = FakeClock()
    async with raw_peer(reply(status, b"", Retry_After="20")) as peer:
        keys = PublishedKeys(client, f"http://127.0.0.1:{peer.port}/keys")
        source = KeySource(keys, keys_stale=STALE, clock=fake.clock)
        with pytest.raises(IssuerUnavailable) as caught:
            await source.keys()
        assert caught.value.retry_after == 20
        fake.advance(19.9)
        assert not await source.look()
        assert len(peer.seen) == 1
        fake.advance(0.1)
        peer.answers[:] = [reply(200, published("one"))]
        assert await source.look()


@pytest.mark.parametrize("kids", [("one", "one"), ("one", "two", "one")])
async def test_a_key_that_is_twice_in_the_set_is_one(kids: tuple[str, ...]) -> None:
    issuer = Issuer(*kids)
    assert await issuer.accepts("one")


# --- failures


@pytest.mark.parametrize(
    "broken",
    [None, [], {}, {"keys": []}, {"keys": None}, {"keys": [{"kty": "oct", "k": "AAAA"}]}, {"keys": ["x"]}, "keys"],
)
@pytest.mark.threat("S58")
async def test_a_set_that_is_no_set_takes_no_keys_away(broken: Any) -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    issuer.shelf.document = broken
    for _ in range(10):
        issuer.time.advance(3600)
        assert await issuer.accepts("one")
        await issuer.settle()
    assert not issuer.source.available
    assert issuer.outcomes == ["success"] + ["failure"] * 10
    issuer.shelf.document = published("two")
    issuer.time.advance(3600)
    assert await issuer.accepts("two")
    assert not await issuer.accepts("one")
    assert issuer.source.available


async def test_keys_that_are_too_old_are_forgotten() -> None:
    issuer = Issuer("one", keys_stale=7200)
    assert await issuer.accepts("one")
    issuer.shelf.document = None
    issuer.time.advance(7199)
    assert await issuer.accepts("one")
    issuer.time.advance(1)
    before = issuer.source.generation
    with pytest.raises(IssuerUnavailable, match="nobody there"):
        await issuer.source.keys()
    assert issuer.source.generation == before + 1
    issuer.shelf.document = published("one")
    issuer.time.advance(30)
    assert await issuer.accepts("one")


async def test_an_issuer_that_was_never_reached() -> None:
    issuer = Issuer()
    for _ in range(3):
        with pytest.raises(IssuerUnavailable, match="nobody there") as caught:
            await issuer.source.verify(token("one"), ALGORITHMS)
        assert caught.value.retry_after == 1
    assert issuer.shelf.reads == 1
    issuer.shelf.document = published("one")
    issuer.time.advance(1)
    assert await issuer.accepts("one")


async def test_an_issuer_that_is_down_holds_nobody_up() -> None:
    issuer = Issuer("one")
    assert await issuer.accepts("one")
    issuer.shelf.document = None
    issuer.shelf.hold.clear()
    issuer.time.advance(330)
    assert await asyncio.wait_for(issuer.accepts("one"), 1)  # the look hangs, the request does not
    issuer.shelf.hold.set()
    await issuer.settle()
    for _ in range(40):  # an outage: looks go on, and so do requests
        issuer.time.advance(30)
        issuer.shelf.hold.clear()
        assert await asyncio.wait_for(issuer.accepts("one"), 1)
        issuer.shelf.hold.set()
        await issuer.settle()
    assert issuer.shelf.reads >= 40


async def test_nobody_needs_to_watch() -> None:
    shelf = Shelf(published("one"))
    source = KeySource(shelf, keys_stale=STALE)
    assert len(await source.keys()) == 1
    shelf.hold.clear()
    unknown = asyncio.create_task(source.verify(token("two"), ALGORITHMS))
    await asyncio.sleep(0)
    await source.close()
    with pytest.raises(UnknownKeyError):
        await unknown


# --- where keys are


@pytest.fixture
async def client() -> AsyncIterator[PeerClient]:
    client = PeerClient(timeout=5, max_in_flight=2)
    yield client
    await client.close()


@pytest.fixture
async def served() -> AsyncIterator[Documents]:
    async with serve_documents({}) as served:
        served.documents["/.well-known/openid-configuration"] = {
            "issuer": served.origin,
            "jwks_uri": f"{served.origin}/keys",
        }
        served.documents["/keys"] = published("one")
        yield served


def by_uri(served: Documents, client: PeerClient) -> PublishedKeys:
    return PublishedKeys(client, f"{served.origin}/keys")


def by_metadata(served: Documents, client: PeerClient) -> PublishedKeys:
    return PublishedKeys(client, MetadataSource(client, issuer=served.origin))


@pytest.mark.parametrize("location", [by_uri, by_metadata])
async def test_published_keys(
    served: Documents, client: PeerClient, location: Callable[[Documents, PeerClient], PublishedKeys]
) -> None:
    source = KeySource(location(served, client), keys_stale=STALE)
    assert (await source.verify(token("one"), ALGORITHMS)).header["kid"] == "one"
    served.documents["/keys"] = published("two")
    assert (await source.verify(token("two"), ALGORITHMS)).header["kid"] == "two"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"/.well-known/openid-configuration": {"issuer": "https://other.example"}}, "metadata: .* another issuer"),
        ({"/keys": []}, "keys: the reply is not a JSON object"),
        ({"/keys": {"keys": []}}, "keys: the set has no key"),
        ({"/keys": {}}, "not a JWK Set"),
    ],
)
async def test_why_published_keys_can_not_be_had(
    served: Documents, client: PeerClient, change: dict[str, object], reason: str
) -> None:
    served.documents |= change
    with pytest.raises(IssuerUnavailable, match=reason):
        await KeySource(by_metadata(served, client), keys_stale=STALE).keys()


async def test_metadata_without_keys(served: Documents, client: PeerClient) -> None:
    served.documents["/.well-known/openid-configuration"] = {"issuer": served.origin}
    with pytest.raises(IssuerUnavailable, match="metadata: no jwks_uri"):
        await KeySource(by_metadata(served, client), keys_stale=STALE).keys()


@pytest.mark.threat("S26")
async def test_what_a_token_names_is_never_asked(served: Documents, client: PeerClient) -> None:
    source = KeySource(by_uri(served, client), keys_stale=STALE)
    hostile = jwt.sign(
        {"iss": f"{served.origin}/iss"},
        KEYS["two"],
        "ES256",
        {"kid": f"{served.origin}/kid", "jku": f"{served.origin}/jku", "x5u": f"{served.origin}/x5u"},
    )
    with pytest.raises(UnknownKeyError):
        await source.verify(hostile, ALGORITHMS)
    assert served.counts == {"/keys": 2}


async def test_keys_in_a_file(tmp_path: Path) -> None:
    path, fake = tmp_path / "jwks.json", FakeClock()
    path.write_text(json.dumps(published("one")))
    source = KeySource(FileKeys(str(path)), keys_stale=10.0, clock=fake.clock)
    assert (await source.verify(token("one"), ALGORITHMS)).header["kid"] == "one"
    path.write_text(json.dumps(published("two")))
    assert (await source.verify(token("two"), ALGORITHMS)).header["kid"] == "two"  # looked for, not waited for
    path.write_text(json.dumps(published("three")))
    fake.advance(2.2)
    assert (await source.verify(token("three"), ALGORITHMS)).header["kid"] == "three"
    generation = source.generation
    for broken in (b"{", b"[" * 100_000, b""):
        path.write_bytes(broken)
        fake.advance(2.2)
        await source.keys()
        assert not source.available
    path.unlink()
    fake.advance(10)
    with pytest.raises(IssuerUnavailable, match=r"jwks\.json"):
        await source.keys()
    assert source.generation == generation + 1
