"""Fixtures of the tests against oidc-provider: a server that a session shares, one of a test's own, and worlds."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.interop.installation import Unavailable
from tests.interop.npm import dependencies, node
from tests.interop.oidc_provider.provider import HERE, SECRET, OIDCProvider
from tests.interop.world import World, orders, world_around

ORDERS: Mapping[str, Any] = {"audience": ["orders-api"], "scope": ["orders.read"]}


class MakeWorld(Protocol):
    """Starts a gateway at a server."""

    async def __call__(
        self,
        server: OIDCProvider,
        *,
        auth: Mapping[str, Any] | None = None,
        exchange: Mapping[str, Any] = ORDERS,
        section: Mapping[str, Any] | None = None,
        issuer: Mapping[str, Any] | None = None,
        actor_token: str | None = None,
    ) -> World:
        """``section`` and ``issuer`` replace keys of the authorization server and of the trusted issuer.

        Without a ``section`` the token endpoint is the tap's.
        """
        ...


@pytest.fixture(scope="session")
def installed() -> tuple[Path, Path]:
    """Node, and the modules that the server needs."""
    try:
        return node(), dependencies(HERE)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def provider(installed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OIDCProvider]:
    """A running server, shared by all tests: leave it as it was."""
    server = OIDCProvider(*installed, tmp_path_factory.mktemp("oidc-provider"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_provider(
    installed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], OIDCProvider]]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:

        def make() -> OIDCProvider:
            server = OIDCProvider(*installed, tmp_path_factory.mktemp("oidc-provider"))
            stack.callback(server.stop)
            server.start()
            return server

        yield make


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Starts worlds that end with the test, and fails it where a token or a secret got out."""
    worlds: list[World] = []
    async with AsyncExitStack() as stack:

        async def make(
            server: OIDCProvider,
            *,
            auth: Mapping[str, Any] | None = None,
            exchange: Mapping[str, Any] = ORDERS,
            section: Mapping[str, Any] | None = None,
            issuer: Mapping[str, Any] | None = None,
            actor_token: str | None = None,
        ) -> World:
            folder = tmp_path / f"world-{len(worlds)}"
            folder.mkdir()
            secret = folder / "gateway.secret"
            secret.write_text(SECRET)
            basic = {"method": "client_secret_basic", "client_id": "gateway", "client_secret_file": str(secret)}
            client_auth = dict(auth or basic)
            if actor_token is not None:
                (folder / "actor.token").write_text(actor_token)

            def configure(tap_port: int, upstream_port: int) -> dict[str, Any]:
                tapped = {"issuer": server.url, "token_endpoint": f"http://127.0.0.1:{tap_port}/token"}
                file = {"self": {"file": "actor.token", "type": "access_token"}}
                return {
                    "trusted_issuers": {
                        "op": {
                            "issuer": server.url,
                            "audience": [client_auth["client_id"]],
                            "token_profile": "at+jwt",
                            **(issuer or {}),
                        }
                    },
                    "authorization_servers": {"op": {"client_auth": client_auth, **(section or tapped)}},
                    "routes": [orders(upstream_port, exchange)],
                    **({"workload_tokens": file} if actor_token is not None else {}),
                }

            secrets = [SECRET, server.proofs.long_secret]
            made = await stack.enter_async_context(world_around(folder, server.port, configure, secrets))
            made.presented += [actor_token] if actor_token is not None else []
            worlds.append(made)
            return made

        yield make
        assert [leak for world in worlds for leak in await world.leaks()] == []
