"""Metrics in which every series exists, so that all their names and labels can be read."""

from sidecar.model.refusal import Kind
from sidecar.observe.metrics import Metrics, ServerLoad


def touched(version: str = "1.2.3") -> Metrics:
    """Return metrics that have at least one sample of every family."""
    metrics = Metrics(version)
    metrics.define(exchanges={"orders": ["corp"]}, authorization_servers=["corp"], trusted_issuers=["corp"])
    metrics.define_includes({"a": True})
    metrics.define_approvals([("desk", "orders")], ["desk"])
    metrics.watch_upstream_connections(lambda: [("orders", "idle", 3)])
    metrics.watch_authorization_servers(lambda: [ServerLoad("corp", in_flight=64, queued=7, breaker=2)])
    metrics.route("orders").request("GET", 200)
    metrics.reject("orders", Kind.MISSING_TOKEN)
    metrics.authorization_server_available.labels("corp").set(1)
    metrics.trusted_issuer_available.labels("corp").set(1)
    metrics.jwks_refreshes.labels("corp", "success").inc()
    metrics.cache_evictions.labels("full").inc()
    metrics.secret_reloads.labels("corp", "success").inc()
    metrics.spans.labels("exported").inc()
    return metrics
