import pytest

from sidecar.config.schema import Gateway, Tracing
from tests.config.conftest import Workshop, read

TRACING = "gateway.tracing"


def test_off_unless_it_is_said_where_traces_go() -> None:
    assert read(Gateway, {}).tracing is None
    tracing = read(Tracing, {"otlp_endpoint": "http://127.0.0.1:4318"})
    assert (tracing.sample_ratio, tracing.bearer_file, tracing.proxy_url, tracing.tls) == (0.01, None, None, None)
    assert tracing.allow_plain_http is False


@pytest.mark.parametrize("ratio", [0, 0.5, 1])
def test_a_ratio_may_be_nothing_and_everything(ratio: float) -> None:
    assert read(Tracing, {"otlp_endpoint": "https://a", "sample_ratio": ratio}).sample_ratio == ratio


@pytest.mark.parametrize("ratio", [-0.1, 1.1, 100, True, "1"])
def test_and_nothing_else(workshop: Workshop, ratio: object) -> None:
    def change(tree: dict[str, object]) -> None:
        tree["gateway"] = {"tracing": {"otlp_endpoint": "https://a", "sample_ratio": ratio}}

    assert workshop.wrong(change).keys() == {f"{TRACING}.sample_ratio"}
