"""What looks like a token in a path, hidden before anybody is shown the path. Pure.

A caller may have pasted one there; whose it is makes no difference. What goes upstream is never changed here (RFC 7515
§3.1 for the compact form).
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

#: What looks like a JOSE compact form: Base64 of a JSON object, dot, and more, which is another such object where the
#: first one begins with white space.
_TOKEN: Final = re.compile(rb"eyJ[\w-]+\.[\w.-]+|(?:eyA|ew[o0])[\w-]+\.(?:ey[JA]|ew[o0])[\w.-]+")


def shown_path(path: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """Return a path as it came; where a token is in it, however it is spelled, decoded and without it.

    tokens: what must not be shown, beside what looks like a token.
    """
    decoded = unquote_to_bytes(path) if b"%" in path else path
    shown = _TOKEN.sub(b"[token]", decoded)
    for token in tokens:
        shown = shown.replace(token, b"[token]")
    return path if shown == decoded else shown
