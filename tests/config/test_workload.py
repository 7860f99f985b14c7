from typing import Any

import pytest

from tests.config.conftest import Workshop

TOKEN = "workload_tokens.self"


def said(workshop: Workshop, token: dict[str, Any], *, proxies: bool = True, name: str = "self") -> dict[str, str]:
    workshop.file("token")

    def change(tree: Any) -> None:
        tree["workload_tokens"] = {name: token}
        tree["gateway"] = {"trusted_proxies": ["10.0.0.1"]} if proxies else {}

    return workshop.wrong(change)


@pytest.mark.parametrize(
    "token",
    [
        {"file": "token", "type": "jwt"},
        {"client_credentials": {}},
        {"client_credentials": {"authorization_server": "corp", "scope": ["a"]}, "type": "jwt"},
        {"header": "X-Agent-Token", "issuer": "corp"},
    ],
)
def test_where_one_may_come_from(workshop: Workshop, token: dict[str, Any]) -> None:
    assert said(workshop, token) == {}


@pytest.mark.parametrize(
    ("token", "key", "message"),
    [
        ({}, "file", "missing; or else client_credentials or header"),
        ({"type": "jwt"}, "file", "missing; or else client_credentials or header"),
        ({"file": "token"}, "type", "missing; what an exchange calls the token"),
        ({"file": "token", "type": "jwt", "issuer": "corp"}, "issuer", "has no effect without header"),
        ({"header": "X-A"}, "issuer", "missing; the trusted issuer of the token in the header"),
        (
            {"header": "X-A", "issuer": "corp", "type": "jwt"},
            "type",
            "has no effect with header: the trusted issuer's subject_token_type counts",
        ),
        ({"header": "authorization", "issuer": "corp"}, "header", "route orders looks for the caller's token there"),
        ({"header": "X-A", "issuer": "stranger"}, "issuer", "no trusted issuer of this name is defined"),
        (
            {"client_credentials": {"authorization_server": "stranger"}},
            "client_credentials.authorization_server",
            "no authorization server of this name is defined",
        ),
        (
            {"file": "token", "client_credentials": {}, "type": "jwt"},
            "client_credentials",
            "should not stand beside file; give one of them",
        ),
    ],
)
def test_what_is_wrong_with_one(workshop: Workshop, token: dict[str, Any], key: str, message: str) -> None:
    assert said(workshop, token) == {f"{TOKEN}.{key}": message}


def test_a_field_is_believed_from_trusted_hops_only(workshop: Workshop) -> None:
    [(path, message)] = said(workshop, {"header": "X-A", "issuer": "corp"}, proxies=False).items()
    assert path == f"{TOKEN}.header"
    assert "trusted_proxies" in message


def test_the_callers_is_nobody_elses(workshop: Workshop) -> None:
    found = said(workshop, {"file": "token", "type": "jwt"}, name="caller")
    assert list(found) == ["workload_tokens.caller"]


def exchanged(
    workshop: Workshop, *, direction: str = "egress", subject: Any = None, server: Any = None
) -> dict[str, str]:
    workshop.file("token")

    def change(tree: Any) -> None:
        tree["workload_tokens"] = {"self": {"file": "token", "type": "jwt"}}
        tree["gateway"] = {"listeners": {"one": {"listen": "127.0.0.1:1", "direction": direction}}}
        route = tree["routes"][0]
        route["exchange"]["subject_token"] = "self"
        if subject is not None:
            route["subject"] = subject
        if server is not None:
            route["exchange"]["authorization_server"] = server

    return workshop.wrong(change)


def test_on_the_way_out_nobody_has_to_say_who_calls(workshop: Workshop) -> None:
    assert exchanged(workshop) == {}
    assert exchanged(workshop, subject={"issuers": ["corp"], "require_scope": ["a"]}) == {}


def test_on_the_way_in_somebody_must(workshop: Workshop) -> None:
    [(path, message)] = exchanged(workshop, direction="ingress").items()
    assert path == "routes.0.exchange.subject_token"
    assert "subject.issuers" in message
    assert exchanged(workshop, direction="ingress", subject={"issuers": ["corp"]}) == {}


def test_what_has_no_effect_is_told(workshop: Workshop) -> None:
    assert exchanged(workshop, subject={"require_scope": ["a"]}) == {
        "routes.0.subject": "has no effect without issuers, where no token is asked for"
    }


def test_no_issuer_chooses_the_server_of_a_token_of_ours(workshop: Workshop) -> None:
    found = exchanged(workshop, subject={"issuers": ["corp"]}, server={"by_issuer": {"corp": "corp"}})
    assert found == {
        "routes.0.exchange.authorization_server": "should be one server where a token of ours is exchanged"
    }


def test_a_token_of_ours_that_is_none(workshop: Workshop) -> None:
    def change(tree: Any) -> None:
        tree["routes"][0]["exchange"]["subject_token"] = "self"
        tree["routes"][0]["subject"] = {"issuers": ["corp"]}

    assert workshop.wrong(change) == {"routes.0.exchange.subject_token": "no workload token of this name is defined"}
