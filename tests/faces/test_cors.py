"""CORS, from units to a browser's whole conversation with a gateway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.faces.cors import opened, preflight_answer
from sidecar.model.route import Cors, Match
from tests.faces.conftest import CONFIG, MakeWorld
from tests.support.canary import Canary
from tests.support.gateway import Answer, Seen, get, ok
from tests.support.values import request, route

APP = b"https://app.example"
LISTED = Cors(frozenset({APP}), 600)
ANY = Cors(frozenset({b"*"}), 600)
EXPOSED = "WWW-Authenticate, X-Request-ID, Retry-After"
COOKIE = Canary.fresh("cookie")


@pytest.mark.parametrize("listed", [LISTED, Cors(frozenset({b"null"}), 1)])
@given(
    origin=st.sampled_from([APP, b"null", b"*", b"", b"https://app.example.evil"]) | st.binary(), twice=st.booleans()
)
def test_only_a_listed_origin_is_ever_named(listed: Cors, origin: bytes, twice: bool) -> None:
    fields = dict(opened(listed, request(*[(b"Origin", origin)] * (1 + twice))))
    assert fields[b"Vary"] == b"Origin"
    if origin in listed.origins and not twice:
        assert fields[b"Access-Control-Allow-Origin"] == origin
    else:
        assert fields.keys() == {b"Vary"}


def test_every_origin_is_not_named() -> None:
    assert dict(opened(ANY, request((b"Origin", APP)))) == {
        b"Access-Control-Allow-Origin": b"*",
        b"Access-Control-Expose-Headers": EXPOSED.encode(),
    }


def asking(method: bytes = b"PUT", *fields: tuple[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"Origin", APP), (b"Access-Control-Request-Method", method), *fields)


def test_an_answer_names_the_methods_of_the_route_and_the_fields_that_were_asked_for() -> None:
    serves = route(match=Match(path_prefix="/", methods=frozenset({"GET", "PUT"})))
    head = request(*asking(b"PUT", (b"Access-Control-Request-Headers", b"authorization, x-a")), method="OPTIONS")
    answer = preflight_answer(serves, LISTED, head)
    fields = dict(answer.headers)
    assert (answer.status, answer.body) == (204, b"")
    assert fields[b"Access-Control-Allow-Methods"] == b"GET, HEAD, PUT"
    assert fields[b"Access-Control-Allow-Headers"] == b"authorization, x-a"
    assert fields[b"Access-Control-Max-Age"] == b"600"
    assert b"Access-Control-Allow-Credentials" not in fields
    everything = preflight_answer(route(), LISTED, head)
    assert dict(everything.headers)[b"Access-Control-Allow-Methods"] == b"PUT"


@pytest.mark.parametrize(
    "asked", [[b"a b"], [b"a,"], [b'"a"'], [b""], [b"a", b"b"], [b"a\tb"], [b"*;q=1"], [b"a" * 5000 + b"("]]
)
def test_fields_that_are_no_names_are_not_allowed(asked: list[bytes]) -> None:
    fields = [(b"Access-Control-Request-Headers", value) for value in asked]
    answer = preflight_answer(route(), LISTED, request(*asking(b"PUT", *fields), method="OPTIONS"))
    assert b"Access-Control-Allow-Headers" not in dict(answer.headers)


# --- a whole gateway

PREFLIGHT = (b"Origin: https://app.example", b"Access-Control-Request-Method: PUT")


def config(settings: str) -> str:
    return CONFIG.replace("match: {path_prefix: /orders}", f"match: {{path_prefix: /orders}}\n    {settings}")


ANSWER = config("preflight: answer\n    cors: {origins: ['https://app.example']}")
FORWARD = config("preflight: forward\n    cors: {origins: ['https://app.example']}")


def saying(seen: Seen) -> bytes:
    """An upstream that has its own word on CORS."""
    said = b"Access-Control-Allow-Origin: *\r\naccess-control-allow-credentials: true\r\nVary: Accept\r\n"
    return ok(seen).replace(b"Content-Length", said + b"Access-Control-Expose-Headers: X-Own\r\nContent-Length", 1)


def values(answer: Answer, name: str) -> list[str]:
    return [value for key, value in answer.fields if key == name]


async def test_refused(world: MakeWorld) -> None:
    here = await world()
    answer = await here.gateway.ask(get("/orders/1", *PREFLIGHT, method="OPTIONS"))
    assert (answer.status, answer.kind) == (403, "policy-denied")
    assert values(answer, "access-control-allow-origin") == []
    assert here.upstream.seen == []


async def test_answered(world: MakeWorld) -> None:
    here = await world(ANSWER, saying)
    answer = await here.gateway.ask(get("/orders/1", *PREFLIGHT, method="OPTIONS"))
    assert answer.status == 204
    assert answer.value("access-control-allow-origin") == "https://app.example"
    assert answer.value("access-control-allow-methods") == "PUT"
    assert values(answer, "content-length") == []
    assert answer.value("x-request-id")

    other = get("/orders/1", b"Origin: https://evil.example", PREFLIGHT[1], method="OPTIONS")
    refused = await here.gateway.ask(other)
    assert (refused.status, refused.kind) == (403, "policy-denied")
    assert values(refused, "access-control-allow-origin") == []
    assert here.upstream.seen == []
    scrape = await here.gateway.metrics()
    assert 'token_sidecar_requests_total{code="204",method="OPTIONS",route="orders"} 1.0' in scrape
    assert [line["event"] for line in await here.gateway.receipt_lines()] == ["refusal"]


async def test_what_follows_an_answer_can_be_read_by_the_page_alone(world: MakeWorld) -> None:
    here = await world(ANSWER, saying)
    token = here.sts.mint()
    served = await here.gateway.ask(get("/orders/1", PREFLIGHT[0], token=token))
    assert served.status == 200
    assert values(served, "access-control-allow-origin") == ["https://app.example"]
    assert values(served, "access-control-allow-credentials") == []
    assert values(served, "access-control-expose-headers") == ["X-Own", EXPOSED]
    assert values(served, "vary") == ["Accept", "Origin"]
    for fields in ([], [b"Origin: https://evil.example"], [b"Origin: null"]):
        other = await here.gateway.ask(get("/orders/1", *fields, token=token))
        assert (other.status, values(other, "access-control-allow-origin")) == (200, [])
        assert values(other, "vary") == ["Accept", "Origin"]


@pytest.mark.parametrize("text", [ANSWER, FORWARD])
async def test_a_refusal_can_be_read_by_the_page(world: MakeWorld, text: str) -> None:
    here = await world(text)
    refused = await here.gateway.ask(get("/orders/1", PREFLIGHT[0]))
    assert refused.status == 401
    assert refused.value("access-control-allow-origin") == "https://app.example"
    assert refused.value("access-control-expose-headers") == EXPOSED
    assert refused.value("vary") == "Origin"
    for request_ in (get("/orders/1", b"Origin: https://evil.example"), get("/nothing", PREFLIGHT[0])):
        assert values(await here.gateway.ask(request_), "access-control-allow-origin") == []


async def test_forwarded_without_any_credential(world: MakeWorld) -> None:
    here = await world(FORWARD, saying)
    cookie = b"Cookie: a=" + COOKIE.text.encode()
    request_ = get("/orders/1", *PREFLIGHT, cookie, token=here.sts.mint(), method="OPTIONS")
    answer = await here.gateway.ask(request_)
    assert answer.status == 200
    assert values(answer, "access-control-allow-origin") == ["*"]  # the application's own word
    [seen] = here.upstream.seen
    assert (seen.values(b"authorization"), seen.values(b"cookie")) == ([], [])
    assert seen.values(b"origin") == [b"https://app.example"]
    assert here.sts.exchanges == 0


async def test_a_preflight_with_a_body_is_none(world: MakeWorld) -> None:
    here = await world(FORWARD)
    request_ = get("/orders/1", *PREFLIGHT, b"Content-Length: 5", method="OPTIONS") + b"hello"
    answer = await here.gateway.ask(request_)
    assert (answer.status, answer.kind) == (400, "invalid-request")
    assert here.upstream.seen == []


@pytest.mark.parametrize("missing", [0, 1])
async def test_other_options_requests_need_a_token(world: MakeWorld, missing: int) -> None:
    here = await world(FORWARD)
    answer = await here.gateway.ask(get("/orders/1", PREFLIGHT[1 - missing], method="OPTIONS"))
    assert (answer.status, answer.kind) == (401, "missing-token")
    assert here.upstream.seen == []


async def test_a_route_without_exchange_forwards_them_unasked(world: MakeWorld) -> None:
    here = await world()
    request_ = get("/healthz", PREFLIGHT[0], b"Access-Control-Request-Method: GET", method="OPTIONS")
    assert (await here.gateway.ask(request_)).status == 200
    assert len(here.upstream.seen) == 1


# --- Max-Forwards


@pytest.mark.parametrize(("sent", "arrives"), [(b"7", b"6"), (b"1", b"0"), (b"x", b"x"), (b"-1", b"-1")])
async def test_a_hop_is_counted(world: MakeWorld, sent: bytes, arrives: bytes) -> None:
    here = await world()
    token = here.sts.mint()
    answer = await here.gateway.ask(get("/orders/1", b"Max-Forwards: " + sent, token=token, method="OPTIONS"))
    assert answer.status == 200
    assert here.upstream.last.values(b"max-forwards") == [arrives]
    await here.gateway.ask(get("/orders/1", b"Max-Forwards: 0", token=token))  # means nothing on GET
    assert here.upstream.last.values(b"max-forwards") == [b"0"]


async def test_the_last_hop_is_answered_here_and_only_for_those_who_may(world: MakeWorld) -> None:
    text = CONFIG.replace("path_prefix: /orders", "path_prefix: /orders, methods: [GET, OPTIONS]")
    here = await world(text)
    last = b"Max-Forwards: 0"
    assert (await here.gateway.ask(get("/orders/1", last, method="OPTIONS"))).status == 401
    answer = await here.gateway.ask(get("/orders/1", last, token=here.sts.mint(), method="OPTIONS"))
    assert (answer.status, answer.value("allow")) == (204, "GET, HEAD, OPTIONS")
    assert here.upstream.seen == []
