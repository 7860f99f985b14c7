from sidecar.upstream.errors import Phase, UpstreamError, UpstreamTimeout, UpstreamUnavailable


def test_a_reason_is_the_whole_message() -> None:
    error = UpstreamUnavailable("the upstream refused the connection")
    assert isinstance(error, UpstreamError)
    assert str(error) == error.reason == "the upstream refused the connection"


def test_a_timeout_says_what_was_waited_for() -> None:
    error = UpstreamTimeout(Phase.SEND)
    assert error.phase is Phase.SEND
    assert "send" in error.reason
