"""Spans as values, and their form for a collector: OTLP over HTTP in JSON (opentelemetry-proto, Trace Context ids).

Pure. What a span says comes from the configuration or from short lists of words. Of what a caller wrote it has the ids
of ``traceparent``, which are hexadecimal digits.
"""

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final

SERVICE: Final = "token-exchange-sidecar"


class Step(StrEnum):
    """The steps of a request that have spans of their own; the values are the spans' names."""

    MATCH = "match"
    VERIFY = "verify"
    OPERATION = "operation"
    APPROVE = "approve"
    EXCHANGE = "exchange"
    UPSTREAM = "upstream"


class SpanKind(IntEnum):
    """What a span is, by the numbers of the protocol."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


@dataclass(slots=True)
class Span:
    """A span. began, ended: nanoseconds since the epoch.

    error: a constant word, where it did not go well. failed: and that is the fault of this side, not of who asked.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: SpanKind
    began: int
    ended: int = 0
    error: str | None = None
    failed: bool = False
    attributes: dict[str, str | int] = field(default_factory=dict)


def resource(version: str, instance: str) -> Mapping[str, str]:
    """Return what is the same for all spans of a process. instance: tells it from others of the same service."""
    return {
        "service.name": SERVICE,
        "service.version": version,
        "service.instance.id": instance,
        "host.name": platform.node(),
    }


def encode(spans: Iterable[Span], about: Mapping[str, str]) -> bytes:
    """Return the body of an export request (ExportTraceServiceRequest)."""
    return json.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes(about)},
                    "scopeSpans": [{"scope": {"name": "sidecar"}, "spans": [_span(span) for span in spans]}],
                }
            ]
        },
        separators=(",", ":"),
    ).encode("ascii")


def rejected(members: Mapping[str, Any]) -> int:
    """Return how many spans a collector's reply says it did not take (partialSuccess)."""
    partial = members.get("partialSuccess")
    number = partial.get("rejectedSpans", 0) if isinstance(partial, Mapping) else 0
    text = str(number)  # 64-bit numbers are texts in this JSON
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _span(span: Span) -> dict[str, Any]:
    members: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": int(span.kind),
        "startTimeUnixNano": str(span.began),
        "endTimeUnixNano": str(span.ended),
        "attributes": _attributes(span.attributes),
    }
    if span.parent_id is not None:
        members["parentSpanId"] = span.parent_id
    if span.error is not None:
        members["attributes"] += _attributes({"error.type": span.error})
    if span.failed:
        members["status"] = {"code": 2}
    return members


def _attributes(values: Mapping[str, str | int]) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for name, value in values.items()
    ]
