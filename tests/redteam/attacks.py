"""The attacks, each a generator: what an agent sends that was talked into something, or that lies, and how it ends.

An attack yields requests one after another; it may do what is allowed in between, to prepare. None of what it yields
may reach the tool server. ``Attempt.kinds`` are the refusals that are right; another one is a failure, since whoever is
refused for the wrong reason may get through when that reason goes away.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from sidecar.oauth.jwt import sign
from tests.redteam.field import (
    AGENT,
    MALLORYS_KEY,
    OTHER_AGENT,
    PARTNER,
    PARTNER_KEY,
    Field,
    call,
    post,
    says_no,
    says_yes,
)
from tests.support.gateway import get


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request. kinds: of refusals that are right for it."""

    request: bytes
    kinds: frozenset[str]
    what: str


def attempt(what: object, request: bytes, *kinds: str) -> Attempt:
    """An attempt, with a word on what it tries."""
    return Attempt(request, frozenset(kinds), str(what))


Attack = Callable[[Field, random.Random], AsyncIterator[Attempt]]

DENIED, INVALID, BAD_TOKEN = "policy-denied", "invalid-request", "invalid-token"
NOT_APPROVED, NO_ANSWER = "approval-denied", "approval-unavailable"


async def other_tools(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """Tools that nobody named, and names that are nearly those of others."""
    named = ["search", "delete_file", "purge"]
    tricks: list[Callable[[str], str]] = [
        str.upper, str.title, lambda n: n + " ", lambda n: " " + n, lambda n: n + "\0", lambda n: n + "\0x",
        lambda n: n[:-1], lambda n: n + "s", lambda n: n + "*", lambda n: f"../{n}", lambda n: f"x/{n}",
        lambda n: n.replace("e", "\u0435"), lambda n: n.replace("s", "\u017f"), lambda n: "\ufeff" + n,
        lambda n: n.replace("_", "-"), lambda n: f"{n}\n", lambda n: f"{n}\t", lambda n: "\u200b" + n,
    ]  # fmt: skip
    for name in named:
        for trick in tricks:
            tried = trick(name)
            if tried not in named:
                yield attempt(repr(tried), post(field.token(), call(tried)), DENIED)
    for tried in ("exec", "*", "tools/call", "a" * 500, "search,delete_file", *_words(rng, 5)):
        yield attempt(repr(tried), post(field.token(), call(tried)), DENIED)
    for no_name in ("", None, 1, True, [], ["search"], {"name": "search"}):
        yield attempt(repr(no_name), post(field.token(), call(no_name)), INVALID)


async def other_methods(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """Methods of the protocol that nobody named, and HTTP methods."""
    methods = ["resources/read", "prompts/get", "logging/setLevel", "completion/complete", "sampling/createMessage"]
    for method in (*methods, "TOOLS/LIST", "tools/list ", "tools/List", "Initialize", *_words(rng, 5)):
        yield attempt(method, post(field.token(), call("search", method=method)), DENIED)
    for method in ("TOOLS/CALL", "tools/call ", "Tools/Call", "tools/call\0"):
        yield attempt(method, post(field.token(), call("delete_file", method=method)), DENIED)
    yield attempt("a tool by notification", post(field.token(), call("purge", id=None)), INVALID)
    silent = json.dumps({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "purge"}}).encode()
    yield attempt("a tool without an id", post(field.token(), silent), INVALID)
    for method in ("PUT", "PATCH"):
        yield attempt(method, post(field.token(), call("search")).replace(b"POST", method.encode(), 1), "no-route")


async def other_routes(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """Ways to something else behind the same host."""
    token = field.token()
    for target in ("/admin", "/MCP", "/mcp/", "/mcp/x", "/", *(f"/{word}" for word in _words(rng, 5))):
        yield attempt(target, post(token, call("search"), target=target), "no-route")
    for target in ("/lax/../mcp", "/lax/..%2fmcp", "/lax/%2e%2e/mcp", "/x/..;/mcp", "//mcp", "/mcp%2f", "/mcp%00"):
        yield attempt(target, post(token, call("purge"), target=target), INVALID, "no-route")


async def wider_scopes(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """A token that may not use tools at all, or whose login is not enough for this one."""
    for scope in (None, "", "docs.read", "docs.delete docs.purge", "TOOLS", "tools.all", "tool", "toolss", '"tools"'):
        yield attempt(scope, post(field.token(scope=scope), call("search")), "insufficient-scope")
    for tenant in (None, "other", "ACME", ["other"], {"acme": True}, True):
        yield attempt(f"tenant {tenant!r}", post(field.token(tenant=tenant), call("search")), DENIED)
    deletion = call("delete_file", {"path": "a"})
    field.says = says_yes
    for acr in (None, "pwd", "MFA", "mfa ", "mfa\0", ["mfa"], {"mfa": True}, True):
        yield attempt(f"acr {acr!r}", post(field.token(acr=acr), deletion), "step-up-required", BAD_TOKEN)
    now = int(time.time())
    for login in (None, now - 301 - rng.randrange(1000), 0, -1, now + 3600, str(now), True, [now]):
        yield attempt(
            f"auth_time {login!r}", post(field.token(auth_time=login), deletion), "step-up-required", BAD_TOKEN
        )
    escaped = deletion.replace(b"delete_file", b"delete\\u005ffile")
    yield attempt("an escaped name", post(field.token(acr="pwd"), escaped), "step-up-required")


async def other_audiences(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """Tokens that were made for somebody else: the confused deputy."""
    others = [None, "", "tools-api", field.sts.issuer, "tools-gateway2", "TOOLS-GATEWAY", "tools-gateway ", [], [""]]
    for audience in (*others, ["tools-api", "payments-api"], _words(rng, 1)[0]):
        yield attempt(audience, post(field.token(aud=audience), call("search")), BAD_TOKEN)


async def issued_tokens_come_back(field: Field, _: random.Random) -> AsyncIterator[Attempt]:
    """What the gateway was issued, presented by the tool server or an agent that got hold of it."""
    await _reaches(field, post(field.token(), call("search")))
    [issued] = field.upstream.last.values(b"authorization")
    token = issued.decode().removeprefix("Bearer ")
    yield attempt("as a subject token", post(token, call("search")), BAD_TOKEN)
    yield attempt("on another route", get("/lax/1", token=token), BAD_TOKEN)
    yield attempt("at the approval's route", get("/payments/1", token=token), BAD_TOKEN)


async def other_issuers(field: Field, _: random.Random) -> AsyncIterator[Attempt]:
    """The same person's name in another issuer's mouth, or another key's."""
    good: dict[str, Any] = {
        "aud": "tools-gateway",
        "scope": "tools",
        "client_id": "agent-runtime",
        "acr": "mfa",
        "tenant": "acme",
    }
    act = {"act": {"iss": field.sts.issuer, "sub": AGENT}}
    for issuer in (PARTNER, field.sts.issuer + "/", field.sts.issuer.upper(), "https://mallory.example", ""):
        for key in (PARTNER_KEY, MALLORYS_KEY):
            token = field.sts.mint(key=key, iss=issuer, **{**good, **act})
            yield attempt(f"{issuer} {key.get('kid')}", post(token, call("search")), BAD_TOKEN)
    for key in (PARTNER_KEY, MALLORYS_KEY):
        yield attempt("our issuer, its key", post(field.token(key=key), call("search")), BAD_TOKEN)
    for typ in ("jwt", "id_token", "logout+jwt", None):
        yield attempt(f"typ {typ}", post(field.token(header={"typ": typ}), call("search")), BAD_TOKEN)
    for claims in ({"exp": int(time.time()) - 3600}, {"nbf": int(time.time()) + 3600}, {"sub": None}, {"exp": None}):
        yield attempt(claims, post(field.token(**claims), call("search")), BAD_TOKEN)


async def forged_actors(field: Field, _: random.Random) -> AsyncIterator[Attempt]:
    """Somebody else acts, and says otherwise."""
    corp, good = field.sts.issuer, {"iss": field.sts.issuer, "sub": AGENT}
    strangers: list[Any] = [
        {"iss": corp, "sub": "mallory"}, {"iss": PARTNER, "sub": AGENT}, {"iss": corp, "sub": AGENT + "0"},
        {"iss": corp, "sub": AGENT.upper()}, {"iss": corp, "sub": "mallory", "act": good},
        {"iss": corp + "/", "sub": AGENT},
    ]  # fmt: skip
    for act in strangers:
        yield attempt(act, post(field.token(act=act), call("search")), DENIED)
    for act in (None, {}, {"iss": corp}, {"sub": ""}, {"sub": 7}, AGENT, [good], True):
        yield attempt(act, post(field.token(act=act), call("search")), DENIED, BAD_TOKEN)
    for act in ({"sub": AGENT}, {"iss": PARTNER, "sub": AGENT}, {"iss": PARTNER, "sub": AGENT, "act": good}):
        token = sign(
            {"iss": PARTNER, "sub": "alice", "aud": "tools-gateway", "exp": int(time.time()) + 60, "act": act},
            PARTNER_KEY,
            "ES256",
            {"kid": PARTNER_KEY.get("kid")},
        )
        yield attempt(f"partner says {act}", get("/partners/1", token=token), DENIED)
    for may in ({"sub": "mallory"}, {"iss": PARTNER, "sub": "gateway"}, {}, "gateway", {"sub": 1}):
        yield attempt(f"may_act {may}", post(field.token(may_act=may), call("search")), DENIED, BAD_TOKEN)
    for client in ("mallory", None, "AGENT-RUNTIME"):
        yield attempt(f"client {client}", post(field.token(client_id=client), call("search")), DENIED, BAD_TOKEN)


async def too_deep(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """Delegated too often."""
    for depth in (3, 4, 8, 9 + rng.randrange(20), 200):
        act: dict[str, Any] = {}
        for number in range(depth):
            act = {"iss": field.sts.issuer, "sub": AGENT, **({"act": act} if number else {})}
        yield attempt(depth, post(field.token(act=act), call("search")), DENIED, BAD_TOKEN)


async def another_approval(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """A yes to one thing, used for another: person, token, actor, tool, argument, path, method, route."""
    path, jti = _words(rng, 2)
    first = field.token(jti=jti)
    await _approved(field, post(first, call("delete_file", {"path": path})))
    for claims in (
        {"sub": "user-1", "jti": jti},
        {"jti": jti + "2"},
        {"act": {"iss": field.sts.issuer, "sub": OTHER_AGENT}, "jti": jti},
        {"exp": int(time.time()) + 200, "jti": jti},
    ):
        yield attempt(claims, post(field.token(**claims), call("delete_file", {"path": path})), NOT_APPROVED)
    others: list[Any] = [path + "2", path.upper(), path + "/", f"./{path}", "", None, [path], {"path": path}, 1, True]
    for other in others:
        yield attempt(f"path {other!r}", post(first, call("delete_file", {"path": other})), NOT_APPROVED)
    yield attempt("no path", post(first, call("delete_file")), NOT_APPROVED)
    yield attempt("two paths", post(first, call("delete_file", {"path": path, "Path": "b"})), INVALID)
    yield attempt("another tool", post(first, call("delete_tree", {"path": path})), NOT_APPROVED)

    plain = field.token()
    await _approved(field, get("/payments/1", token=plain))
    for target in ("/payments/2", "/payments/1/", "/payments/1?to=mallory", "/payments/1?", "/payments"):
        yield attempt(target, get(target, token=plain), NOT_APPROVED)
    yield attempt("POST", get("/payments/1", b"Content-Length: 0", token=plain, method="POST"), NOT_APPROVED)
    yield attempt("another route", get("/refunds/1", token=plain), NOT_APPROVED)
    await _approved(field, get("/refunds/1", token=plain))
    yield attempt("a route like it", get("/chargebacks/1", token=plain), NOT_APPROVED)
    yield attempt("a new token", get("/payments/1", token=field.token()), NOT_APPROVED)


async def a_stale_approval(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """A yes that has ended, or was taken back."""
    token, [path] = field.token(), _words(rng, 1)
    deletion = post(token, call("delete_file", {"path": path}))
    await _approved(field, deletion)
    await _reaches(field, deletion)  # a yes counts again for a second
    await asyncio.sleep(1.1)
    yield attempt("after max_age", deletion, NOT_APPROVED)

    purge = post(token, call("purge"))
    await _approved(field, purge)
    yield attempt("a changed mind", purge, NOT_APPROVED)

    for ends in ("2020-01-01T00:00:00Z", 1577836800):

        async def expired(_: dict[str, Any], ends: object = ends) -> web.StreamResponse:
            return web.json_response({"decision": True, "context": {"expires_at": ends}})

        field.says = expired
        yield attempt(f"expired {ends}", purge, NOT_APPROVED, NO_ANSWER)


async def a_laxer_routes_entry(field: Field, _: random.Random) -> AsyncIterator[Attempt]:
    """The very same token is in the cache, by a route that needs nobody's yes."""
    token = field.token()
    for _each in range(2):
        await _reaches(field, get("/lax/1", token=token))
    yield attempt("payments", get("/payments/9", token=token), NOT_APPROVED)
    yield attempt("refunds", get("/refunds/9", token=token), NOT_APPROVED)
    await _reaches(field, post(token, call("search")))
    yield attempt("the tool's neighbour", post(token, call("purge")), NOT_APPROVED)


#: Bodies that are no yes, with how they are sent.
LIES: Final[tuple[tuple[bytes, dict[str, Any]], ...]] = (
    (b'{"decision":"true"}', {}),
    (b'{"decision":1}', {}),
    (b'{"decision":[true]}', {}),
    (b'{"decision":null}', {}),
    (b'{"Decision":true}', {}),
    (b'{"result":true}', {}),
    (b'{"allow":true}', {}),
    (b"true", {}),
    (b"[true]", {}),
    (b"", {}),
    (b'{"decision":false,"decision":true}', {}),
    (b'{"decision":true}{"decision":true}', {}),
    (b'{"decision":true', {}),
    (b'\xff\xfe{"decision":true}', {}),
    (b'{"decision":true,"x":' + b"[" * 5000 + b"]" * 5000 + b"}", {}),
    (b'{"decision":true,"x":"' + b"x" * 70_000 + b'"}', {}),
    (b'{"decision":true}', {"status": 201}),
    (b'{"decision":true}', {"status": 204}),
    (b'{"decision":true}', {"status": 302, "headers": {"Location": "/access/v1/evaluation"}}),
    (b'{"decision":true}', {"status": 401}),
    (b'{"decision":true}', {"status": 500}),
    (b"<html>{'decision': true}</html>", {"content_type": "text/html"}),
    (b'{"decision":true}', {"content_type": "text/html"}),
)


async def an_approver_that_lies(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """Anything but one clear yes: half of one, two of them, a web page, silence."""
    token, targets = field.token(), ("/payments/1", "/refunds/1")
    for body, how in LIES:

        async def lies(_: dict[str, Any], body: bytes = body, how: dict[str, Any] = how) -> web.StreamResponse:
            return web.Response(body=body, **{"content_type": "application/json", **how})

        field.says = lies
        yield attempt(f"{body[:40]!r} {how}", get(rng.choice(targets), token=token), NO_ANSWER)
        yield attempt(f"{body[:40]!r} {how}", post(token, call("purge")), NO_ANSWER)

    async def hangs(_: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.json_response({"decision": True})

    field.says = hangs
    yield attempt("silence", get("/payments/1", token=token), NO_ANSWER)

    async def is_cut(_: dict[str, Any]) -> web.StreamResponse:
        raise ConnectionResetError

    field.says = is_cut
    yield attempt("a broken connection", get("/payments/1", token=token), NO_ANSWER)


async def bodies_with_two_readings(field: Field, rng: random.Random) -> AsyncIterator[Attempt]:
    """Messages that another parser takes for a call of something else."""
    token = field.token(acr="pwd")
    search, purge = call("search").decode(), call("purge").decode()
    for first, second in ((search, purge), (purge, search)):
        yield attempt("a batch", post(token, f"[{first},{second}]".encode()), INVALID)
        yield attempt("two messages", post(token, f"{first}{second}".encode()), INVALID)
        yield attempt("two lines", post(token, f"{first}\n{second}".encode()), INVALID)
    doubles = [
        '"method":"ping","method":"tools/call"', '"method":"tools/list","\\u006dethod":"tools/call"',
        '"method":"tools/list","Method":"tools/call"', '"method":"tools/list","method\\u0000":"tools/call"',
    ]  # fmt: skip
    for double in doubles:
        body = f'{{"jsonrpc":"2.0","id":1,{double},"params":{{"name":"purge"}}}}'
        yield attempt(double, post(token, body.encode()), INVALID)
    for double in (
        '"name":"search","name":"purge"',
        '"name":"search","Name":"purge"',
        '"name":"search","name ":"purge"',
    ):
        body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{double}}}}}'
        yield attempt(double, post(token, body.encode()), INVALID)
    for encoding in ("utf-8-sig", "utf-16", "utf-32", "utf-16-le"):
        yield attempt(encoding, post(token, purge.encode(encoding)), INVALID)
    deep = b"[" * 20_000 + b"]" * 20_000
    yield attempt("deep", post(token, call("search").replace(b"{}", b'{"x":%b}' % deep)), INVALID)
    huge = call("search", {"x": "y" * (1024 * 1024)})
    yield attempt("huge", post(token, huge), "too-large")
    for kind in (b"text/plain", b"application/json; charset=utf-16", b"application/x-www-form-urlencoded", b"x"):
        yield attempt(kind, post(token, call("search"), kind=kind), INVALID)
    yield attempt("gzip", post(token, call("search"), b"Content-Encoding: gzip"), INVALID)
    for field_, value in (("Mcp-Name", "purge"), ("Mcp-Name", "Search"), ("Mcp-Method", "tools/list")):
        request = post(token, call("search"), f"{field_}: {value}".encode())
        yield attempt(f"{field_}: {value}", request, INVALID)
        twice = post(token, call("search"), b"Mcp-Name: search", f"{field_}: {value}".encode())
        yield attempt(f"{field_} twice", twice, INVALID)
    names = [b"Mcp-Name: =?base64?cHVyZ2U=?=", b"mcp_name: purge", b"Mcp-Name: search\r\nMcp-Name: search"]
    yield attempt("encoded", post(token, call("search"), names[0]), INVALID)
    yield attempt("the same name twice", post(token, call("search"), names[2]), INVALID)
    page = f"Origin: https://{rng.choice(_words(rng, 3))}.example".encode()
    yield attempt("a web page", post(token, call("search"), page), DENIED)


ATTACKS: Final[tuple[Attack, ...]] = (
    other_tools,
    other_methods,
    other_routes,
    wider_scopes,
    other_audiences,
    issued_tokens_come_back,
    other_issuers,
    forged_actors,
    too_deep,
    another_approval,
    a_stale_approval,
    a_laxer_routes_entry,
    an_approver_that_lies,
    bodies_with_two_readings,
)


class Unprepared(Exception):
    """Something that is allowed was refused: what follows would prove nothing."""


async def _reaches(field: Field, request: bytes) -> None:
    answer = await field.send(request)
    if answer.status != 200:
        raise Unprepared(f"{answer.status} {answer.body.decode('latin-1')}")


async def _approved(field: Field, request: bytes) -> None:
    """Have a request reach the tool server by a yes; from then on the approver says no."""
    field.says = says_yes
    await _reaches(field, request)
    field.says = says_no


def _words(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 12))) for _ in range(count)]
