"""Tokens that only the embedded server can read."""

from sidecar.sts.opaque import MOST, OpaqueTokens
from tests.support.canary import search
from tests.support.clock import FakeClock


def test_a_token_stands_for_its_claims_until_they_expire() -> None:
    hands = FakeClock()
    tokens = OpaqueTokens(hands.clock)
    claims = {"sub": "alice", "exp": hands.wall + 10}
    token = tokens.issue(claims)
    assert "." not in token
    assert len(token) >= 43  # 256 bits
    assert tokens.claims(token) == claims
    assert tokens.claims(token[:-1]) is None
    assert token != tokens.issue(claims)
    assert not search(repr((tokens, tokens._claims)).encode(), token)
    hands.advance(10)
    assert tokens.claims(token) is None


def test_the_oldest_go_first() -> None:
    hands = FakeClock()
    tokens = OpaqueTokens(hands.clock)
    issued = [tokens.issue({"n": n, "exp": hands.wall + 10}) for n in range(MOST + 2)]
    assert [tokens.claims(token) for token in issued[:2]] == [None, None]
    assert (tokens.claims(issued[2]) or {})["n"] == 2
    assert (tokens.claims(issued[-1]) or {})["n"] == MOST + 1
