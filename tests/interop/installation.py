"""Keycloak's distribution, ready to be started: fetched by Maven, built once and kept, with a Java that can run it.

What is kept lies in the checkout's ``.cache``. Nothing here starts the server or knows a realm.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.interop.java import MIN_JAVA, fetched_java, find_java

VERSION: Final = "26.7.1"
ARTIFACT: Final = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
SHA256: Final = "2a67bb5773b6bb027461f485241379ac93dcfe353ffc1911f8b7ba7206c88b33"
#: A database in a file, so that the signing keys survive an outage; where the file lies is said at each start.
#: Certificates of clients are asked for over https, and not required.
BUILD: Final = ("--db=dev-file", "--https-client-auth=request")
NAME: Final = f"keycloak-{VERSION}-tls"  # by what it was built with
STEP_TIMEOUT: Final = 300.0
CACHE: Final = Path(__file__).parents[2] / ".cache"


class Unavailable(Exception):
    """This machine can't have a Keycloak; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A built distribution in ``home`` and the Java to run it with. Shared by all runs: no database lies in it."""

    home: Path
    java_home: Path


def installed(cache: Path = CACHE) -> Installation:
    """Return the installation, making it first where there is none: half a minute, and 180 MB over the network.

    Where this machine has no Java that is new enough, one is fetched too: 35 MB. Runs at the same time wait for the
    one that makes it. Unavailable: no Maven, or it can't fetch it, or there is no Java.
    """
    home = cache / NAME
    if not home.exists():
        _maven()  # before anything is fetched in vain
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "keycloak.lock").open("w") as lock:
        # The wait has an end: each step of the run that holds the lock has a deadline, and its death frees the lock.
        fcntl.flock(lock, fcntl.LOCK_EX)
        java_home = find_java() or fetched_java(cache)
        if java_home is None:
            raise Unavailable(
                f"Keycloak {VERSION} needs Java {MIN_JAVA} or later; there is none, nor can it be fetched"
            )
        if not home.exists():
            with tempfile.TemporaryDirectory(prefix="keycloak-", dir=cache) as directory:
                _make(Path(directory), java_home).rename(home)
    return Installation(home, java_home)


def _make(directory: Path, java_home: Path) -> Path:
    """Fetch, unpack and build in this directory; return the built folder, which may be moved."""
    with zipfile.ZipFile(_fetch(directory)) as archive:
        archive.extractall(directory)
    home = directory / f"keycloak-{VERSION}"
    script = home / "bin" / "kc.sh"
    script.chmod(0o755)  # zipfile keeps no modes
    built = _run([str(script), "build", *BUILD], {"PATH": os.environ["PATH"], "JAVA_HOME": str(java_home)})
    if built.returncode != 0:
        raise RuntimeError(f"Keycloak's build failed:\n{built.stdout}")
    return home


def _fetch(directory: Path) -> Path:
    """Have Maven put the distribution into this directory; return the file, whose digest was checked."""
    try:
        copied = _run(
            [_maven(), "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={directory}"],
            os.environ,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"Maven did not fetch {ARTIFACT} within {STEP_TIMEOUT:.0f} seconds") from None
    if copied.returncode != 0:
        reason = next((line for line in copied.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise Unavailable(f"Maven can't fetch {ARTIFACT}: {reason[:300]}")
    (archive,) = directory.glob("*.zip")
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise RuntimeError(f"{ARTIFACT} is not the file it was: SHA-256 {digest}")
    return archive


def _maven() -> str:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable(f"Maven (mvn) is needed to fetch {ARTIFACT}")
    return maven


def _run(argv: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=STEP_TIMEOUT,
        check=False,
    )
