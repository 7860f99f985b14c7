"""Each check of a delegated request, taken out: whoever runs the suite without one must see it fail.

Used by ``mutate`` alone. What no attack here can reach is not among them and has suites of its own: what is expected of
an authorization server's reply (tests/exchange/test_expect.py), and framing (tests/attacks).
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from sidecar import decide, policy
from sidecar.approval import answer, approver, question
from sidecar.caller import json_rpc, mcp, verify
from sidecar.exchange import ask
from sidecar.model.approval import Approval
from sidecar.model.refusal import Refused

Mutation = Callable[[pytest.MonkeyPatch], None]


def _no_policy_check(name: str) -> Mutation:
    return lambda patch: patch.delitem(policy.CHECKS, name)


def _nothing(module: object, name: str, value: object = None) -> Mutation:
    """A check that says nothing."""
    return lambda patch: patch.setattr(module, name, lambda *_args, **_named: value)


def _claim(name: str, value: Callable[[Any], Any]) -> Mutation:
    """A claim that always has the value it should have."""
    reader = "texts" if name == "aud" else "instant"
    real = getattr(verify, reader)

    def read(claims: Mapping[str, Any], asked: str, **named: Any) -> Any:
        return value(claims) if asked == name else real(claims, asked, **named)

    return lambda patch: patch.setattr(verify, reader, read)


def _key_without(index: int) -> Mutation:
    """A yes counts whatever this member of its key is."""
    real = question._canonical

    def canonical(value: object) -> bytes:
        if isinstance(value, list) and len(value) == 8:
            value = [each for number, each in enumerate(value) if number != index]
        return real(value)

    return lambda patch: patch.setattr(question, "_canonical", canonical)


def _any_issuer(patch: pytest.MonkeyPatch) -> None:
    real = verify.Verifier._candidates

    def candidates(self: verify.Verifier, signed: Any, _allowed: frozenset[str]) -> list[Any]:
        return real(self, signed, frozenset(issuer.name for issuer in self.issuers))

    patch.setattr(verify.Verifier, "_candidates", candidates)


def _no_signature(patch: pytest.MonkeyPatch) -> None:
    async def check(*_: object) -> None:
        return

    patch.setattr(verify, "_check_signature", check)


def _any_tool(patch: pytest.MonkeyPatch) -> None:
    real = mcp.rule_of

    def rule_of(*arguments: Any) -> Any:
        try:
            return real(*arguments)
        except Refused:
            return None

    patch.setattr(decide, "rule_of", rule_of)


def _approved(patch: pytest.MonkeyPatch) -> None:
    real = approver.Approver.approve

    async def approve(self: approver.Approver, asked: question.Question) -> Approval:
        return replace(await real(self, asked), refusal=None)

    patch.setattr(approver.Approver, "approve", approve)


def _always_reused(patch: pytest.MonkeyPatch) -> None:
    real = approver.Approver.approve

    async def approve(self: approver.Approver, asked: question.Question) -> Approval:
        return await real(self, replace(asked, policy=replace(asked.policy, max_age=max(1.0, asked.policy.max_age))))

    patch.setattr(approver.Approver, "approve", approve)


def _fails_open(patch: pytest.MonkeyPatch) -> None:
    def unavailable(_self: object, asked: float, _reason: str) -> Any:
        return approver._Said(asked, answer.Answer(allow=True))

    patch.setattr(approver.Approver, "_unavailable", unavailable)


def _anything_true(patch: pytest.MonkeyPatch) -> None:
    def read(members: Mapping[str, Any]) -> answer.Answer:
        return answer.Answer(allow=bool(members.get("decision")))

    patch.setitem(approver.FORMS, "authzen", replace(approver.FORMS["authzen"], read=read))


def _never_expires(patch: pytest.MonkeyPatch) -> None:
    real = approver.Approver._denial
    patch.setattr(approver.Approver, "_denial", lambda self, said, _expires: real(self, said, math.inf))


def _cached_for(parts: Callable[[ask.Asker, Any], bytes]) -> Mutation:
    real = ask.Asker._ask

    def _ask(self: ask.Asker, subject: Any, actor: Any) -> ask.Ask:
        return replace(real(self, subject, actor), key=parts(self, subject))

    return lambda patch: patch.setattr(ask.Asker, "_ask", _ask)


MUTATIONS: Final[Mapping[str, Mutation]] = {
    **{f"policy: {name}": _no_policy_check(name) for name in policy.CHECKS},
    "policy: may_act": _nothing(decide, "allow_actor"),
    "token: signature": _no_signature,
    "token: issuers of the route": _any_issuer,
    "token: audience": _claim("aud", lambda _: ["tools-gateway"]),
    "token: exp": _claim("exp", lambda _: 4e9),
    "token: nbf": _claim("nbf", lambda _: None),
    "token: profile": _nothing(verify, "flaw"),
    "mcp: tools and methods are named": _any_tool,
    "mcp: head and body agree": _nothing(mcp, "_agree"),
    "mcp: media type and coding": _nothing(mcp, "_check_head"),
    "mcp: strict JSON": lambda patch: patch.setattr(json_rpc, "strict_json", json.loads),
    "mcp: lookalikes of members": _nothing(json_rpc, "refuse_lookalikes"),
    "mcp: lookalikes of arguments": _nothing(mcp, "refuse_lookalikes"),
    "mcp: pages of other origins": _nothing(decide, "refuse_page"),
    "approval: the step": _approved,
    "approval: asked for every request": _always_reused,
    "approval: ends": lambda patch: patch.setattr(approver.Approver, "_end", staticmethod(lambda *_: math.inf)),
    "approval: expires_at": _never_expires,
    "approval: fails closed": _fails_open,
    "approval: true is true": _anything_true,
    "approval: status of the answer": lambda patch: patch.setattr(approver, "_usable", lambda reply: reply),
    "approval: key: route": _key_without(0),
    "approval: key: subject token": _key_without(1),
    "approval: key: method, tool, arguments": _key_without(4),
    "approval: key: bound path": _key_without(7),
    "cache: key: subject token": _cached_for(lambda asker, _: asker._digest.digest()),
    "cache: key: scope and audience": _cached_for(lambda _, subject: bytes(subject.digest)),
}
