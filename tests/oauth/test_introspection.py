"""What a server says of a token: what of it is believed, for which token, and for how long."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.tokens import ACCESS_TOKEN, TOKEN_TYPES
from sidecar.oauth.client_auth import TokenEndpoint
from sidecar.oauth.client_auth.simple import ClientSecretBasic
from sidecar.oauth.http import PeerClient
from sidecar.oauth.introspection import INACTIVE_MAX_AGE, REMEMBERED_INACTIVE, Introspection, IntrospectionUnavailable
from sidecar.oauth.secrets import env_secret
from sidecar.oauth.server import AuthorizationServer, TokenReply
from tests.support.canary import Canary, search
from tests.support.clock import FakeClock
from tests.support.scripted import Asked, ScriptedServer, refused, replied, scripted_server

CANARY = Canary.fresh("subject-token")
BOUND = 10.0
ACTIVE: dict[str, Any] = {"active": True, "sub": "alice"}


class Desk:
    """An introspection over a real socket, with a clock that stands still and a list of what was observed."""

    def __init__(self, scripted: ScriptedServer, **settings: Any) -> None:
        self.scripted = scripted
        self.time = FakeClock()
        self.observed: list[str] = []
        self.client = PeerClient(timeout=2, max_in_flight=50, clock=self.time.clock)
        server = AuthorizationServer(
            "corp",
            endpoint=TokenEndpoint(f"http://127.0.0.1:{scripted.port}/introspect"),
            member="introspection_endpoint",
            client=self.client,
            client_auth=ClientSecretBasic("gateway", env_secret("S", bytes, {"S": "secret"})),
            timeout=settings.pop("timeout", 2.0),
            max_in_flight=settings.pop("max_in_flight", 50),
            clock=self.time.clock,
        )
        self.introspection = Introspection(
            server,
            **{"token_type": ACCESS_TOKEN, "max_age": 30.0, **settings},
            clock=self.time.clock,
            observed=self.observed.append,
        )

    async def ask(self, token: str = CANARY.text) -> Any:
        async with asyncio.timeout(BOUND):
            return await self.introspection.introspect(token)

    async def failure(self, token: str = CANARY.text) -> IntrospectionUnavailable:
        with pytest.raises(IntrospectionUnavailable) as caught:
            await self.ask(token)
        assert not search(repr((caught.value, caught.value.reason)).encode(), CANARY)
        return caught.value


@asynccontextmanager
async def desk(reply: Any = None, **settings: Any) -> AsyncIterator[Desk]:
    async with scripted_server() as scripted:
        scripted.reply = reply if reply is not None else replied(ACTIVE)
        made = Desk(scripted, **settings)
        try:
            yield made
        finally:
            await made.introspection.close()
            await made.client.close()


async def test_the_question_and_the_answer() -> None:
    async with desk(replied({**ACTIVE, "scope": "read", "aud": "gateway"})) as it:
        assert await it.ask() == {"active": True, "sub": "alice", "scope": "read", "aud": "gateway"}
        [asked] = it.scripted.asked
        assert asked.head.startswith(b"POST /introspect HTTP/1.1\r\n")
        assert b"Authorization: Basic " in asked.head
        assert asked.form == {"token": CANARY.text, "token_type_hint": "access_token"}
        assert it.observed == ["success"]


async def test_a_type_that_no_registry_knows_has_no_hint() -> None:
    async with desk(token_type=TOKEN_TYPES["saml2"]) as it:
        await it.ask()
        assert it.scripted.asked[0].form == {"token": CANARY.text}


async def test_a_token_that_is_not_active() -> None:
    async with desk(replied({"active": False, "sub": "alice"})) as it:
        assert await it.ask() is None
        assert await it.ask() is None
        assert len(it.scripted.asked) == 1
        it.time.advance(INACTIVE_MAX_AGE)
        it.scripted.reply = replied(ACTIVE)
        assert await it.ask() == ACTIVE
        it.time.advance(INACTIVE_MAX_AGE)
        assert await it.ask() == ACTIVE
        assert len(it.scripted.asked) == 2


def cut(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n" + body


#: Answers that say nothing, however much some of them look like yes.
HOSTILE = {
    "a page": replied(b"<html>active: true</html>", content_type=b"text/html"),
    "JSON as text": replied(ACTIVE, content_type=b"text/plain"),
    "active as text": replied({**ACTIVE, "active": "true"}),
    "active as a number": replied({**ACTIVE, "active": 1}),
    "active as nothing": replied({**ACTIVE, "active": None}),
    "active in a list": replied({**ACTIVE, "active": [True]}),
    "no active": replied({"sub": "alice"}),
    "active twice": replied(b'{"active": false, "active": true}'),
    "a list": replied([ACTIVE]),
    "only true": replied(b"true"),
    "nothing": replied(b""),
    "cut": cut(b'{"active": true'),
    "half of it": replied(b'{"active": true, "sub": '),
    "no number": replied(b'{"active": true, "exp": NaN}'),
    "exp as text": replied({**ACTIVE, "exp": "4102444800"}),
    "exp out of all bounds": replied({**ACTIVE, "exp": 10**30}),
    "huge": replied({**ACTIVE, "x": "y" * 70_000}),
    "deep": replied(b'{"active": true, "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "an error in a success": replied({**ACTIVE, "error": "invalid_client"}),
    "a redirect": replied(ACTIVE, b"Location: http://127.0.0.1:1/", status=b"302 Found"),
    "another success": replied(ACTIVE, status=b"201 Created"),
    "no content": replied(b"", status=b"204 No Content"),
    "our credentials are bad": refused("invalid_client", status=b"401 Unauthorized"),
    "not allowed": replied(ACTIVE, status=b"403 Forbidden"),
    "it failed": replied(ACTIVE, status=b"500 Internal Server Error"),
    "it is away": replied(ACTIVE, b"Retry-After: 7", status=b"503 Service Unavailable"),
    "too often": replied(ACTIVE, status=b"429 Too Many Requests"),
    "no HTTP": b"none\r\n\r\n",
    "nobody": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_an_answer_that_says_nothing(name: str) -> None:
    async with desk(HOSTILE[name]) as it:
        it.scripted.closing = name in ("cut", "no HTTP")
        failure = await it.failure()
        assert failure.reason.startswith("introspection: ")
        assert failure.retry_after >= 1
        assert it.observed == ["failure"]
        it.time.advance(60)  # whatever pause it asked for is over
        it.scripted.reply, it.scripted.closing = replied(ACTIVE), False
        assert await it.ask() == ACTIVE  # and nothing of it was remembered


async def test_how_long_to_wait_is_told() -> None:
    async with desk(HOSTILE["it is away"]) as it:
        assert (await it.failure()).retry_after == 7


async def test_an_answer_that_does_not_come() -> None:
    async def silent(_: Asked) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with desk(silent, timeout=0.05) as it:
        assert "in time" in (await it.failure()).reason


async def test_as_many_questions_as_may_be() -> None:
    async def silent(_: Asked) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with desk(silent, max_in_flight=1, timeout=0.3) as it:
        waiting = [asyncio.create_task(it.ask(f"token-{n}")) for n in range(3)]
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert any("too many" in str(each) for each in done)
        assert all(isinstance(each, IntrospectionUnavailable) for each in done)


async def test_one_question_answers_all_who_wait() -> None:
    gate = asyncio.Event()

    async def slow(_: Asked) -> bytes:
        await gate.wait()
        return replied(ACTIVE)

    async with desk(slow) as it:
        leaving = asyncio.create_task(it.ask())
        staying = [asyncio.create_task(it.ask()) for _ in range(5)]
        await asyncio.sleep(0.02)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gate.set()
        assert await asyncio.gather(*staying) == [ACTIVE] * 5
        assert len(it.scripted.asked) == 1


async def test_a_failure_answers_all_who_wait_and_nobody_after() -> None:
    async def slow(_: Asked) -> bytes:
        await asyncio.sleep(0.02)
        return replied({"active": "yes"})

    async with desk(slow) as it:
        done = await asyncio.gather(*(it.ask() for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in done] == [IntrospectionUnavailable] * 3
        assert len(it.scripted.asked) == 1
        it.scripted.reply = replied(ACTIVE)
        assert await it.ask() == ACTIVE


@pytest.mark.threat("S14")
async def test_tokens_never_get_each_others_answers() -> None:
    """Asked all at once, answered in any order."""

    async def about(asked: Asked) -> bytes:
        number = int(asked.form["token"].rsplit("-", 1)[1])
        await asyncio.sleep(0.001 * (number % 7))
        return replied({"active": number % 3 != 0, "sub": asked.form["token"]})

    async with desk(about) as it:
        tokens = [f"token-{number}" for number in range(40)] * 2
        for _ in range(2):
            for token, claims in zip(tokens, await asyncio.gather(*map(it.ask, tokens)), strict=True):
                active = int(token.rsplit("-", 1)[1]) % 3 != 0
                assert claims == ({"active": True, "sub": token} if active else None)
        assert len(it.scripted.asked) == 40


@pytest.mark.threat("S18")
async def test_random_tokens_push_out_no_good_one() -> None:
    async with desk() as it:
        await it.ask()
        it.scripted.reply = replied({"active": False})
        for number in range(REMEMBERED_INACTIVE // 20):
            await asyncio.gather(*(it.ask(f"guess-{number}-{n}") for n in range(21)))
        assert len(it.introspection._inactive) == REMEMBERED_INACTIVE
        assert await it.ask() == ACTIVE


async def test_nothing_of_it_is_in_a_repr() -> None:
    async with desk(replied({**ACTIVE, "secret": CANARY.text})) as it:
        await it.ask()
        everything = (it.introspection, list(it.introspection._active.values()), it.introspection._flights._by_key)
        assert not search(repr(everything).encode(), CANARY)


class Told:
    """A server of which only the answer matters: it says for how long the token lives."""

    def __init__(self, time: FakeClock, exp: float | None) -> None:
        self.time, self.exp = time, exp
        self.asked = 0

    async def token_request(self, _: object, *__: object) -> TokenReply:
        self.asked += 1
        members = {"active": True, "n": self.asked, **({"exp": self.exp} if self.exp is not None else {})}
        return TokenReply(json.loads(json.dumps(members)), self.time.monotonic, self.time.wall)


@given(
    max_age=st.floats(0, 100),
    life=st.one_of(st.none(), st.floats(-10, 200)),
    steps=st.lists(st.floats(0, 60), max_size=12),
)
def test_no_answer_is_used_longer_than_it_may(max_age: float, life: float | None, steps: list[float]) -> None:
    time = FakeClock()
    server = Told(time, None if life is None else time.wall + life)
    introspection = Introspection(
        server,  # type: ignore[arg-type]
        token_type=ACCESS_TOKEN,
        max_age=max_age,
        clock=time.clock,
    )

    async def play() -> None:
        given_at: dict[int, float] = {}
        for step in steps:
            time.advance(step)
            claims = await introspection.introspect("token")
            number = (claims or {})["n"]
            asked_at = given_at.setdefault(number, time.monotonic)
            age = time.monotonic - asked_at
            assert age == 0 or age < max_age
            assert age == 0 or server.exp is None or time.wall < server.exp + 1e-6

    asyncio.run(play())


async def test_answers_are_forgotten_by_what_they_say_and_all_that_say_nothing() -> None:
    async with desk() as it:
        for number, members in enumerate(({**ACTIVE}, {**ACTIVE, "sub": "bob"}, {"active": False})):
            it.scripted.reply = replied(members)
            await it.ask(f"token-{number}")
        assert it.introspection.forget(lambda claims: claims.get("sub") == "bob") == 2
        it.scripted.reply = replied(ACTIVE)
        for number in range(3):
            await it.ask(f"token-{number}")
        assert [asked.form["token"] for asked in it.scripted.asked[3:]] == ["token-1", "token-2"]
        assert it.introspection.forget() == 3


async def test_what_is_being_asked_is_for_those_who_wait_alone() -> None:
    answers = [asyncio.Event(), asyncio.Event()]

    async def reply(_: Asked) -> bytes:
        number = len(it.scripted.asked) - 1
        await answers[min(number, 1)].wait()
        return replied({**ACTIVE, "sub": str(number)})

    async with desk(reply) as it:
        before = asyncio.create_task(it.ask())
        async with asyncio.timeout(BOUND):
            while not it.scripted.asked:  # noqa: ASYNC110 - it is another task's
                await asyncio.sleep(0.01)
        it.introspection.forget()
        after = asyncio.create_task(it.ask())
        answers[1].set()
        assert (await after)["sub"] == "1"
        answers[0].set()
        assert (await before)["sub"] == "0"
        assert (await it.ask())["sub"] == "1"
        assert it.introspection._flights._overtaken == set()
