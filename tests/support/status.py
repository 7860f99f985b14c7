"""A gateway's status with what a test does not care about filled in."""

from dataclasses import replace
from typing import Any

from sidecar.model.status import (
    CacheStatus,
    ConfigStatus,
    IssuerStatus,
    RouteLately,
    RouteStatus,
    ServerLately,
    ServerStatus,
    Status,
)

LATELY = RouteLately(0.117, {"2xx": 6, "5xx": 1}, {"missing-token": 2}, 0.5, 0.25)
ROUTE = RouteStatus("orders", "default", "http://127.0.0.1:9000", 70, 2, LATELY)
SERVER = ServerStatus(True, "closed", 0.0, 1, 0, ServerLately({"success": 2}, 0.05, 0.1))
STATUS = Status(
    version="1.2.3",
    time="2026-01-02T03:05:00+00:00",
    uptime_seconds=115.0,
    ready=True,
    requests_in_flight=3,
    event_loop_lag_seconds=0.002,
    receipts_dropped=0,
    last_minute=LATELY,
    config=ConfigStatus("routes.yaml", "2026-01-02T03:04:05+00:00", (), {}),
    routes=(ROUTE,),
    authorization_servers={"corp": SERVER},
    trusted_issuers={"corp": IssuerStatus(True, 12.0, 86388.0)},
    cache=CacheStatus(3, 4096, 10000, 1048576, 45.0),
    recent_refusals={"missing-token": 2},
)


def status(**members: Any) -> Status:
    """Return one in which, but for these members, a route had an error and all else is well."""
    return replace(STATUS, **members)
