"""Whose fault a failed exchange is, and which key of the file would change it.

Told from the kind of refusal, what the server's error is about in its dialect, and what was found. Where no key would
help, none is named.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sidecar.commands.configuration import first_key
from sidecar.commands.keys import decisive
from sidecar.config.loaded import Loaded
from sidecar.config.problems import Path
from sidecar.config.schema import CertificateClientAuth
from sidecar.exchange.dialects.errors import Cause
from sidecar.exchange.plan import Plan
from sidecar.model.refusal import Kind, Refusal
from sidecar.oauth.server import ErrorReply
from sidecar.snapshot.client_auth import SOURCES

Fault = dict[str, Any]


class Party(StrEnum):
    """Whose fault a failure is."""

    CALLER = "the caller's token"
    CONFIGURATION = "our configuration"
    CREDENTIALS = "our credentials"
    POLICY = "the authorization server's policy"
    SERVER = "the authorization server's health"
    REPLY = "the authorization server's reply"
    ISSUER = "the issuer's health"


#: What the server's answer is about, by its dialect: who, what that means, which key counts.
_CAUSES: Final[Mapping[Cause, tuple[Party, str, str]]] = {
    Cause.SUBJECT_TOKEN: (Party.CALLER, "it does not accept the caller's token", ""),
    Cause.REQUEST: (Party.CONFIGURATION, "it does not take this form", "exchange"),
    Cause.TARGET: (Party.CONFIGURATION, "it has no such audience or resource for this client", "target"),
    Cause.CREDENTIALS: (Party.CREDENTIALS, "it does not accept who we say we are", "credentials"),
    Cause.CLIENT: (Party.CREDENTIALS, "this client may not exchange tokens there", "client_auth.client_id"),
    Cause.SCOPE: (Party.POLICY, "it does not give this scope", "exchange.scope"),
    Cause.POLICY: (Party.POLICY, "it denies this exchange", "exchange"),
    Cause.STEP_UP: (Party.CALLER, "it wants another authentication of the caller", ""),
    Cause.SERVER: (Party.SERVER, "it can't answer now", "endpoint"),
}
#: Codes that say more than their cause does.
_CODES: Final[Mapping[tuple[str, Cause], tuple[Party, str, str]]] = {
    ("invalid_request", Cause.REQUEST): (
        Party.CONFIGURATION,
        "it does not take this form, or not the caller's token, for which RFC 8693 has no other code",
        "exchange",
    ),
    ("unsupported_grant_type", Cause.REQUEST): (Party.CONFIGURATION, "it makes no token exchanges", "endpoint"),
    ("unsupported_token_type", Cause.REQUEST): (
        Party.CONFIGURATION,
        "it does not know a type of token in the form",
        "exchange.requested_token_type",
    ),
}
#: One of these is in every reason that tells of a peer's state, none in one that a wrong address would explain.
_HEALTH: Final = ("connection", "in time", "server")


#: How a refused certificate shows: the server ends the connection, with or without saying so in time.
_HANDSHAKE: Final = ("TLS failed", "the connection broke", "the connection was closed")


class Faults:
    """Finds the fault in one route's exchange."""

    def __init__(self, loaded: Loaded, plan: Plan) -> None:
        name = plan.exchange.authorization_server
        self._loaded, self._plan = loaded, plan
        self._section = loaded.config.authorization_servers[name]
        self._server: Path = ("authorization_servers", name)
        self._route: Path = ("routes", [route.name for route in loaded.config.routes].index(plan.route.name))

    def named(self, party: Party, refusal: Refusal) -> Fault:
        """Blame a party by the key that the refusal names."""
        return self._blame(party, why(refusal), decisive(self._loaded, self._plan.route, refusal))

    def own_token(self, refusal: Refusal) -> Fault:
        """Blame for a token of ours that is not to be had."""
        down = refusal.kind in (Kind.EXCHANGE_UNAVAILABLE, Kind.EXCHANGE_TIMEOUT, Kind.OVERLOADED)
        return self.named(Party.SERVER if down else Party.CONFIGURATION, refusal)

    def subject(self, refusal: Refusal, unavailable: str) -> Fault:
        """Blame for a subject token that was refused. unavailable: why its issuer's keys could not be had."""
        keys = decisive(self._loaded, self._plan.route, refusal)
        if refusal.kind is Kind.ISSUER_UNAVAILABLE and keys is not None:
            reason = why(refusal) if keys[-1] == "introspection" else unavailable or why(refusal)
            return self._blame_peer(Party.ISSUER, reason, keys[:2], keys)
        return self.named(Party.CALLER, refusal)

    def exchange(self, refusal: Refusal, answer: ErrorReply | None) -> Fault:
        """Blame for an exchange that came to nothing. answer: the server's, where that was an error."""
        kind, reason = refusal.kind, why(refusal)
        code = answer.error if answer is not None else None
        if kind is Kind.EXCHANGE_UNUSABLE:
            return self.named(Party.REPLY, refusal)
        if kind is Kind.EXCHANGE_TIMEOUT:
            return self._blame(Party.SERVER, f"{reason}, so it takes longer than it may", self._key("timeout"))
        cause = self._plan.dialect.cause_of(code, answer.description) if answer is not None and code else None
        if cause is None:
            if isinstance(self._section.client_auth, CertificateClientAuth) and reason in _HANDSHAKE:
                means = "which is how a server refuses our certificate"
                return self._blame(Party.CREDENTIALS, f"{reason}, {means}", self._key("credentials"))
            return self._blame_peer(Party.SERVER, reason, self._server, self._key("endpoint"))
        party, means, key = _CODES.get((code or "", cause), _CAUSES[cause])
        return self._blame(party, f"{reason}, so {means}", self._key(key) if key else None)

    def _blame_peer(self, health: Party, reason: str, peer: Path, where: Path) -> Fault:
        """Tell a peer that is down from one that is asked wrongly."""
        if "proxy" in reason:
            return self._blame(Party.CONFIGURATION, reason, (*peer, "proxy_url"))
        if "certificate" in reason or "TLS" in reason:
            return self._blame(Party.CONFIGURATION, reason, (*peer, "tls"))
        return self._blame(health if any(word in reason for word in _HEALTH) else Party.CONFIGURATION, reason, where)

    def _key(self, name: str) -> Path:
        """A key of the route's exchange or of its server."""
        if name == "endpoint":
            return first_key(self._server, self._section, ("token_endpoint", "discovery_url", "issuer"))
        if name == "credentials":
            names = (*SOURCES, "client_id", "method")
            return first_key((*self._server, "client_auth"), self._section.client_auth, names)
        if name == "target":
            exchange = self._plan.exchange
            asked = {"audience": exchange.audience, "resource": exchange.resource, "scope": exchange.scope}
            name = f"exchange.{next((key for key, values in asked.items() if values), 'audience')}"
        return (*(self._route if name.startswith("exchange") else self._server), *name.split("."))

    def _blame(self, party: Party, reason: str, key: Path | None) -> Fault:
        """Put whose fault it is into one sentence."""
        at = self._loaded.problem(key, "") if key is not None else None  # as its own file has it
        path, place = (at.path, f"{at.file}:{at.line}") if at is not None else (None, None)
        named = f"the key is {path} ({place})" if path is not None else "no key of the file changes that"
        return {
            "party": party.value,
            "key": path,
            "place": place,
            "sentence": f"The fault lies with {party.value}: {reason}; {named}.",
        }


def why(refusal: Refusal) -> str:
    """Return what was found, or the sentence that callers are shown."""
    return refusal.finding or refusal.reason.rstrip(".")
