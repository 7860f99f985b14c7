"""Fixtures of the tests against real programs: each is started once for a session, or skipped with a reason."""

from collections.abc import Iterator

import pytest

from tests.interop.installation import Unavailable, installed
from tests.interop.keycloak import Keycloak


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
