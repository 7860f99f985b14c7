from typing import Any, get_args

import pytest

from sidecar.config.schema.servers import DialectName
from sidecar.exchange.dialects import DIALECTS
from sidecar.model.tokens import TOKEN_TYPES
from tests.config.conftest import Workshop, put

SERVER = "authorization_servers.corp"
SAYS = f"; {SERVER}.dialect_overrides"


@pytest.mark.parametrize(
    ("switch", "value", "message"),
    [
        ("no_such", 1, "no such switch; there are "),
        ("grant", "jwt-bearer", "no such switch; there are "),
        ("form_encoding", 1, "must be one of true, false"),
        ("issued_token_type", "maybe", "must be one of strict, lenient"),
        ("extra_scope", "openid", "must be a list of text"),
        ("errors", {"x": "no-route"}, "must map error codes to one of "),
        ("described_errors", ["x"], "must be a list of {error, description, cause}"),
    ],
)
def test_switches_that_are_none(workshop: Workshop, switch: str, value: object, message: str) -> None:
    overrides = {"assertion_audience": "issuer", switch: value}
    [(path, complaint)] = workshop.wrong_with(f"{SERVER}.dialect_overrides", overrides).items()
    assert path == f"{SERVER}.dialect_overrides.{switch}"
    assert complaint.startswith(message)


def test_all_of_them_are_told_at_once(workshop: Workshop) -> None:
    found = workshop.wrong_with(f"{SERVER}.dialect_overrides", {"no_such": 1, "nor_this": 2})
    assert set(found) == {f"{SERVER}.dialect_overrides.no_such", f"{SERVER}.dialect_overrides.nor_this"}


@pytest.mark.parametrize(
    ("server", "exchange", "found"),
    [
        ({"dialect": "keycloak"}, {}, {}),
        (
            {"dialect": "keycloak"},
            {"resource": ["https://x.example"]},
            {"resource": f"the server takes no resource{SAYS}.resource says otherwise"},
        ),
        ({"dialect": "keycloak", "dialect_overrides": {"resource": "many"}}, {"resource": ["https://x.example"]}, {}),
        (
            {"dialect": "wso2"},
            {"audience": ["a", "b"]},
            {"audience": f"the server wants exactly one audience{SAYS}.audience says otherwise"},
        ),
        (
            {"dialect": "okta"},
            {"audience": ["a"], "scope": []},
            {"scope": f"the server wants a scope{SAYS}.scope says otherwise"},
        ),
        (
            {"grant": "jwt-bearer"},
            {"requested_token_type": "jwt"},
            {"requested_token_type": "the grant jwt-bearer names no types of tokens"},
        ),
        (
            {"dialect": "entra-obo"},
            {"audience": [], "scope": ["api://a/b"]},
            {
                "expect.audience": "missing; the server is told no audience, so list what its tokens are for"
                f"{SAYS}.expect_audience says otherwise"
            },
        ),
        ({"dialect": "entra-obo"}, {"audience": [], "scope": ["api://a/b"], "expect": {"audience": ["a"]}}, {}),
        ({"dialect": "entra-obo"}, {"audience": [], "scope": ["api://a/b"], "expect": {"audience": "any"}}, {}),
    ],
)
def test_what_the_server_does_not_take_is_told_where_it_is_asked(
    workshop: Workshop, server: dict[str, Any], exchange: dict[str, Any], found: dict[str, str]
) -> None:
    def change(tree: Any) -> None:
        tree["authorization_servers"]["corp"] |= server
        tree["routes"][0]["exchange"] |= exchange

    assert workshop.wrong(change) == {f"routes.0.exchange.{key}": why for key, why in found.items()}


def test_a_type_that_is_not_traded(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        tree["authorization_servers"]["corp"]["dialect"] = "keycloak"
        tree["trusted_issuers"]["corp"]["subject_token_type"] = "jwt"

    [(path, why)] = workshop.wrong(change).items()
    assert path == "routes.0.exchange.authorization_server"
    assert why.startswith(f"the server trades {TOKEN_TYPES['access_token']}, not {TOKEN_TYPES['jwt']}, which trusted")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{SERVER}.dialect", "nobody"),
        (f"{SERVER}.dialect", 7),
        (f"{SERVER}.grant", "password"),
        ("routes.0.exchange.audience", "orders-api"),
        ("routes.0.exchange.audience", [7]),
        ("routes.0.exchange.expect", "any"),
        ("trusted_issuers.corp.subject_token_type", "no type"),
        ("authorization_servers", []),
        ("trusted_issuers", []),
    ],
)
def test_what_can_not_be_read_is_passed_over(workshop: Workshop, path: str, value: object) -> None:
    def change(tree: Any) -> None:
        tree["authorization_servers"]["corp"]["dialect"] = "keycloak"
        put(tree, path, value)

    assert all("the server" not in why for why in workshop.wrong(change).values())


def test_every_dialect_has_a_name() -> None:
    assert get_args(DialectName) == tuple(DIALECTS)


def test_each_issuers_server_has_its_own_dialect(workshop: Workshop) -> None:
    def change(tree: Any, server: str) -> None:
        tree["trusted_issuers"]["partner"] = {"issuer": "https://b", "audience": ["x"], "token_profile": "id_token"}
        client = {"method": "none", "client_id": "gateway"}
        for name, dialect in (("one", "rfc8693"), ("two", "keycloak")):
            tree["authorization_servers"][name] = {"issuer": "https://a", "dialect": dialect, "client_auth": client}
        tree["routes"][0]["subject"] = {"issuers": ["corp", "partner"]}
        exchange = {"audience": ["a"], "authorization_server": {"by_issuer": {"corp": "one", "partner": server}}}
        tree["routes"][0]["exchange"] = exchange

    assert workshop.wrong(lambda tree: change(tree, "one")) == {}
    [(path, found)] = workshop.wrong(lambda tree: change(tree, "two")).items()
    assert path == "routes.0.exchange.authorization_server"
    assert "trusted_issuers.partner.subject_token_type" in found
