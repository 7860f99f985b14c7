from typing import Any, get_args, get_type_hints

import pytest
from pydantic import ValidationError

from sidecar.config.schema import Exchange, Route
from sidecar.config.schema.routes import Match
from sidecar.model.route import PathRelaxation
from sidecar.model.tokens import JWT
from tests.config.conftest import read

ROUTE: dict[str, Any] = {
    "name": "orders",
    "match": {"path_prefix": "/"},
    "upstream": {"url": "http://127.0.0.1:9000"},
    "exchange": "none",
}


def test_defaults() -> None:
    route = read(Route, {**ROUTE, "exchange": {}})
    upstream = route.upstream
    assert (upstream.connect_timeout, upstream.response_timeout) == (2.0, 60.0)
    assert (upstream.send_idle, upstream.read_idle) == (60.0, 300.0)
    assert (upstream.max_connections, upstream.max_connection_age, upstream.max_body_bytes) == (1024, 60.0, None)
    assert (upstream.token_header, upstream.strip_prefix, upstream.preserve_host) == ("Authorization", False, False)
    assert (route.match.hosts, route.match.methods, route.match.headers, route.match.allow) == (None, None, {}, ())
    subject = route.subject
    assert (subject.issuers, subject.header, subject.require_scope) == ((), "Authorization", ())
    assert (subject.require_claims, subject.clients, subject.max_actor_depth) == ({}, (), 3)
    assert isinstance(route.exchange, Exchange)
    assert (route.exchange.audience, route.exchange.semantics, route.exchange.expect.audience) == ((), None, None)


def test_a_route_says_what_it_exchanges_for_or_none() -> None:
    assert read(Route, ROUTE).exchange == "none"
    wrong: object
    for wrong in (None, "any", [], False):
        with pytest.raises(ValidationError):
            read(Route, {**ROUTE, "exchange": wrong})
    with pytest.raises(ValidationError):
        read(Route, {key: value for key, value in ROUTE.items() if key != "exchange"})


def test_values_are_normalised() -> None:
    route = read(
        Route,
        {
            **ROUTE,
            "match": {"path": "/a/{b}", "hosts": ["API.example.com", "*.Example.com"]},
            "subject": {"require_claims": {"a.b": "x", "c": [1, True]}},
            "exchange": {"requested_token_type": "jwt", "expect": {"audience": ["x"], "scope": "any"}},
        },
    )
    assert route.match.hosts == ("api.example.com", "*.example.com")
    assert route.subject.require_claims == {"a.b": ("x",), "c": (1, True)}
    assert isinstance(route.exchange, Exchange)
    assert route.exchange.requested_token_type == JWT
    assert (route.exchange.expect.audience, route.exchange.expect.scope) == (("x",), "any")


def test_the_relaxations_are_the_models() -> None:
    (items, _) = get_args(get_type_hints(Match)["allow"])
    assert set(get_args(items)) == {member.value for member in PathRelaxation}
