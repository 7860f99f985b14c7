from sidecar.model.decision import CacheResult, Decision, Grant
from tests.support.values import issued, route, subject


def test_a_decision_shows_no_token() -> None:
    grant = Grant(issued("canary-issued"), None, "id", 300.0, CacheResult.HIT, fragment=",canary")
    decision = Decision(route(), subject("canary-subject"), grant, left_behind=(b"canary",))
    assert "canary" not in repr(decision)


def test_cache_results_are_the_metrics_labels() -> None:
    assert [result.value for result in CacheResult] == ["hit", "miss", "coalesced", "refreshed", "negative"]
