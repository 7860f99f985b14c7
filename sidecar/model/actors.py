"""Who may act: how a configuration names actors, and what a token's ``may_act`` says (RFC 8693 §4.1, §4.4).

Who does act is read in ``model.tokens``; what follows from it is for ``policy`` and the embedded server to decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.model.tokens import Actor


@dataclass(frozen=True, slots=True)
class ActorPattern:
    """One actor, or several. iss: None stands for the issuer of the token that names the actor. sub: see ``fits``."""

    iss: str | None
    sub: str

    def takes(self, actor: Actor, iss: str) -> bool:
        """Whether an actor of a token is meant. iss: the token's issuer."""
        return actor.iss == (iss if self.iss is None else self.iss) and fits(self.sub, actor.sub)

    def covers(self, other: "ActorPattern") -> bool:
        """Whether every actor that another pattern takes is taken by this one too, whatever the token's issuer is."""
        return self.iss == other.iss and fits(self.sub, other.sub)

    def __str__(self) -> str:
        return self.sub if self.iss is None else f"{self.sub} of {self.iss}"


def fits(pattern: str, name: str) -> bool:
    """Whether a name is what a pattern says: the same, or, where it ends in ``*``, what is before that and more."""
    if pattern.endswith("*"):
        return len(name) >= len(pattern) and name.startswith(pattern[:-1])
    return name == pattern


def may_act(claims: Mapping[str, Any], actor: Mapping[str, Any]) -> bool:
    """Whether a token lets a party act for its subject: all do where it has no ``may_act``, else who is all it says.

    actor: the claims that identify the party. Without ``iss`` it is one of the token's own issuer. Every other member
    counts too, also one that nobody here knows. ValueError: ``may_act`` is no object that names anybody.
    """
    if "may_act" not in claims:
        return True
    named = claims["may_act"]
    if not isinstance(named, Mapping) or not named.keys() - {"iss"}:
        raise ValueError("may_act names nobody")
    wanted = {"iss": claims.get("iss"), **named}
    return all(
        name in actor and type(actor[name]) is type(value) and actor[name] == value for name, value in wanted.items()
    )
