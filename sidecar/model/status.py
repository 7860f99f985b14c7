"""How a gateway is, as values: what ``/status`` shows member by member, and the page at ``/`` in words.

No token and no subject is in any of it, so both may be shown to whoever may see the status. Nothing is counted here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The configuration in use.

    last_reload: RFC 3339. errors: why a later one was not taken; none where the files' present one is in use.
    includes: by name, why the present files of an include are not in use; none where they are.
    """

    file: str
    last_reload: str
    errors: tuple[str, ...]
    includes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class RouteLately:
    """A route's last minute, or all routes'.

    answers: by class of status, ``2xx``. refusals: ours, by kind. hit_ratio: the share of lookups that found a token;
    None where there were none. p95_seconds: at least 95 of 100 answers had ended within this, rounded up to a bucket of
    the metric; None where there were none, or the slowest took more than 10 s.
    """

    requests_per_second: float
    answers: Mapping[str, int]
    refusals: Mapping[str, int]
    hit_ratio: float | None
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route. requests and refusals are counted since it was defined."""

    name: str
    listener: str
    upstream: str
    requests: int
    refusals: int
    last_minute: RouteLately


@dataclass(frozen=True, slots=True)
class ServerLately:
    """An authorization server's last minute.

    exchanges: by ``success`` or kind of failure. mean_seconds, p95_seconds: of those that were sent; p95_seconds as for
    a route.
    """

    exchanges: Mapping[str, int]
    mean_seconds: float | None
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One authorization server. available: None where nobody asked yet; in_flight, queued: exchanges.

    breaker: ``closed``, ``half-open`` or ``open``. pause_seconds: for so long it asked to be left alone, or 0.
    """

    available: bool | None
    breaker: str
    pause_seconds: float
    in_flight: int
    queued: int
    last_minute: ServerLately


@dataclass(frozen=True, slots=True)
class IssuerStatus:
    """One trusted issuer. available: None where nobody asked yet.

    keys_age_seconds: since its keys were last read; None where none are held. keys_serve_seconds: for so long they
    serve if no newer ones can be had; None as well.
    """

    available: bool | None
    keys_age_seconds: float | None
    keys_serve_seconds: float | None


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """What the cache of issued tokens holds, and may hold.

    oldest_token_seconds: since the oldest token that may still be served was asked for; None where there is none.
    """

    entries: int
    bytes: int
    max_entries: int
    max_bytes: int
    oldest_token_seconds: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """Everything. time: RFC 3339, when all this was so.

    event_loop_lag_seconds: the worst of the last 15 seconds. last_minute: of all requests, also those that no route
    matched. recent_refusals: by kind, over the last 15 minutes.
    """

    version: str
    time: str
    uptime_seconds: float
    ready: bool
    requests_in_flight: int
    event_loop_lag_seconds: float
    receipts_dropped: int
    last_minute: RouteLately
    config: ConfigStatus
    routes: tuple[RouteStatus, ...]
    authorization_servers: Mapping[str, ServerStatus]
    trusted_issuers: Mapping[str, IssuerStatus]
    cache: CacheStatus
    recent_refusals: Mapping[str, int]


def as_json(status: Status) -> bytes:
    """Return a status as JSON for people, which ends with a line feed."""
    return json.dumps(status, indent=2, default=_members).encode() + b"\n"


def _members(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(value)
