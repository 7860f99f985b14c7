"""Subject and actor tokens as the embedded server accepts them (RFC 8693 §2.1, RFC 8725 §3).

Signature, issuer, times, kind and addressee are checked here. Whether the client may trade such a token for what it
asks is decided in ``sidecar.sts.policy``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.model.tokens import ACCESS_TOKEN, JWT, TOKEN_TYPES, Actor, act_chain
from sidecar.oauth.jwt import JWTError
from sidecar.sts.claims import audiences, time_problem, token_typ
from sidecar.sts.config import EXCHANGED
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.issuers import Issuers, KeysUnavailable

#: The header's ``typ`` that fits each token type; None is a token without one.
TYPS: Final[Mapping[str, tuple[str | None, ...]]] = {
    ACCESS_TOKEN: ("at+jwt", "jwt", None),
    JWT: ("at+jwt", "jwt", None),
    TOKEN_TYPES["id_token"]: ("jwt", None),
}
_ID_TOKEN_CLAIMS: Final = frozenset(("nonce", "at_hash", "c_hash"))


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A subject or actor token after every check; ``actors`` is its own ``act`` chain, outermost first."""

    iss: str
    sub: str
    actors: tuple[Actor, ...]
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def exchanged(self) -> bool:
        """Whether it came of an exchange, here or anywhere else that names actors."""
        return bool(self.actors) or EXCHANGED in self.claims


async def read_token(
    role: str, token: str, token_type: str, issuers: Issuers, addressees: frozenset[str], now: float
) -> VerifiedToken:
    """Check a token and return whose it is.

    role: ``subject token`` or ``actor token``, for the reason given. addressees: one of them must be in its ``aud``.
    now: wall-clock seconds. TokenError: ``invalid_request`` for any fault of the token (RFC 8693 §2.2.2),
    ``temporarily_unavailable`` where its issuer's keys can't be read.
    """
    if token_type not in TYPS:
        raise _bad(role, "is of a type that is not accepted here")
    try:
        signed = await issuers.verify(token)
    except JWTError:
        raise _bad(role, "is not signed by a trusted issuer") from None
    except KeysUnavailable:
        raise TokenError(Code.TEMPORARILY_UNAVAILABLE, f"the keys for the {role} can not be read now") from None
    claims = signed.claims
    id_token_like = token_type == ACCESS_TOKEN and not _ID_TOKEN_CLAIMS.isdisjoint(claims)
    if token_typ(signed.header) not in TYPS[token_type] or id_token_like:
        raise _bad(role, "is not of the type it is said to be")
    if (problem := time_problem(claims, now)) is not None:
        raise _bad(role, problem)
    if "cnf" in claims:
        # Trading a bound token for a bearer one would free it from its proof (RFC 8705 §3, RFC 9449 §7.2).
        raise _bad(role, "is bound to a proof that is not checked here")
    if addressees.isdisjoint(audiences(claims)):
        raise _bad(role, "is not made for this client")
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub:
        raise _bad(role, "has no subject")
    try:
        actors = act_chain(claims)
    except ValueError:
        raise _bad(role, "has a malformed act claim") from None
    return VerifiedToken(claims["iss"], sub, actors, claims)


def _bad(role: str, problem: str) -> TokenError:
    return TokenError(Code.INVALID_REQUEST, f"the {role} {problem}")
