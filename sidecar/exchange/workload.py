"""Workload tokens: ours, not the caller's, read from a file that the platform rotates (RFC 8693 §2.1 actor_token)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

from sidecar.model.tokens import WorkloadToken, token_id
from sidecar.oauth.jwt import JWTError, peek
from sidecar.oauth.secrets import file_secret
from sidecar.rotation import Rotated


@dataclass(frozen=True, slots=True)
class WorkloadTokenFile:
    """One workload token."""

    file: Rotated[WorkloadToken] = field(repr=False)

    def current(self) -> WorkloadToken:
        """Return the token as it is now: the last one that the file held and that was one."""
        return self.file.value


def workload_token_file(name: str, token_type: str, path: str) -> WorkloadTokenFile:
    """Read a token. token_type: the URI an exchange calls it by.

    FileError: the file is missing or does not hold one line of printable ASCII.
    """
    return WorkloadTokenFile(file_secret(path, partial(workload_token, name, token_type)))


def workload_token(name: str, token_type: str, text: bytes) -> WorkloadToken:
    """Read a token. ValueError: the text is not one line of printable ASCII, white space around it left aside."""
    text = text.strip()
    if not text or not text.isascii() or not text.decode().isprintable() or b" " in text:
        raise ValueError("the file does not hold one token")
    token = text.decode()
    identity = b"sha256:" + sha256(text).digest()
    claims: Mapping[str, Any] = {}
    try:
        claims = peek(token).claims
    except JWTError:
        pass
    else:
        iss, sub = claims.get("iss"), claims.get("sub")
        if isinstance(iss, str) and isinstance(sub, str):
            # It rotates while it stays the same actor: a new file must not cost every user a new exchange.
            identity = b"jwt:" + len(iss.encode()).to_bytes(4) + iss.encode() + sub.encode()
    return WorkloadToken(name, token_type, token_id(token, claims), identity, token, claims)
