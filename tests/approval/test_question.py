import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.approval.question import Question, authzen, opa
from sidecar.model.approval import ApprovalPolicy
from sidecar.model.operation import Operation
from sidecar.model.route import Expect
from sidecar.model.tokens import ACCESS_TOKEN, Actor, WorkloadToken
from tests.support.canary import Canary, search
from tests.support.values import NOW, exchange, request, route, subject

AGENT = WorkloadToken("self", ACCESS_TOKEN, "jti:9", b"agent", "agent-token", {"iss": "https://spire", "sub": "agent"})
POLICY = ApprovalPolicy("desk", max_age=60, reason_header="x-task")


def question(**changes: Any) -> Question:
    usual: dict[str, Any] = {
        "policy": POLICY,
        "route": route("payments"),
        "exchange": exchange(),
        "subject": subject(client_id="app", acr="mfa", auth_time=NOW - 10, actors=(Actor("https://i", "bot"),)),
        "actor": AGENT,
        "request": request((b"X-Task", b"refund order 1"), path=b"/orders/1", query=b"a=1", method="POST"),
    }
    return Question(**{**usual, **changes})


def test_everything_that_is_told() -> None:
    asked = question()
    told = asked.members(NOW)
    assert told == {
        "subject": {
            "iss": "https://issuer.example",
            "sub": "alice",
            "acr": "mfa",
            "auth_time": NOW - 10,
            "client": "app",
        },
        "actor": [{"iss": "https://spire", "sub": "agent"}, {"iss": "https://i", "sub": "bot"}],
        "action": {"method": "POST"},
        "resource": {
            "route": "payments",
            "path": "/orders/1",
            "audience": list(asked.exchange.audience),
            "resource": list(asked.exchange.resource),
            "scope": list(asked.exchange.scope),
        },
        "context": {"claimed_task": "refund order 1", "request_id": "request-1", "time": "2023-11-14T22:13:20Z"},
    }
    assert opa(told) == {"input": told}


def test_the_form_of_authzen() -> None:
    told = question(operation=Operation("tools/call", "delete_file", {"path": "/etc"})).members(NOW)
    put = authzen(told)
    assert put["subject"] == {
        "type": "identity",
        "id": "alice",
        "properties": {"iss": "https://issuer.example", "acr": "mfa", "auth_time": NOW - 10, "client": "app"},
    }
    assert put["action"] == {
        "name": "tools/call",
        "properties": {"tool": "delete_file", "arguments": {"path": "/etc"}},
    }
    assert (put["resource"]["type"], put["resource"]["id"]) == ("route", "payments")
    assert put["resource"]["properties"] == {k: v for k, v in told["resource"].items() if k != "route"}
    assert put["context"] == {**told["context"], "actor": told["actor"]}
    assert told["subject"]["sub"] == "alice"  # what was told is not used up


#: What differs, by what becomes of a yes: whether it counts for the other request too.
OTHERS: dict[str, tuple[dict[str, Any], bool]] = {
    "another request of the same": ({"request": replace(question().request, request_id="request-2")}, True),
    "another token of the same person": ({"subject": subject("another-token")}, False),
    "another actor": ({"actor": replace(AGENT, identity=b"other")}, False),
    "no actor": ({"actor": None}, False),
    "a rotated actor token": ({"actor": replace(AGENT, token="rotated", token_id="jti:10")}, True),
    "another route": ({"route": route("orders")}, False),
    "another method": ({"request": replace(question().request, method="PUT")}, False),
    "another path": ({"request": replace(question().request, path=b"/orders/2")}, False),
    "another query": ({"request": replace(question().request, query=b"a=2")}, False),
    "no query": ({"request": replace(question().request, query=None)}, False),
    "another host": ({"request": replace(question().request, host="other.example.com")}, False),
    "another claim": ({"request": request((b"X-Task", b"delete all"), query=b"a=1", method="POST")}, False),
    "no claim": ({"request": request(query=b"a=1", method="POST")}, False),
    "another audience": ({"exchange": exchange(audience=("other",))}, False),
    "more scope": ({"exchange": exchange(scope=("orders.read", "orders.write"))}, False),
    "another server": ({"exchange": exchange(authorization_server="other")}, False),
    "other expectations": ({"exchange": replace(exchange(), expect=Expect(same_subject=False))}, True),
    "a tool": ({"operation": Operation("tools/call", "search")}, False),
}


@pytest.mark.threat("S70")
@pytest.mark.parametrize("name", OTHERS)
def test_for_which_other_requests_a_yes_counts(name: str) -> None:
    changes, same = OTHERS[name]
    one, other = question(), question(**changes)
    if name == "another token of the same person":
        other = replace(one, subject=replace(one.subject, digest=other.subject.digest))
    assert (one.key == other.key) is same


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Operation("tools/call", "delete_file", {"path": "/a"}), True),
        (Operation("tools/call", "delete_file", {"path": "/b"}), False),
        (Operation("tools/call", "delete_file", {"path": ["/a"]}), False),
        (Operation("tools/call", "delete_file", {}), False),
        (Operation("tools/call", "read_file", {"path": "/a"}), False),
        (Operation("tools/list", None, {}), False),
    ],
)
def test_a_tool_and_its_arguments_count(other: Operation, same: bool) -> None:
    one = question(operation=Operation("tools/call", "delete_file", {"path": "/a"}))
    assert (one.key == question(operation=other).key) is same
    assert (one.arguments == question(operation=other).arguments) is (other.arguments == {"path": "/a"})


def test_what_is_not_bound_makes_no_difference() -> None:
    loose = replace(POLICY, bind_path=False)
    one, other = (question(policy=loose, request=request(path=path, method="POST")) for path in (b"/a", b"/b"))
    assert one.key == other.key
    assert one.key != question(policy=loose, request=request(path=b"/a", method="PUT")).key


def test_a_pasted_token_is_told_to_nobody_and_still_counts() -> None:
    pasted = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl"
    task = (b"X-Task", f"use {pasted}".encode())
    asked = question(request=request(task, path=f"/check/{pasted}".encode(), method="POST"))
    told = asked.members(NOW)
    assert (told["resource"]["path"], told["context"]["claimed_task"]) == ("/check/[token]", "use [token]")
    other = replace(asked, request=replace(asked.request, path=asked.request.path + b"x"))
    assert other.members(NOW)["resource"]["path"] == told["resource"]["path"]
    assert other.key != asked.key


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        ((), None),
        (((b"X-Task", b""),), None),
        (((b"x-task", b"  tidy\tup  "),), "  tidyup  "),
        (((b"X-Task", b"a"), (b"X-Task", b"b")), "a, b"),
        (((b"X-Task", b"x" * 500),), "x" * 128),
        (((b"X-Task", "r\u00fcckzahlen \u202e".encode()),), "r\u00fcckzahlen "),
        (((b"X-Task", b"\xff\xfe"),), "\ufffd\ufffd"),
    ],
)
def test_what_the_caller_claims(fields: tuple[tuple[bytes, bytes], ...], task: str | None) -> None:
    assert question(request=request(*fields)).claimed_task == task
    assert question(policy=ApprovalPolicy("desk"), request=request(*fields)).claimed_task is None


@pytest.mark.threat("S72")
def test_no_token_is_told() -> None:
    canary, actors = Canary.fresh("subject"), Canary.fresh("actor")
    who = replace(subject(canary.text, claims={"secret": canary.text}), token_id=canary.text)
    by = WorkloadToken("self", ACCESS_TOKEN, actors.text, actors.text.encode(), actors.text, {"sub": "agent"})
    carried = request(
        (b"Authorization", b"Bearer " + canary.text.encode()), (b"Cookie", canary.text.encode()), query=b"q=" + b"x" * 9
    )
    asked = question(subject=who, actor=by, request=carried)
    for put in (authzen, opa):
        assert not search(json.dumps(put(asked.members(NOW))).encode(), canary, actors)


def test_an_actor_that_can_not_be_read_is_no_name() -> None:
    assert question(actor=replace(AGENT, claims={})).members(NOW)["actor"] == [{"iss": "https://i", "sub": "bot"}]
