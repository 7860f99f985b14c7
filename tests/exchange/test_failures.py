"""Which failure of a server is told as what, and whether anything was sent."""

import pytest

from sidecar.exchange.failures import NotAsked, failure_of
from sidecar.model.refusal import Kind
from sidecar.oauth.server import (
    ServerError,
    ServerNotAsked,
    ServerOverloaded,
    ServerReplyUnusable,
    ServerTimeout,
    ServerUnavailable,
)


@pytest.mark.parametrize(
    ("error", "kind", "retry_after", "finding", "asked"),
    [
        (ServerUnavailable("no connection", 7), Kind.EXCHANGE_UNAVAILABLE, 7, "no connection", True),
        (ServerNotAsked("left alone", 5), Kind.EXCHANGE_UNAVAILABLE, 5, "left alone", False),
        (ServerOverloaded("full"), Kind.OVERLOADED, 1, "", False),
        (ServerTimeout("slow"), Kind.EXCHANGE_TIMEOUT, None, "", True),
        (ServerReplyUnusable("a page"), Kind.EXCHANGE_UNUSABLE, None, "a page", True),
    ],
)
def test_a_failure(error: ServerError, kind: Kind, retry_after: float | None, finding: str, *, asked: bool) -> None:
    refused = failure_of(error, "corp")
    assert (refused.refusal.kind, refused.refusal.retry_after) == (kind, retry_after)
    assert refused.refusal.finding == finding
    assert isinstance(refused, NotAsked) is not asked
