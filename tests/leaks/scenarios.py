"""Everything that can happen to a request, with secrets in hand: what ``test_leaks`` drives the gateway through."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from sidecar.exchange.dialects.errors import DEFAULT_ERRORS
from tests.leaks.over_time import OVER_TIME
from tests.leaks.sockets import SOCKETS
from tests.leaks.stage import Stage
from tests.leaks.subjects import SUBJECTS
from tests.support.gateway import Seen, get, ok
from tests.support.scripted import Asked, granted, refused, replied

Scenario = Callable[[Stage], Awaitable[None]]


def sending(make: Callable[[str], bytes], **claims: Any) -> Scenario:
    """One request, made from a subject token."""

    async def scenario(stage: Stage) -> None:
        await stage.send(make(stage.mint(**claims)))

    return scenario


def at(target: str, *fields: str, **claims: Any) -> Scenario:
    """One good request to a target; TOKEN, PERCENT, PAYLOAD and SIGNATURE stand for the subject token."""

    def make(token: str) -> bytes:
        def filled(text: str) -> str:
            every = "".join(f"%{byte:02x}" for byte in token.encode())
            _, payload, signature = token.split(".")
            text = text.replace("TOKEN", token).replace("PERCENT", every)
            return text.replace("PAYLOAD", payload).replace("SIGNATURE", signature)

        return get(filled(target), *(filled(field).encode() for field in fields), token=token)

    return sending(make, **claims)


def raw(template: str) -> Scenario:
    """One message, byte for byte."""
    return sending(lambda token: template.replace("TOKEN", token).encode("latin-1"))


def echoing(make: Callable[[str], bytes]) -> Scenario:
    """An exchange whose reply repeats all that was asked."""

    async def scenario(stage: Stage) -> None:
        async def echo(asked: Asked) -> bytes:
            everything = f"{asked.head.decode()} {json.dumps(asked.form)} {quote(asked.form['subject_token'])}"
            return make(f"{asked.form['subject_token']} {asked.form.get('actor_token')} {everything}")

        stage.server.reply = echo
        await stage.get()
        await stage.get()

    return scenario


def upstream_says(make: Callable[[bytes], bytes]) -> Scenario:
    """An upstream that answers with the credential it got."""

    async def scenario(stage: Stage) -> None:
        def respond(seen: Seen) -> bytes:
            [credential] = seen.values(b"authorization")
            return make(credential.removeprefix(b"Bearer "))

        stage.upstream.respond = respond
        for method in ("GET", "HEAD"):
            await stage.get(method=method)

    return scenario


async def success(stage: Stage) -> None:
    token = stage.mint()
    for _ in range(3):
        assert b" 200 " in (await stage.get(token=token))
    assert b" 200 " in await stage.get("/orders?q=%zz", b"X-Request-ID: mine", b"Expect: 100-continue")
    assert b" 200 " in await stage.send(get(token=token).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert b" 200 " in await stage.send(get("/orders", b"Content-Length: 5", token=token, method="POST") + b"hello")
    assert b" 200 " in await stage.get("/public")
    assert b" 204 " not in await stage.get(method="OPTIONS")


async def issued_jwt(stage: Stage) -> None:
    stage.server.reply = granted(stage.issue(stage.sts.mint(aud="orders-api")))
    assert b" 200 " in await stage.get()


async def hostile_jwt(stage: Stage) -> None:
    good: dict[str, Any] = {"aud": "orders-api"}
    for claims in ({"aud": "x"}, {"sub": "mallory"}, {"act": "x"}, {"nbf": "x"}, {"scope": 1}, {"lifetime": -9}):
        stage.server.reply = granted(stage.issue(stage.sts.mint(**{**good, **claims})))
        assert b" 200 " not in await stage.get()


async def subject_token_back(stage: Stage) -> None:
    async def same(asked: Asked) -> bytes:
        return granted(asked.form["subject_token"])

    async def wrapped(asked: Asked) -> bytes:
        return granted(f"wrapped.{asked.form['subject_token']}")

    stage.server.reply = same
    assert b"exchange-unusable" in await stage.get()
    stage.server.reply = wrapped
    assert b"leak-guard" in await stage.get()


async def server_silent(stage: Stage) -> None:
    async def silent(_: Asked) -> bytes:
        await asyncio.Event().wait()
        return b""

    stage.server.reply = silent
    assert b"exchange-timeout" in await stage.get()


async def server_cut(stage: Stage) -> None:
    stage.server.closing = True
    for reply in (
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nContent-Type: application/json\r\n\r\n{",
        b"none\r\n\r\n",
    ):
        stage.server.reply = reply
        assert b" 50" in await stage.get()


async def caller_leaves_exchange(stage: Stage) -> None:
    reached = asyncio.Event()

    async def slow(_: Asked) -> bytes:
        reached.set()
        await asyncio.sleep(0.03)
        return granted(stage.issued[0])

    stage.server.reply = slow
    await stage.leave(get(token=stage.mint()), after=reached)


async def caller_leaves_upload(stage: Stage) -> None:
    ready = asyncio.Event()
    ready.set()
    request = get("/orders", b"Content-Length: 100", token=stage.mint(), method="PUT")
    await stage.leave(request + b"begun", after=ready)


async def actor_unreadable(stage: Stage) -> None:
    for content in (f"{stage.actor} and more", f"{stage.actor}\nTwo", ""):
        (stage.gateway.folder / "actor.token").write_text(content)
        for _ in range(2):
            await stage.gateway.app._rotation.look()
        await stage.get()


async def admin_asked(stage: Stage) -> None:
    token = stage.mint()
    for target in ("/status", f"/{token}", f"/status?access_token={token}", "/metrics"):
        await stage.send(get(target, token=token), "admin")
    await stage.send(f"GET /status HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {token}\r\n\r\n", "admin")


async def a_bug(stage: Stage) -> None:
    token = stage.mint()

    async def broken(*_: object) -> None:
        raise RuntimeError(f"{token} {stage.actor}")

    exchanger = stage.gateway.app.exchanger
    exchanger.obtain = broken  # type: ignore[method-assign, assignment]
    await stage.get(token=token)
    del exchanger.obtain


async def a_bug_in_the_exchange(stage: Stage) -> None:
    async def broken(pairs: list[tuple[str, str]], key: bytes) -> None:
        raise RuntimeError(str(pairs))

    stage.gateway.app.snapshot.plans["orders"].server.token_request = broken  # type: ignore[method-assign, assignment]
    await stage.get()


async def a_loop(stage: Stage) -> None:
    await stage.get()
    [via] = stage.upstream.last.values(b"via")
    assert b"problem:loop" in await stage.get("/orders", b"Via: " + via)


async def token_in_many_fields(stage: Stage) -> None:
    token = stage.mint()
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Request-ID", "traceparent", "Cookie", "Referer", "Expect"):
        await stage.get("/orders", f"{name}: {token}".encode(), token=token)
        await stage.get("/public", f"{name}: {token}".encode(), token=token)
        await stage.get("/nothing", f"{name}: {token}".encode(), token=token)


def _malformed() -> Mapping[str, Scenario]:
    end = "\r\nConnection: close\r\n\r\n"
    heads = {
        "folded": "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer\r\n TOKEN",
        "no colon": "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization Bearer TOKEN",
        "space before colon": "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer TOKEN",
        "control byte": "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \x01TOKEN",
        "NUL": "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer TOKEN\x00",
        "bare feeds": "GET /orders HTTP/1.1\nHost: a\nAuthorization: Bearer TOKEN\n",
        "two hosts": "GET /orders HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: Bearer TOKEN",
        "no host": "GET /orders HTTP/1.1\r\nAuthorization: Bearer TOKEN",
        "token for a method": "TOKEN /orders HTTP/1.1\r\nHost: a",
        "token for a target": "GET TOKEN HTTP/1.1\r\nHost: a",
        "token for a version": "GET /orders TOKEN\r\nHost: a",
        "token for a host": "GET /orders HTTP/1.1\r\nHost: TOKEN",
        "token for a user": "GET http://TOKEN@a/orders HTTP/1.1\r\nHost: a",
        "token for a port": "CONNECT a:TOKEN HTTP/1.1\r\nHost: a",
        "token for a length": "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: TOKEN",
        "token for a coding": "POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: TOKEN",
        "token for a chunk": "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nTOKEN",
        "length and coding": "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"
        "Authorization: Bearer TOKEN",
        "another version": "GET /orders HTTP/2.0\r\nHost: a\r\nAuthorization: Bearer TOKEN",
        "a tunnel": "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nAuthorization: Bearer TOKEN",
        "a trace": "TRACE /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer TOKEN",
        "a long field": "GET /orders HTTP/1.1\r\nHost: a\r\nX: TOKEN" + "a" * 17_000,
        "a long target": "GET /orders/TOKEN" + "a" * 17_000 + " HTTP/1.1\r\nHost: a",
        "a large head": "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer TOKEN\r\n"
        + f"X: {'a' * 9000}\r\n" * 2,
        "many fields": "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer TOKEN" + "\r\nX: y" * 200,
        "an alias": "GET /orders HTTP/1.1\r\nHost: a\r\nX_Forwarded_Access_Token: TOKEN",
        "an expectation": "GET /orders HTTP/1.1\r\nHost: a\r\nExpect: TOKEN",
        "a tunnel of TLS": "\x16\x03\x01\x02TOKEN",
    }
    return {f"malformed: {name}": raw(head + end) for name, head in heads.items()}


def _placed() -> Mapping[str, Scenario]:
    targets = [
        "TOKEN",
        "PERCENT",
        "SIGNATURE",
        "%65TOKEN",
        "a/TOKEN/b",
        "?q=TOKEN",
        "?access_token=PERCENT",
        "?SIGNATURE",
    ]
    fields = ["X: TOKEN", "X: a SIGNATURE", "Cookie: a=TOKEN", "Proxy-Authorization: Bearer TOKEN", "TOKEN: x"]
    prefixes = ["/orders/", "/public/", "/nothing/"]
    return {
        **{f"placed: {prefix}{target}": at(prefix + target) for prefix in prefixes for target in targets},
        **{f"placed: {prefix} {field}": at(prefix, field) for prefix in prefixes for field in fields},
    }


def _authorizations() -> Mapping[str, Scenario]:
    values = [
        "Bearer TOKEN, Bearer TOKEN",
        "Bearer TOKEN x",
        "Bearer=TOKEN",
        "Bearer",
        "Basic TOKEN",
        "TOKEN",
        "DPoP TOKEN",
    ]
    request = "GET /orders HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: {}\r\n\r\n"
    twice = request.format("Bearer TOKEN\r\nAuthorization: Bearer TOKEN")
    return {**{f"authorization: {value}": raw(request.format(value)) for value in values}, "two of it": raw(twice)}


def _bad_tokens() -> Mapping[str, Scenario]:
    claims: dict[str, dict[str, Any]] = {
        "expired": {"lifetime": -60},
        "another audience": {"aud": "x"},
        "another issuer": {"iss": "https://evil.example"},
        "an issuer down": {"iss": "https://far.example"},
        "bound": {"cnf": {"jkt": "x"}},
        "an ID token": {"nonce": "x"},
        "an act that is none": {"act": "x"},
        "too many actors": {"act": {"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d"}}}}},
        "no subject": {"sub": None},
        "another type": {"header": {"typ": "secevent+jwt"}},
    }
    return {
        **{f"token: {name}": at("/far" if "down" in name else "/orders", **each) for name, each in claims.items()},
        "token: another signature": sending(lambda token: get(token=f"{token}x")),
        "token: scope": at("/scoped"),
    }


def _server() -> Mapping[str, Scenario]:
    return {
        **{f"server: {code}": echoing(_refusing(code)) for code in DEFAULT_ERRORS},
        "server: an unknown code": echoing(lambda text: refused(text.split(" ")[0][:60])),
        "server: 500": echoing(lambda text: replied(text.encode(), status=b"500 Oops", content_type=b"text/plain")),
        "server: an odd 200": echoing(lambda text: replied({"access_token": [text], "token_type": text})),
        "server: no JSON": echoing(lambda text: replied(text.encode())),
        "server: another type": echoing(lambda text: granted("x", token_type=text)),
        "server: an odd lifetime": echoing(lambda text: granted("x", expires_in=text)),
        "server: an odd scope": echoing(lambda text: granted("x", scope=[text])),
        "server: a line break": echoing(lambda text: granted(f"{text}\r\nX: y")),
        "server: a redirect": echoing(
            lambda text: replied(b"", b"Location: /?" + quote(text).encode(), status=b"302 Found")
        ),
        "server: a status line": echoing(lambda text: replied(b"", status=b"400 " + text.split(" ")[0].encode())),
        "server: another login": echoing(_wanting_another_login),
        "server: busy": echoing(lambda text: refused("x", b"Retry-After: 1", status=b"429 No", error_description=text)),
        "server: silent": server_silent,
        "server: cut": server_cut,
        "server: down": at("/unserved"),
        "server: the subject token back": subject_token_back,
        "server: a good JWT": issued_jwt,
        "server: hostile JWTs": hostile_jwt,
    }


def _refusing(code: str) -> Callable[[str], bytes]:
    return lambda text: refused(code, error_description=text, error_uri=f"https://x.example/{quote(text)}")


def _wanting_another_login(text: str) -> bytes:
    token, claims = text.split(" ", maxsplit=1)[0], json.dumps({"a": text})
    return refused("interaction_required", acr_values=token, max_age=text, claims=claims)


def _upstream() -> Mapping[str, Scenario]:
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
    return {
        "upstream: fields": upstream_says(lambda token: plain + b"X: %b\r\nLocation: /?t=%b\r\n\r\n" % (token, token)),
        "upstream: names": upstream_says(lambda token: plain + token + b": x\r\n\r\n"),
        "upstream: reason": upstream_says(lambda token: b"HTTP/1.1 200 %b\r\nContent-Length: 0\r\n\r\n" % token),
        "upstream: hints": upstream_says(
            lambda token: b"HTTP/1.1 103 Hi\r\nLink: <%b>\r\n\r\n" % token + plain + b"\r\n"
        ),
        "upstream: trailers": upstream_says(
            lambda token: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: %b\r\n\r\n" % token
        ),
        "upstream: extensions": upstream_says(
            lambda token: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=%b\r\na\r\n0\r\n\r\n" % token
        ),
        "upstream: a challenge": upstream_says(
            lambda token: b'HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Bearer t="%b"\r\n\r\n' % token
        ),
        "upstream: no HTTP": upstream_says(lambda token: b"%b\r\n\r\n" % token),
        "upstream: a bad head": upstream_says(lambda token: b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % token),
        "upstream: a bad chunk": upstream_says(
            lambda token: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n" % token
        ),
        "upstream: down": at("/nowhere"),
        "upstream: silent": _silent_upstream,
        "upstream: bodies": _bodies,
    }


async def _silent_upstream(stage: Stage) -> None:
    stage.upstream.respond = lambda _: b""
    assert b"upstream-timeout" in await stage.get("/tight")


async def _bodies(stage: Stage) -> None:
    stage.upstream.respond = ok
    token = stage.mint()
    large = get("/tight", b"Content-Length: 11", token=token, method="PUT")
    chunked = get("/tight", b"Transfer-Encoding: chunked", token=token, method="PUT")
    assert b"too-large" in await stage.send(large)
    assert b"too-large" in await stage.send(chunked + b"b\r\n12345678901\r\n0\r\n\r\n")
    assert b"request-timeout" in await stage.send(chunked + b"5\r\n12")
    assert b"invalid-request" in await stage.send(chunked + b"5\r\n12345\r\nno chunk\r\n")


SCENARIOS: Mapping[str, Scenario] = {
    "success": success,
    **_placed(),
    **_authorizations(),
    **_bad_tokens(),
    **_malformed(),
    **_server(),
    **_upstream(),
    **SUBJECTS,
    **SOCKETS,
    **OVER_TIME,
    "a token in many fields": token_in_many_fields,
    "the caller leaves: exchange": caller_leaves_exchange,
    "the caller leaves: upload": caller_leaves_upload,
    "the actor token can't be read": actor_unreadable,
    "the admin listener is asked": admin_asked,
    "a loop": a_loop,
    "a bug": a_bug,
    "a bug in the exchange": a_bug_in_the_exchange,
}
