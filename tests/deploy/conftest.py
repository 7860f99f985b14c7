"""Fixtures of the tests about what is deployed: the programs that render it, and the image's file system."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy import image, tools


@pytest.fixture(scope="session")
def kustomize() -> str:
    """The program's path."""
    return _program("kustomize")


@pytest.fixture(scope="session")
def helm() -> str:
    """The program's path."""
    return _program("helm")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> image.Image:
    """The image's file system, made once for a session: leave it as it is."""
    if shutil.which("ldd") is None:
        pytest.skip("ldd is needed to find shared libraries")
    return image.build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def own_image(built: image.Image, tmp_path: Path) -> image.Image:
    """A copy of it that a test may change."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", str(built.root), str(root)], check=True)
    return image.Image(root, built.user, built.entrypoint, built.command, built.digest)


def _program(name: str) -> str:
    try:
        return tools.program(name)
    except tools.Unavailable as reason:
        pytest.skip(str(reason))
