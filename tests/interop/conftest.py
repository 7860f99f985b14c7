"""Fixtures of the tests against real programs: each is started once for a session, or skipped with a reason."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.interop.installation import Unavailable, installed
from tests.interop.keycloak import Keycloak
from tests.interop.world import World, running_world


class MakeWorld(Protocol):
    """Starts a gateway at a realm; the settings are those of ``running_world``."""

    async def __call__(self, realm: str, **settings: Mapping[str, Any] | str | bool) -> World: ...


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    """A running Keycloak with the realms ``corp`` and ``stock``, shared by all tests: leave it as it was."""
    try:
        installation = installed()
    except Unavailable as reason:
        pytest.skip(str(reason))
    server = Keycloak(installation, tmp_path_factory.mktemp("keycloak"))
    try:
        server.start()
        server.create_realms()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def world(keycloak: Keycloak, tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Starts worlds that end with the test, and fails it where a token or a secret got out."""
    worlds: list[World] = []
    async with AsyncExitStack() as stack:

        async def make(realm: str, **settings: Any) -> World:
            folder = tmp_path / f"world-{len(worlds)}"
            folder.mkdir()
            worlds.append(await stack.enter_async_context(running_world(keycloak, folder, realm, **settings)))
            return worlds[-1]

        yield make
        assert [leak for world in worlds for leak in await world.leaks()] == []
