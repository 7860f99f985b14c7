"""What every response of the gateway's own carries, whatever it says."""

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import pytest

from sidecar.faces.responses import OwnResponse, written
from sidecar.model.request import RequestHead
from tests.support.values import request

RESPONSE = OwnResponse(404, ((b"Content-Type", b"application/problem+json"), (b"Cache-Control", b"no-store")), b"{1}")
EMPTY = OwnResponse(200, (), b"")

Split = tuple[bytes, list[tuple[bytes, bytes]], bytes]


def split(raw: bytes) -> Split:
    """The status line, the fields in order, and the body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    pairs = (line.partition(b": ") for line in lines)
    return start, [(name, value) for name, _, value in pairs], body


def answer(
    response: OwnResponse = RESPONSE, asked: RequestHead | None = None, *, keep_open: bool = True
) -> dict[bytes, bytes]:
    """The fields by name; none is there twice."""
    _, fields, _ = split(written(response, asked, keep_open=keep_open))
    named = dict(fields)
    assert len(named) == len(fields)
    return named


def test_a_response_is_its_status_its_fields_and_its_body() -> None:
    start, fields, body = split(written(RESPONSE, request(), keep_open=True))
    assert start == b"HTTP/1.1 404 Not Found"
    assert tuple(fields[:2]) == RESPONSE.headers
    assert [name for name, _ in fields[2:]] == [b"Content-Length", b"Date", b"X-Request-ID"]
    assert body == b"{1}"


def test_head_gets_what_get_would_but_the_body() -> None:
    """RFC 9110 §9.3.2: the length is the one that GET would have been told."""
    start, fields, body = split(written(RESPONSE, request(method="HEAD"), keep_open=True))
    assert start == b"HTTP/1.1 404 Not Found"
    assert dict(fields)[b"Content-Length"] == b"3"
    assert body == b""


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "head", "HEADER"])
def test_every_other_method_gets_the_body(method: str) -> None:
    assert written(RESPONSE, request(method=method), keep_open=True).endswith(b"\r\n\r\n{1}")


def test_an_empty_body_has_a_length() -> None:
    assert answer(EMPTY, request())[b"Content-Length"] == b"0"
    assert written(EMPTY, request(), keep_open=True).endswith(b"\r\n\r\n")


def test_the_length_counts_bytes() -> None:
    assert answer(replace(EMPTY, body="ü€".encode()))[b"Content-Length"] == b"5"


@pytest.mark.parametrize(
    ("version", "keep_open", "connection"),
    [
        ((1, 1), True, None),
        ((1, 1), False, b"close"),
        ((1, 0), True, b"keep-alive"),
        ((1, 0), False, b"close"),
    ],
)
def test_whether_the_connection_stays_open(version: tuple[int, int], keep_open: bool, connection: bytes | None) -> None:
    """RFC 9112 §9.3: the default is another for HTTP/1.0, which is answered in our own version all the same."""
    asked = replace(request(), version=version)
    start, _, _ = split(written(RESPONSE, asked, keep_open=keep_open))
    assert start.startswith(b"HTTP/1.1 ")
    assert answer(asked=asked, keep_open=keep_open).get(b"Connection") == connection


def test_an_answer_to_what_was_no_request_has_no_request_id_and_a_body() -> None:
    raw = written(RESPONSE, None, keep_open=False)
    named = answer(keep_open=False)
    assert b"X-Request-ID" not in named
    assert named[b"Connection"] == b"close"
    assert raw.endswith(b"\r\n\r\n{1}")


def test_the_request_id_is_the_requests() -> None:
    asked = replace(request(), request_id="a-b_c.1")
    assert answer(asked=asked)[b"X-Request-ID"] == b"a-b_c.1"


def test_the_date_is_now_as_http_writes_it() -> None:
    """RFC 9110 §5.6.7: the fixed form, in GMT, whole seconds."""
    before = datetime.now(UTC).replace(microsecond=0)
    text = answer(asked=request())[b"Date"].decode()
    assert text.endswith(" GMT")
    date = parsedate_to_datetime(text)
    assert date.strftime("%a, %d %b %Y %H:%M:%S GMT") == text
    assert before <= date <= datetime.now(UTC)


@pytest.mark.parametrize("status", [200, 204, 400, 401, 404, 413, 414, 431, 501, 502, 503, 504, 505, 508])
def test_the_phrase_is_the_registered_one(status: int) -> None:
    start, _, _ = split(written(replace(EMPTY, status=status), request(), keep_open=True))
    assert start == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()


@pytest.mark.parametrize("field", [(b"X-A", b"1\r\nX-B: 2"), (b"X-A", b"1\n2"), (b"X\r\nA", b"1")])
def test_no_field_says_more_than_one(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="line break"):
        written(replace(EMPTY, headers=(field,)), request(), keep_open=True)
