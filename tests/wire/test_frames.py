from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.frames import Closing, Frames, close_frame
from tests.support.websocket import CLOSE, PING, TEXT, closing, frame

frames = st.lists(
    st.builds(
        frame,
        st.sampled_from([0, 1, 2, 9, 10]),
        st.binary(max_size=70_000) | st.sampled_from([b"", b"a" * 125, b"a" * 126, b"a" * 65535, b"a" * 65536]),
        masked=st.booleans(),
        fin=st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(wire) + 1) for place in places), len(wire)]
    return [wire[begin:end] for begin, end in pairwise(marks)]


@given(frames, st.lists(st.integers(0, 1 << 20), max_size=20))
@pytest.mark.threat("S52")
@pytest.mark.fuzz
def test_every_boundary_is_found_however_the_bytes_come(some: list[bytes], places: list[int]) -> None:
    boundaries, position = {0}, 0
    for one in some:
        position += len(one)
        boundaries.add(position)
    followed, seen = Frames(), 0
    for piece in cut(b"".join(some), places):
        followed.feed(piece)
        seen += len(piece)
        assert followed.at_boundary == (seen in boundaries)
    assert not followed.closed


@given(frames, st.integers(1, 1 << 20))
def test_the_rest_of_a_frame_ends_where_the_frame_does(some: list[bytes], place: int) -> None:
    wire = b"".join(some)
    place %= len(wire)
    ends = [len(b"".join(some[: count + 1])) for count in range(len(some))]
    followed = Frames()
    followed.feed(wire[:place])
    expected = 0 if place == 0 or place in ends else min(end for end in ends if end > place) - place
    assert followed.feed_to_boundary(wire[place:]) == expected
    assert followed.at_boundary


@pytest.mark.parametrize("size", [2, 8])
@pytest.mark.parametrize("masked", [True, False])
def test_a_length_that_is_longer_than_needed_is_followed(size: int, masked: bool) -> None:
    followed = Frames()
    for byte in frame(TEXT, b"abc", masked=masked, size=size) + frame(PING):
        assert not followed.feed_to_boundary(b"")
        followed.feed(bytes((byte,)))
    assert followed.at_boundary


@pytest.mark.threat("S52")
def test_the_longest_frame_costs_no_memory_to_follow() -> None:
    followed = Frames()
    followed.feed(b"\x82\x7f" + b"\xff" * 8 + bytes(1 << 20))
    assert not followed.at_boundary


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8bye"])
def test_a_close_frame_counts_when_it_is_whole(payload: bytes, masked: bool) -> None:
    followed = Frames()
    wire = frame(CLOSE, payload, masked=masked)
    for byte in frame(TEXT, b"\x88\x00") + wire[:-1]:
        followed.feed(bytes((byte,)))
        assert not followed.closed
    followed.feed(wire[-1:])
    assert followed.closed


@pytest.mark.parametrize("mask", [None, b"\x01\x02\x03\x04"])
def test_our_own_close_frame_is_one(mask: bytes | None) -> None:
    wire = close_frame(Closing(1001, "the gateway is going away"), mask)
    plain = closing(1001, b"the gateway is going away")
    if mask is None:
        assert wire == plain
        return
    assert wire[:6] == bytes((plain[0], 0x80 | plain[1])) + mask
    assert bytes(byte ^ mask[index % 4] for index, byte in enumerate(wire[6:])) == plain[2:]
