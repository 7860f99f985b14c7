import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observe.traceparent import TraceParent, read

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_what_it_says(flags: str, sampled: bool) -> None:
    assert read([f"00-{TRACE}-{SPAN}-{flags}".encode()]) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize("value", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes-later"])
def test_a_later_version_is_read_as_far_as_this_one_knows_it(value: str) -> None:
    assert read([value.encode()]) == TraceParent(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE}-{SPAN}-1",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_anything_else_is_as_if_it_were_not_there(value: str) -> None:
    assert read([value.encode()]) is None


def test_two_are_none() -> None:
    one = f"00-{TRACE}-{SPAN}-01".encode()
    assert read([]) is None
    assert read([one, one]) is None


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_not(value: bytes) -> None:
    parent = read([value])
    assert parent is None or value[3:52].decode() == f"{parent.trace_id}-{parent.span_id}"


@given(
    st.from_regex("[0-9a-f]{32}", fullmatch=True).filter(lambda text: set(text) != {"0"}),
    st.from_regex("[0-9a-f]{16}", fullmatch=True).filter(lambda text: set(text) != {"0"}),
    st.booleans(),
)
def test_what_is_written_can_be_read(trace: str, span: str, sampled: bool) -> None:
    parent = TraceParent(trace, span, sampled)
    assert read([bytes(parent)]) == parent
