from dataclasses import replace

import pytest

from sidecar.model.route import TLS, PathRelaxation, Upstream
from sidecar.wire.target import EMPTY_SEGMENT, ENCODED_SLASH, PATH_PARAMETERS
from tests.support.values import exchange, route

UPSTREAM = route().upstream


def test_where_a_route_is_defined_makes_no_difference() -> None:
    assert route(place="a.yaml:1") == route(place="b.yaml:2")


def test_what_is_expected_can_be_a_key() -> None:
    """Flights are told apart by it."""
    assert len({exchange().expect, exchange().expect, replace(exchange().expect, same_subject=False)}) == 2


def test_relaxations_are_called_as_the_wire_calls_its_features() -> None:
    """The two may not import each other, and ``table`` subtracts one from the other."""
    assert {*PathRelaxation} == {ENCODED_SLASH, EMPTY_SEGMENT, PATH_PARAMETERS}
    assert frozenset({ENCODED_SLASH}) - frozenset({PathRelaxation.ENCODED_SLASH}) == frozenset()


def test_the_subject_tokens_issuer_may_choose() -> None:
    corp, partner = exchange(), exchange(authorization_server="partner")
    one, none = route(), route(exchange=None)
    assert (one.exchanges, one.exchange_of("anybody")) == ((corp,), corp)
    assert (none.exchanges, none.exchange_of("corp")) == ((), None)
    by = route(by_issuer=(("corp", corp), ("partner", partner), ("third", partner)))
    assert by.exchanges == (corp, partner)
    assert [by.exchange_of(name) for name in ("corp", "partner", "third")] == [corp, partner, partner]


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
def test_an_upstream_is_named_as_a_url(upstream: Upstream, name: str) -> None:
    assert upstream.resource_server == name
