from typing import Any

import pytest

from tests.config.conftest import Workshop

DESK = {"opa": {"url": "http://127.0.0.1:8181/v1/data/approve"}}


def said(workshop: Workshop, approval: object, approver: object = None, **route: Any) -> dict[str, str]:
    workshop.file("token")

    def change(tree: Any) -> None:
        tree["approvers"] = {"desk": approver if approver is not None else DESK}
        tree["workload_tokens"] = {"self": {"file": "token", "type": "jwt"}}
        tree["routes"][0] |= {"approval": approval, **route}

    return workshop.wrong(change)


@pytest.mark.parametrize(
    "approval",
    [
        {"by": "desk"},
        {"by": "desk", "max_age": "5m", "bind": [], "reason_header": "X-Task"},
        {"by": "desk", "bind": ["path"]},
    ],
)
def test_what_a_route_may_say(workshop: Workshop, approval: object) -> None:
    assert said(workshop, approval) == {}


@pytest.mark.parametrize(
    ("approval", "route", "key", "message"),
    [
        ({}, {}, "by", "missing"),
        ({"by": "dsk"}, {}, "by", "no approver of this name is defined; did you mean 'desk'?"),
        ({"by": "desk"}, {"exchange": "none"}, "", "has no effect with exchange: none, where nobody is known"),
        (
            {"by": "desk"},
            {"exchange": {"audience": ["a"], "subject_token": "self"}},
            "",
            "needs subject.issuers: without a caller's token nobody is known to ask about",
        ),
        ({"by": "desk", "reason_header": "authorization"}, {}, "reason_header", "should be another field"),
        ({"by": "desk", "reason_header": "Cookie"}, {}, "reason_header", "this header has a meaning of its own"),
        (
            {"by": "desk", "reason_header": "x-token"},
            {"upstream": {"url": "http://127.0.0.1:9000", "token_header": "X-Token"}},
            "reason_header",
            "should be another field: this one carries a credential",
        ),
        ({"by": "desk", "bind": ["query"]}, {}, "bind.0", "should be"),
        ({"by": "desk", "max_age": 5}, {}, "max_age", "should be a duration"),
    ],
)
def test_what_is_wrong(workshop: Workshop, approval: Any, route: dict[str, Any], key: str, message: str) -> None:
    found = said(workshop, approval, **route)
    assert message in found[f"routes.0.approval.{key}".rstrip(".")]


def test_a_caller_beside_a_token_of_ours_can_be_asked_about(workshop: Workshop) -> None:
    exchange = {"audience": ["a"], "subject_token": "self"}
    assert said(workshop, {"by": "desk"}, exchange=exchange, subject={"issuers": ["corp"]}) == {}


@pytest.mark.parametrize(
    ("approver", "key", "message"),
    [
        ({}, "authzen", "missing; or else opa"),
        ({**DESK, "authzen": {"url": "https://pdp.example.com"}}, "opa", "should not stand beside authzen"),
        ({"opa": {"url": "http://opa.example.com/v1/data/a"}}, "opa.url", "plain http to another machine"),
        ({"opa": {"url": "http://opa.example.com/v1/data/a?metrics=1"}}, "opa.url", "plain http to another machine"),
        ({"authzen": {"url": "http://pdp.example.com"}}, "authzen.url", "plain http to another machine"),
        ({"authzen": {"url": "https://pdp.example.com/?a=b"}}, "authzen.url", "should have no query"),
        ({**DESK, "tls": {}}, "tls", "has no effect without an https URL"),
        ({"authzen": {"url": "https://pdp.example.com"}, "tls": {"cert_file": "token"}}, "tls.cert_file", "needs key"),
    ],
)
def test_what_is_wrong_with_an_approver(workshop: Workshop, approver: Any, key: str, message: str) -> None:
    found = said(workshop, {"by": "desk"}, approver)
    assert list(found) == [f"approvers.desk.{key}"]
    assert message in next(iter(found.values()))


def test_a_network_that_encrypts(workshop: Workshop) -> None:
    approver = {"opa": {"url": "http://opa.example.com/v1/data/a"}, "allow_plain_http": True}
    assert said(workshop, {"by": "desk"}, approver) == {}
