from dataclasses import replace

import pytest

from sidecar.model.receipt import Occasion, Receipt, resource_server
from sidecar.model.route import TLS
from tests.support.values import route

UPSTREAM = route().upstream


@pytest.mark.parametrize(
    ("upstream", "name"),
    [
        (UPSTREAM, "http://127.0.0.1:9000"),
        (replace(UPSTREAM, base_path=b"/v1/caf%C3%A9"), "http://127.0.0.1:9000/v1/caf%C3%A9"),
        (replace(UPSTREAM, host="orders.example", port=443, tls=TLS()), "https://orders.example:443"),
        (replace(UPSTREAM, host="::1", port=80), "http://[::1]:80"),
        (replace(UPSTREAM, host=None, port=0, unix_path="/run/x.sock"), "unix:/run/x.sock"),
    ],
)
def test_an_upstream_is_named_as_a_url(upstream: object, name: str) -> None:
    assert resource_server(upstream) == name  # type: ignore[arg-type]


def test_nothing_that_a_caller_wrote_is_in_a_repr() -> None:
    occasion = Occasion("id", "GET", b"/canary", b"canary")
    assert "canary" not in repr(Receipt(occasion, "canary"))
