import json

import pytest

from sidecar.observe.spans import Span, SpanKind, encode, rejected, resource
from tests.support.collector import read, told

TRACE, ROOT, CHILD = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def test_what_a_collector_reads() -> None:
    root = Span(TRACE, ROOT, None, "GET orders", SpanKind.SERVER, 1_700_000_000_000_000_001, 1_700_000_000_000_000_009)
    root.attributes = {"http.response.status_code": 502, "sidecar.route": "orders"}
    root.error, root.failed = "upstream-unavailable", True
    child = Span(TRACE, CHILD, ROOT, "verify", SpanKind.INTERNAL, 2, 3, error="invalid-token")
    (of_resource,) = read(encode([root, child], resource("1.2.3", "one"))).resource_spans
    assert told(of_resource.resource)["service.name"] == "token-exchange-sidecar"
    assert told(of_resource.resource)["service.version"] == "1.2.3"
    assert told(of_resource.resource)["service.instance.id"] == "one"
    first, second = of_resource.scope_spans[0].spans
    assert (first.trace_id.hex(), first.span_id.hex(), first.parent_span_id) == (TRACE, ROOT, b"")
    assert (first.name, first.kind) == ("GET orders", 2)
    assert (first.start_time_unix_nano, first.end_time_unix_nano) == (
        1_700_000_000_000_000_001,
        1_700_000_000_000_000_009,
    )
    assert told(first) == {
        "http.response.status_code": 502,
        "sidecar.route": "orders",
        "error.type": "upstream-unavailable",
    }
    assert (first.status.code, second.status.code) == (2, 0)
    assert (second.parent_span_id.hex(), second.kind, told(second)) == (ROOT, 1, {"error.type": "invalid-token"})


def test_the_reader_is_strict() -> None:
    body = json.loads(encode([Span(TRACE, ROOT, None, "x", SpanKind.SERVER, 1, 2)], {}))
    span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for wrong in ({"spanId": "00"}, {"unknown": 1}, {"kind": "SERVER"}, {"startTimeUnixNano": "now"}):
        broken = json.loads(json.dumps(body))
        broken["resourceSpans"][0]["scopeSpans"][0]["spans"][0] = {**span, **wrong}
        with pytest.raises(Exception, match=r".+"):
            read(json.dumps(broken).encode())


@pytest.mark.parametrize(
    ("members", "number"),
    [
        ({}, 0),
        ({"partialSuccess": {}}, 0),
        ({"partialSuccess": {"rejectedSpans": "7", "errorMessage": "full"}}, 7),
        ({"partialSuccess": {"rejectedSpans": 7}}, 7),
        ({"partialSuccess": {"rejectedSpans": -1}}, 0),
        ({"partialSuccess": {"rejectedSpans": "9" * 400}}, 0),
        ({"partialSuccess": None}, 0),
        ({"partialSuccess": []}, 0),
    ],
)
def test_what_a_collector_did_not_take(members: dict[str, object], number: int) -> None:
    assert rejected(members) == number
