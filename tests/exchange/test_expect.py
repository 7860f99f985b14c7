from typing import Any

import pytest

from sidecar.exchange.expect import judge
from sidecar.model.refusal import Kind
from sidecar.model.route import Expect, Expected
from sidecar.model.tokens import Actor, IssuedToken, Semantics
from tests.support.values import issued, subject

ASKED = Expect(
    audience=Expected(frozenset({"orders-api"}), frozenset({"orders-api"})),
    scope=Expected(frozenset(), frozenset({"orders.read", "orders.write"})),
)
AGENT = Actor("https://issuer.example", "agent")


@pytest.mark.parametrize(
    ("token", "finding"),
    [
        (issued(), None),
        (issued(scope=frozenset()), None),  # narrower is allowed
        (issued(scope=None), None),
        (issued(audience=None), None),  # opaque: taken
        (issued(audience=frozenset()), "aud lacks 'orders-api'; exchange.expect.audience: any"),
        (issued(audience=frozenset({"account"})), "aud lacks 'orders-api'"),
        (issued(audience=frozenset({"orders-api", "account"})), "aud holds 'account' beyond what was asked"),
        (
            issued(scope=frozenset({"orders.read", "admin"})),
            "scope holds 'admin' beyond what was asked; exchange.expect",
        ),
        (issued(sub="mallory"), "sub is another one than the subject token's; exchange.expect.subject: any"),
        (issued(sub="mallory", iss="https://other.example"), None),  # another issuer names people its own way
        (issued(sub=None), None),
    ],
)
def test_what_was_asked(token: IssuedToken, finding: str | None) -> None:
    refusal = judge(token, ASKED, subject())
    if finding is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.kind is Kind.EXCHANGE_UNUSABLE
        assert refusal.finding.startswith(finding)
        assert "mallory" not in refusal.finding


def test_extra_is_let_pass_and_any_checks_nothing() -> None:
    token = issued(audience=frozenset({"orders-api", "account"}), scope=frozenset({"profile"}))
    extra = Expect(
        audience=Expected(frozenset({"orders-api"}), frozenset({"orders-api", "account"})),
        scope=Expected(frozenset(), frozenset({"profile"})),
    )
    assert judge(token, extra, subject()) is None
    assert (
        judge(issued(audience=frozenset({"x"}), scope=frozenset({"y"}), sub="z"), Expect(same_subject=False), subject())
        is None
    )


def test_a_list_must_all_be_there() -> None:
    expect = Expect(scope=Expected(frozenset({"a", "b"}), frozenset({"a", "b"})))
    assert judge(issued(scope=frozenset({"a", "b"})), expect, subject()) is None
    refusal = judge(issued(scope=frozenset({"a"})), expect, subject())
    assert refusal is not None
    assert refusal.finding.startswith("scope lacks 'b'")


@pytest.mark.parametrize(
    ("actors", "wanted", "finding"),
    [
        ((AGENT,), Semantics.DELEGATION, None),
        ((), Semantics.DELEGATION, "the token carries no act; exchange.semantics: any would allow it"),
        (None, Semantics.DELEGATION, "the token can't be read, so it shows no act"),
        ((AGENT,), Semantics.IMPERSONATION, "the token carries act"),
        ((), Semantics.IMPERSONATION, None),
        (None, None, None),
        ((AGENT,), None, None),
    ],
)
def test_semantics(actors: tuple[Actor, ...] | None, wanted: Semantics | None, finding: str | None) -> None:
    refusal = judge(issued(actors=actors), Expect(semantics=wanted), subject())
    assert (refusal is None) is (finding is None)
    if refusal is not None and finding is not None:
        assert refusal.finding.startswith(finding)


def test_a_finding_is_bounded() -> None:
    refusal = judge(issued(audience=frozenset(f"{n:03}" + "x" * 500 for n in range(100))), ASKED, subject())
    assert refusal is not None
    assert len(refusal.finding) < 2000


@pytest.mark.parametrize(
    ("claims", "finding"),
    [
        ({"oid": "o-1"}, None),
        ({"oid": "o-2"}, "oid is another one than the subject token's; exchange.expect.subject: any"),
        ({}, "oid is another one than the subject token's; exchange.expect.subject: any"),
    ],
)
def test_a_person_may_be_known_by_another_claim(claims: dict[str, Any], finding: str | None) -> None:
    refusal = judge(issued(sub="o-1"), Expect(subject_claim="oid"), subject(sub="pairwise", claims=claims))
    assert (refusal.finding.split(" would")[0] if refusal else None) == finding
