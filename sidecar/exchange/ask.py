"""What is asked of the authorization server, as one list of which both the form and the cache key are made.

Because there is one list, nothing can be sent that the key does not know (RFC 8693 §2.1 for the form). The key is
SHA-256 over the length-framed list, so that no two different lists can share one by concatenation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from sidecar.exchange.grants import Grant
from sidecar.model.flush import About
from sidecar.model.memory import Memory
from sidecar.model.route import Exchange
from sidecar.model.tokens import Subject, WorkloadToken

#: Parameters that the grant and the client authentication set; extra parameters may not name them.
RESERVED: Final = frozenset(
    {
        "grant_type",
        "audience",
        "resource",
        "scope",
        "requested_token_type",
        "requested_token_use",
        "authorization_details",
        "assertion",
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
    }
)

#: What stands in the place of a token where a form is shown.
SHOWN: Final[Mapping[str, str]] = {
    "subject_token": "(the caller's)",
    "assertion": "(the caller's)",
    "actor_token": "(ours)",
}


#: Asks of one route that are remembered.
REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the form: what is sent, and what the key counts (the same but for a token that rotates)."""

    name: str
    value: str = field(repr=False)
    counted: bytes = field(repr=False)

    @classmethod
    def plain(cls, name: str, value: str) -> "Parameter":
        """Return a parameter that is counted as it is sent."""
        return cls(name, value, value.encode())

    def framed(self) -> bytes:
        """Return what the key counts, framed by its length."""
        return _framed(self.name.encode()) + _framed(self.counted)


@dataclass(frozen=True, slots=True)
class Ask:
    """One exchange to be asked for: its parameters, without client authentication, and their key of 32 bytes.

    about: by what it is found where tokens are to be forgotten.
    """

    parameters: tuple[Parameter, ...] = field(repr=False)
    key: bytes
    about: About

    @property
    def form(self) -> list[tuple[str, str]]:
        """The form's name and value pairs, in order."""
        return [(parameter.name, parameter.value) for parameter in self.parameters]


class Asker:
    """Makes the asks of one route at one authorization server; what is the same for all of them is done once."""

    def __init__(
        self,
        exchange: Exchange,
        grant: Grant,
        *,
        server: str,
        endpoint: str,
        client_id: str,
        extra_params: Mapping[str, str],
    ) -> None:
        """server: its name in the file. endpoint: the token endpoint, or where it is discovered from.

        asked: a digest of all that is the same for every subject.
        """
        fixed = [
            Parameter.plain("grant_type", grant.grant_type),
            *(Parameter.plain(name, value) for name, value in grant.constants),
            *(Parameter.plain("audience", audience) for audience in exchange.audience),
            *(Parameter.plain("resource", resource) for resource in exchange.resource),
            *(Parameter.plain(name, value) for name, value in extra_params.items()),
        ]
        if exchange.scope:
            fixed.append(Parameter.plain("scope", " ".join(exchange.scope)))
        if exchange.requested_token_type:
            fixed.append(Parameter.plain("requested_token_type", exchange.requested_token_type))
        if exchange.authorization_details:
            details = f"[{','.join(exchange.authorization_details)}]"  # RFC 9396 §6
            fixed.append(Parameter.plain("authorization_details", details))
        self._grant = grant
        self._fixed = tuple(fixed)
        self._digest = sha256(b"".join(_framed(part.encode()) for part in (server, endpoint, client_id)))
        self._digest.update(b"".join(parameter.framed() for parameter in fixed))
        self._server = server
        self.asked = self._digest.digest()
        self._remembered: Memory[int, tuple[Subject, WorkloadToken | None, Ask]] = Memory(REMEMBERED)

    def ask(self, subject: Subject, actor: WorkloadToken | None) -> Ask:
        """Return what is to be asked for this subject token, and the actor token where the route adds one.

        A token of ours counts in the key by its identity: it rotates while it stays the same actor.
        """
        # An ask is made of nothing but these two, which never change, so the same two have the same one; and while they
        # are remembered no other subject can have this id.
        known = self._remembered.get(id(subject))
        if known is not None and known[0] is subject and known[1] is actor:
            return known[2]
        ask = self._ask(subject, actor)
        self._remembered.put(id(subject), (subject, actor, ask))
        return ask

    def _ask(self, subject: Subject, actor: WorkloadToken | None) -> Ask:
        ours = subject.workload
        counted = subject.token.encode() if ours is None else ours.identity
        added = [Parameter(self._grant.subject_token, subject.token, counted)]
        if self._grant.names_types:
            added.append(Parameter.plain("subject_token_type", subject.token_type))
        if actor is not None:
            added.append(Parameter("actor_token", actor.token, actor.identity))
            added.append(Parameter.plain("actor_token_type", actor.token_type))
        digest = self._digest.copy()
        digest.update(b"".join(parameter.framed() for parameter in added))
        about = About(subject.iss, subject.sub, self._server, self.asked)
        return Ask((*self._fixed, *added), digest.digest(), about)


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(4) + part
