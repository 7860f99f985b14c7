from dataclasses import replace

from sidecar.model.route import PathRelaxation
from sidecar.wire.target import EMPTY_SEGMENT, ENCODED_SLASH, PATH_PARAMETERS
from tests.support.values import exchange, route


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
