"""What callers are told about tokens (RFC 9728), end to end: by a document, and by every challenge of its route."""

import json

import pytest

from tests.faces.conftest import CONFIG, MakeWorld, World
from tests.support.gateway import Seen, get, ok

RESOURCE = "https://api.example.com/orders"
URL = "https://api.example.com/.well-known/oauth-protected-resource/orders"
PLACE = "/.well-known/oauth-protected-resource/orders"
NAMED = f'resource_metadata="{URL}"'

TELLING = CONFIG.replace(
    "    match: {path_prefix: /orders}\n",
    "    match: {hosts: [api.example.com], path_prefix: /orders}\n"
    "    subject: {require_scope: [orders.read], clients: [alice-cli]}\n"
    f"    resource_metadata: {{resource: {RESOURCE}, scopes_supported: [orders.read, orders.write]}}\n",
)


@pytest.fixture
async def here(world: MakeWorld) -> World:
    return await world(TELLING)


async def test_the_document(here: World) -> None:
    answer = await here.gateway.ask(get(PLACE))
    assert (answer.status, answer.value("content-type")) == (200, "application/json")
    assert answer.value("cache-control") == "public, max-age=300"
    assert answer.json() == {
        "resource": RESOURCE,
        "authorization_servers": [here.sts.issuer],
        "scopes_supported": ["orders.read", "orders.write"],
        "bearer_methods_supported": ["header"],
    }
    head = await here.gateway.ask(get(PLACE, method="HEAD"))
    assert (head.status, head.body, head.value("content-length")) == (200, b"", str(len(answer.body)))
    assert here.upstream.seen == []


async def test_any_page_may_read_it(here: World) -> None:
    origin = b"Origin: https://inspector.example"
    assert (await here.gateway.ask(get(PLACE, origin))).value("access-control-allow-origin") == "*"
    asked = b"Access-Control-Request-Method: GET", b"Access-Control-Request-Headers: mcp-protocol-version"
    answer = await here.gateway.ask(get(PLACE, origin, *asked, method="OPTIONS"))
    assert (answer.status, answer.value("access-control-allow-origin")) == (204, "*")
    assert answer.value("access-control-allow-headers") == "*"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nobody_changes_it(here: World, method: str) -> None:
    answer = await here.gateway.ask(get(PLACE, b"Content-Length: 5", method=method) + b"hello")
    assert (answer.status, answer.value("allow")) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    "target",
    [
        "/.well-known/oauth-protected-resource",
        f"{PLACE}/",
        f"{PLACE}/1",
        "/.well-known/oauth-protected-resource/health",
        "/.well-known/oauth-protected-resource/%6frders",
        "/.well-known/openid-configuration",
    ],
)
async def test_there_is_none_elsewhere(here: World, target: str) -> None:
    assert (await here.gateway.ask(get(target))).status == 404
    other = get(PLACE).replace(b"Host: api.example.com", b"Host: other.example.com")
    assert (await here.gateway.ask(other)).status == 404


async def test_every_challenge_names_it(here: World) -> None:
    for request, status in (
        (get(), 401),
        (get(token="eyJhbGciOiJub25lIn0.e30."), 401),
        (get(token=here.sts.mint(scope="other")), 403),
        (get(token=here.sts.mint(client_id="stranger")), 403),
    ):
        answer = await here.gateway.ask(request)
        assert answer.status == status
        assert NAMED in str(answer.value("www-authenticate"))
    for target in ("/nothing", "/healthz/x"):
        assert (await here.gateway.ask(get(target))).value("www-authenticate") is None


#: An upstream's challenge, and what the caller is told instead.
PASSED = {
    'Bearer error="insufficient_scope", scope="a", resource_metadata="https://evil.example/x"': (
        f'Bearer error="insufficient_scope", scope="a", {NAMED}'
    ),
    'Bearer error="insufficient_scope"': f'Bearer error="insufficient_scope", {NAMED}',
    'Bearer error="insufficient_user_authentication", acr_values="mfa"': (
        f'Bearer error="insufficient_user_authentication", acr_values="mfa", {NAMED}'
    ),
    'DPoP error="insufficient_scope"': f'DPoP error="insufficient_scope", {NAMED}',
    'Bearer resource_metadata="https://evil.example/x", realm="a"': 'Bearer realm="a"',
    'Bearer realm="a"': 'Bearer realm="a"',
    'Basic realm="a"': 'Basic realm="a"',
    'Bearer error="insufficient_scope" broken': 'Bearer error="insufficient_scope" broken',
}


@pytest.mark.threat("S73")
@pytest.mark.parametrize("challenge", PASSED)
async def test_an_upstreams_challenge_names_ours_or_none(world: MakeWorld, challenge: str) -> None:
    def respond(seen: Seen) -> bytes:
        if b"/orders" not in seen.line:
            return ok(seen)
        return f"HTTP/1.1 403 No\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n".encode()

    here = await world(TELLING, respond)
    answer = await here.gateway.ask(get(token=here.sts.mint()))
    assert (answer.status, answer.value("www-authenticate")) == (403, PASSED[challenge])


async def test_a_reload_takes_it_away(here: World) -> None:
    path = here.gateway.folder / "routes.yaml"
    lines = [line for line in path.read_text().splitlines() if "resource_metadata" not in line]
    path.write_text("\n".join(lines))
    from sidecar.config.load import load

    await here.gateway.app.reload(load(path))
    assert (await here.gateway.ask(get(PLACE))).status == 404
    assert (await here.gateway.ask(get())).value("www-authenticate") == 'Bearer realm="token-exchange-sidecar"'
    assert json.loads((await here.gateway.ask(get())).body)["status"] == 401
