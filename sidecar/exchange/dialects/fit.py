"""What a route may not ask of a server because its dialect says that it refuses it, or takes no notice.

Told when the configuration is read: a server that takes no notice of an audience or an actor token would issue
another token than the one that was meant. RFC 8693 §2.1, RFC 8707 §2. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.exchange.dialects.dialect import Dialect
from sidecar.exchange.grants import GRANTS
from sidecar.model.route import Exchange


@dataclass(frozen=True, slots=True)
class Misfit:
    """One thing that can't be asked for.

    key: of the route's ``exchange``. switch: of the dialect that says so, if one does.
    """

    key: tuple[str, ...]
    why: str
    switch: str | None


def misfits(dialect: Dialect, exchange: Exchange, *, audience_expected: bool) -> Iterator[Misfit]:
    """Return what this route can't ask of a server that speaks this dialect.

    audience_expected: whether the route says itself what ``aud`` is held against.
    """
    names_types = GRANTS[dialect.grant].names_types
    if dialect.audience == "none" and exchange.audience:
        why = "the server takes no audience; say what its tokens are for in expect.audience"
        yield Misfit(("audience",), why, "audience")
    if dialect.audience == "one" and len(exchange.audience) != 1:
        yield Misfit(("audience",), "the server wants exactly one audience", "audience")
    if dialect.resource == "none" and exchange.resource:
        yield Misfit(("resource",), "the server takes no resource", "resource")
    if dialect.scope == "required" and not exchange.scope:
        yield Misfit(("scope",), "the server wants a scope", "scope")
    if exchange.actor_token is not None and not (names_types and dialect.actor_token):
        why = "the server takes no notice of an actor token"
        yield Misfit(("actor_token",), why, "actor_token" if names_types else None)
    if exchange.requested_token_type is not None and not names_types:
        yield Misfit(("requested_token_type",), f"the grant {dialect.grant} names no types of tokens", None)
    if dialect.expect_audience == "listed" and not audience_expected:
        why = "missing; the server is told no audience, so list what its tokens are for"
        yield Misfit(("expect", "audience"), why, "expect_audience")


def misfit_of_type(dialect: Dialect, token_type: str) -> str | None:
    """Return why subject tokens that are called this type can't be traded; None where they can."""
    taken = dialect.subject_token_types
    if not GRANTS[dialect.grant].names_types or not taken or token_type in taken:
        return None
    return f"the server trades {', '.join(taken)}, not {token_type}"
