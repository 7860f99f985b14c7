"""The grants by which a subject token is traded for an issued one: which parameters carry what.

A grant is data; ``ask`` makes form and cache key from it, and ``reply`` knows by it what an answer must say. Adding one
is a line in GRANTS and its name in ``config.schema.servers``. RFC 8693 §2.1, RFC 7523 §2.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant.

    subject_token: the parameter that carries the subject token.
    names_types: whether types of tokens are named, as RFC 8693 does: in the form those of the subject and the actor
        token and the requested one, in a reply the issued one's. An actor token can only be sent where they are.
    constants: further parameters that are always the same.
    """

    grant_type: str
    subject_token: str
    names_types: bool
    constants: tuple[tuple[str, str], ...] = ()


GRANTS: Final[Mapping[str, Grant]] = MappingProxyType(
    {
        "token-exchange": Grant("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", names_types=True),
        "jwt-bearer": Grant(_JWT_BEARER, "assertion", names_types=False),
        # Microsoft Entra ID calls this use of the JWT bearer grant on-behalf-of.
        "entra-obo": Grant(
            _JWT_BEARER, "assertion", names_types=False, constants=(("requested_token_use", "on_behalf_of"),)
        ),
    }
)
