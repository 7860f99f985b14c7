"""What can differ from one authorization server to the next: a dialect's switches, and nothing that acts.

The defaults are RFC 8693's. A switch is a field of ``Dialect``; whoever needs to know what a server does reads it there
and never asks for the server's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sidecar.exchange.dialects.errors import DEFAULT_ERRORS, Cause, DescribedError


@dataclass(frozen=True, slots=True)
class Dialect:
    """One server's ways.

    grant: a name in ``grants.GRANTS``.

    What it may be asked for, held against every route when the configuration is read:

    audience: ``many`` takes any number, ``one`` wants exactly one, ``none`` takes none. resource: likewise.
    scope: whether there has to be one.
    subject_token_types: URIs of the types that it trades; empty: any.
    actor_token: whether it looks at one; a server that ignores it would issue a token that shows no actor.
    requested_token_type: what is sent where the route does not say; None: nothing.

    How we authenticate:

    form_encoding: Basic credentials are form-encoded first (RFC 6749 §2.3.1).
    assertion_audience: what a client assertion is addressed to.

    What its answers are like:

    issued_token_type: ``strict`` refuses a reply without it (RFC 8693 §2.2.1 requires it); ``lenient`` takes a missing
        one for what was asked. A wrong one is refused either way.
    expect_audience: what ``aud`` is held against where the route does not say: the audience that was ``asked`` for, our
        own ``client_id``, or nothing but what the route lists, which then must (``listed``).
    extra_audience, extra_scope: what the stock server adds of itself, and ``expect`` therefore lets pass.
    qualified_scope: a scope is asked for as ``resource/name`` and told as ``name``; ``resource/.default`` asks for
        whatever was consented to.
    subject_claim: the claim that is the same for one person in all tokens.
    relay_claims: what an error reply's ``claims`` ask of the next login goes on to the caller, whose library knows it.
    errors: causes of error codes that differ from DEFAULT_ERRORS. described_errors: those told apart by their text,
        which is never shown to a caller.
    """

    grant: str = "token-exchange"
    audience: Literal["many", "one", "none"] = "many"
    resource: Literal["many", "none"] = "many"
    scope: Literal["optional", "required"] = "optional"
    subject_token_types: tuple[str, ...] = ()
    actor_token: bool = True
    requested_token_type: str | None = None
    form_encoding: bool = True
    assertion_audience: Literal["issuer", "token_endpoint"] = "issuer"
    issued_token_type: Literal["strict", "lenient"] = "strict"
    expect_audience: Literal["asked", "client_id", "listed"] = "asked"
    extra_audience: tuple[str, ...] = ()
    extra_scope: tuple[str, ...] = ()
    qualified_scope: bool = False
    subject_claim: str = "sub"
    relay_claims: bool = False
    errors: Mapping[str, Cause] = field(default_factory=dict)
    described_errors: tuple[DescribedError, ...] = ()

    def cause_of(self, error: str, description: str | None) -> Cause | None:
        """Return what an error reply is about, or None where nobody knows the code."""
        for described in self.described_errors:
            if described.error == error and (description or "").startswith(described.description):
                return described.cause
        return self.errors.get(error) or DEFAULT_ERRORS.get(error)

    def scope_name(self, scope: str) -> str:
        """Return what tokens and replies call a scope that is asked for by this name."""
        return scope.rpartition("/")[2] if self.qualified_scope else scope
