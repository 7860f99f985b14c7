"""What one route expects of an issued token, judged on every use: a cache hit skips no check.

Pure. A refusal's ``finding`` names what was seen and the key of the configuration that would allow it; neither is ever
shown to a caller.
"""

from typing import Final

from sidecar.model.refusal import Kind, Refusal
from sidecar.model.route import Expect, Expected
from sidecar.model.tokens import IssuedToken, Semantics, Subject

_UNEXPECTED: Final = "The issued token is not what the route expects."


def judge(issued: IssuedToken, expect: Expect, subject: Subject) -> Refusal | None:
    """Hold an issued token against what a route expects of it; None means that it may be used."""
    if issued.audience is not None and (refusal := _compare("aud", "audience", expect.audience, issued.audience)):
        return refusal
    if issued.scope is not None and (refusal := _compare("scope", "scope", expect.scope, issued.scope)):
        return refusal
    if expect.same_subject and issued.iss == subject.iss and issued.sub is not None:
        claim = expect.subject_claim
        if issued.sub != (subject.sub if claim == "sub" else subject.claims.get(claim)):
            return _unexpected(f"{claim} is another one than the subject token's", "any", "expect", "subject")
    if expect.semantics is not None and issued.semantics is not expect.semantics:
        seen = {
            Semantics.DELEGATION: "the token carries act",
            Semantics.IMPERSONATION: "the token carries no act",
            Semantics.UNKNOWN: "the token can't be read, so it shows no act",
        }[issued.semantics]
        return _unexpected(seen, "any", "semantics")
    return None


def _compare(claim: str, key: str, expected: Expected, found: frozenset[str]) -> Refusal | None:
    """Compare a set with what is expected of it; where they differ, name the key that would allow it."""
    if expected.allowed is None:
        return None
    if not expected.required <= found:
        missing = _listed(expected.required - found)
        return _unexpected(f"{claim} lacks {missing}", "any", "expect", key)
    if not found <= expected.allowed:
        surplus = _listed(found - expected.allowed)
        return _unexpected(f"{claim} holds {surplus} beyond what was asked", "", "expect", f"extra_{key}")
    return None


def _listed(values: frozenset[str]) -> str:
    return ", ".join(repr(value[:100]) for value in sorted(values)[:10])


def _unexpected(found: str, value: str, *key: str) -> Refusal:
    """Refuse, naming the key of the exchange that would allow it, and its value where that is always the same."""
    path = ("exchange", *key)
    allowing = f"{'.'.join(path)}: {value}" if value else ".".join(path)
    return Refusal(Kind.EXCHANGE_UNUSABLE, _UNEXPECTED, finding=f"{found}; {allowing} would allow it", key=path)
