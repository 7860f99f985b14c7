"""Workload tokens: ours, not the caller's, read from a file that the platform rotates (RFC 8693 §2.1 actor_token)."""

from dataclasses import dataclass, field
from hashlib import sha256

from sidecar.model.refusal import Kind, refuse
from sidecar.model.tokens import WorkloadToken, token_id
from sidecar.oauth.jwt import JWTError, peek
from sidecar.oauth.secrets import Secret


@dataclass(slots=True)
class WorkloadTokenFile:
    """One workload token. token_type: the URI an exchange calls it by."""

    name: str
    token_type: str
    secret: Secret = field(repr=False)
    _text: bytes = field(default=b"", repr=False)
    _token: WorkloadToken | None = None

    def current(self) -> WorkloadToken:
        """Return the token as it is now.

        Refused (EXCHANGE_MISCONFIGURED): the file does not hold one line of printable ASCII.
        """
        text = self.secret.value().strip()
        if self._token is None or text != self._text:
            self._token, self._text = self._parsed(text), text
        return self._token

    def _parsed(self, text: bytes) -> WorkloadToken:
        if not text or not text.isascii() or not text.decode().isprintable() or b" " in text:
            raise refuse(
                Kind.EXCHANGE_MISCONFIGURED,
                "The gateway's own token can't be read.",
                finding=f"workload_tokens.{self.name}: the file does not hold one token",
            )
        token = text.decode()
        identity = b"sha256:" + sha256(text).digest()
        claims = None
        try:
            claims = peek(token).claims
        except JWTError:
            pass
        else:
            iss, sub = claims.get("iss"), claims.get("sub")
            if isinstance(iss, str) and isinstance(sub, str):
                # It rotates while it stays the same actor: a new file must not cost every user a new exchange.
                identity = b"jwt:" + len(iss.encode()).to_bytes(4) + iss.encode() + sub.encode()
        return WorkloadToken(self.name, self.token_type, token_id(token, claims), identity, token)
