import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.fields import HOP_BY_HOP, connection_options, forwardable, serialize_head

NAMES = st.sampled_from(
    [b"Accept", b"X-A", b"x-a", b"X-B", b"Content-Length", b"Connection", b"TE", b"Keep-Alive", b"Close"]
)
OPTIONS = st.lists(st.sampled_from([b"x-a", b"X-B", b"close", b"keep-alive", b"accept", b"", b" X-A\t", b"te"]))
VALUES = OPTIONS.map(b",".join)


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_fields_end_here_in_any_case(name: bytes) -> None:
    assert forwardable([(name.upper(), b"x"), (name.title(), b"y"), (b"Accept", b"z")]) == [(b"Accept", b"z")]


@pytest.mark.parametrize(
    "value",
    [
        b"X-Trace",
        b"x-trace",
        b"close, X-TRACE",
        b"X-Trace ,close",
        b",,\tX-Trace\t,",
        b"close,,x-trace",
        b"upgrade, x-trace",
    ],
)
@pytest.mark.threat("S44")
def test_what_connection_names_ends_here(value: bytes) -> None:
    fields = [(b"X-Trace", b"1"), (b"cOnnection", value), (b"x-trace", b"2"), (b"X-Trace-Id", b"3")]
    assert forwardable(fields) == [(b"X-Trace-Id", b"3")]


def test_several_connection_lines_all_count() -> None:
    fields = [(b"A", b"1"), (b"Connection", b"a"), (b"B", b"2"), (b"connection", b"b"), (b"C", b"3")]
    assert forwardable(fields) == [(b"C", b"3")]


def test_end_to_end_fields_pass_byte_for_byte() -> None:
    fields = [(b"set-COOKIE", b"a=\xff; b"), (b"Set-Cookie", b"a=2"), (b"X", b""), (b"Content-Length", b"007")]
    assert forwardable(fields) == fields


def test_extra_drop_removes_in_any_case() -> None:
    fields = [(b"CONTENT-length", b"1"), (b"Host", b"x"), (b"Accept", b"y")]
    assert forwardable(fields, frozenset({b"content-length", b"host"})) == [(b"Accept", b"y")]


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_exactly_the_named_and_the_hop_by_hop_are_missing(fields: list[tuple[bytes, bytes]]) -> None:
    named = {
        option.strip(b" \t").lower()
        for name, value in fields
        if name.lower() == b"connection"
        for option in value.split(b",")
    } - {b"close"}
    expected = [field for field in fields if field[0].lower() not in HOP_BY_HOP and field[0].lower() not in named]
    assert forwardable(fields) == expected


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_forwarding_twice_changes_nothing_more(fields: list[tuple[bytes, bytes]]) -> None:
    once = forwardable(fields)
    assert forwardable(once) == once


def test_connection_options_are_members_without_space_and_case() -> None:
    assert connection_options(b" Close ,\tX-A,, ,x-b ") == [b"close", b"x-a", b"x-b"]


def test_a_head_is_start_line_fields_and_empty_line() -> None:
    assert (
        serialize_head(b"GET / HTTP/1.1", [(b"Host", b"a"), (b"X", b"")]) == b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
    )


def test_a_head_may_have_no_fields() -> None:
    assert serialize_head(b"HTTP/1.1 200 OK", []) == b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("place", ["start", "name", "value"])
def test_a_line_break_in_a_part_is_refused(place: str, end: bytes) -> None:
    hostile = b"x" + end + b"Evil: 1"
    parts = {"start": b"GET / HTTP/1.1", "name": b"X", "value": b"y", place: hostile}
    with pytest.raises(ValueError, match="line break"):
        serialize_head(parts["start"], [(parts["name"], parts["value"])])
