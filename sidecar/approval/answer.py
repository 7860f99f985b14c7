"""What an approver's answer says, read strictly: AuthZEN 1.0 (Access Evaluation) and OPA's data API.

Pure. Only JSON's own ``true`` is a yes; whatever leaves room for a second reading is an error, never a yes. What
follows from an answer is for ``approver`` to decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.model.approval import cut
from sidecar.model.claims import instant

_RESULT: Final = frozenset({"allow", "reason", "approval_id", "expires_at"})


class AnswerError(ValueError):
    """The answer says neither yes nor no; constant text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A yes or a no. reason, id: the approver's words, cut. expires_at: wall-clock seconds until which a yes counts."""

    allow: bool
    reason: str | None = None
    id: str | None = None
    expires_at: float | None = None


def read_authzen(members: Mapping[str, Any]) -> Answer:
    """Read an evaluation response. AnswerError: it is none.

    The standard leaves ``context`` to the approver: ``reason``, ``approval_id`` and ``expires_at`` are read as in OPA's
    result, the rest is passed over.
    """
    context = members.get("context", {})
    if not isinstance(context, dict):
        raise AnswerError("context is no object")
    return _answer(members.get("decision"), context)


def read_opa(members: Mapping[str, Any]) -> Answer:
    """Read an OPA result: true, false, or an object with ``allow``. AnswerError: it is none, or holds other members.

    A policy is written for this one question: a member that is not known may be a misspelt limit.
    """
    result = members.get("result")
    if isinstance(result, dict):
        if not result.keys() <= _RESULT:
            raise AnswerError("result has members beyond allow, reason, approval_id and expires_at")
        return _answer(result.get("allow"), result)
    return _answer(result, {})


def _answer(allow: object, said: Mapping[str, Any]) -> Answer:
    if not isinstance(allow, bool):
        raise AnswerError("the answer is neither true nor false")
    try:
        return Answer(allow, _text(said, "reason"), _text(said, "approval_id"), instant(said, "expires_at"))
    except ValueError:
        raise AnswerError("expires_at is no number of seconds") from None


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    if value is not None and not isinstance(value, str):
        raise AnswerError(f"{name} is no text")
    return cut(value) or None if value is not None else None
