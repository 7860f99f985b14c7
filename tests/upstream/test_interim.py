import pytest

from sidecar.upstream.errors import UpstreamUnavailable
from sidecar.upstream.head import ResponseHead
from sidecar.upstream.interim import MAX_INFORMATIONAL, Interim
from sidecar.wire.framing import FramingError


def head(status: int, *fields: tuple[bytes, bytes]) -> ResponseHead:
    return ResponseHead(status, "", (1, 1), fields)


def test_those_that_mean_something_are_kept_in_order() -> None:
    interim = Interim()
    assert not interim
    for status in (103, 102, 100, 199, 103):
        interim.take("GET", head(status, (b"N", b"%d" % status)))
    kept = []
    while interim:
        kept.append(interim.next())
    assert kept == [(103, ((b"N", b"103"),)), (100, ((b"N", b"100"),)), (103, ((b"N", b"103"),))]


def test_too_many_are_refused() -> None:
    interim = Interim()
    for _ in range(MAX_INFORMATIONAL):
        interim.take("GET", head(102))
    with pytest.raises(UpstreamUnavailable):
        interim.take("GET", head(102))


@pytest.mark.parametrize("field", [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")])
def test_one_with_a_body_is_refused(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(FramingError):
        Interim().take("GET", head(100, field))
