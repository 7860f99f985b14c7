import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.approval import Approval
from sidecar.model.decision import CacheResult
from sidecar.model.receipt import Event, Occasion, Receipt, Standing
from sidecar.model.refusal import Kind, Refusal, StepUp
from sidecar.model.route import TLS, Exchange, Upstream
from sidecar.model.tokens import ACCESS_TOKEN, JWT, Actor, IssuedToken, Subject, WorkloadToken
from sidecar.observe.receipt_line import fragment, line

CANARY = "canary-of-a-token"
TIME = "2026-01-02T03:04:05.006Z"
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _subject(sub: str = "alice", acr: str | None = "mfa", actors: tuple[Actor, ...] = ()) -> Subject:
    return Subject(
        issuer="corp",
        iss="https://login.example.com",
        sub=sub,
        token_type=ACCESS_TOKEN,
        token_id="jti:1",
        expires_at=2e9,
        scope=frozenset({"orders"}),
        client_id="shop",
        acr=acr,
        actors=actors,
        digest=b"",
        token=CANARY,
        claims={"email": CANARY},
    )


def _issued(actors: tuple[Actor, ...] | None, audience: frozenset[str] | None = frozenset({"b", "a"})) -> IssuedToken:
    return IssuedToken(
        authorization_server="corp",
        token_type=JWT,
        token_id="sha256:0123456789abcdef",
        iss="https://as.example.com",
        sub="alice",
        audience=audience,
        scope=frozenset(),
        actors=actors,
        verified="signature",
        token=CANARY,
    )


ASKED = Exchange("corp", audience=("orders-api",), scope=("orders.read", "orders.write"), requested_token_type=JWT)
ACTOR_TOKEN = WorkloadToken("self", JWT, "jti:7", b"", CANARY)


def _parse(text: str) -> dict[str, Any]:
    """One line is one object without a member named twice."""
    assert text.endswith("\n")
    assert text.isascii()
    assert text[:-1].isprintable()
    pairs: list[list[tuple[str, Any]]] = []

    def keep(members: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs.append(members)
        return dict(members)

    parsed: dict[str, Any] = json.loads(text, object_pairs_hook=keep)
    assert all(len(dict(members)) == len(members) for members in pairs)
    return parsed


def test_a_use_tells_it_all() -> None:
    standing = Standing(_subject(), ASKED, "x-1", ACTOR_TOKEN, _issued((Actor("https://i", "gateway"),)), 300.0)
    occasion = Occasion("r-1", "GET", b"/orders/1", TRACEPARENT, "orders", "http://127.0.0.1:9000")
    receipt = Receipt(occasion, fragment(standing, str), cache=CacheResult.HIT, status=200, duration=0.0123456)
    text = line(Event.USE, receipt, TIME)
    assert CANARY not in text
    assert _parse(text) == {
        "time": TIME,
        "event": "use",
        "request_id": "r-1",
        "exchange_id": "x-1",
        "traceparent": TRACEPARENT.decode(),
        "route": "orders",
        "method": "GET",
        "path": "/orders/1",
        "upstream": "http://127.0.0.1:9000",
        "client_id": "shop",
        "authorization_server": "corp",
        "semantics": "delegation",
        "subject": {"iss": "https://login.example.com", "sub": "alice", "acr": "mfa"},
        "subject_source": "caller",
        "actor": [{"iss": "https://i", "sub": "gateway"}],
        "subject_token": {"type": ACCESS_TOKEN, "id": "jti:1"},
        "actor_token": {"type": JWT, "id": "jti:7"},
        "issued_token": {
            "type": JWT,
            "id": "sha256:0123456789abcdef",
            "issuer": "https://as.example.com",
            "audience": ["a", "b"],
            "scope": [],
            "lifetime": 300.0,
        },
        "requested": {"audience": ["orders-api"], "scope": ["orders.read", "orders.write"], "type": JWT},
        "cache": "hit",
        "decision": "allowed",
        "status": 200,
        "duration_ms": 12.346,
    }


def test_a_tool_is_told() -> None:
    occasion = Occasion("r-1", "POST", b"/mcp", tool='a"\n{"é')
    assert json.loads(line(Event.USE, Receipt(occasion), TIME))["tool"] == 'a"\n{"é'


def test_a_refusal_before_anything_is_known_says_only_why() -> None:
    refusal = Refusal(Kind.MISSING_TOKEN, "A bearer token is required.")
    text = line(Event.REFUSAL, Receipt(Occasion("r-1", "GET", b"/"), refusal=refusal, duration=0.001), TIME)
    assert _parse(text) == {
        "time": TIME,
        "event": "refusal",
        "request_id": "r-1",
        "method": "GET",
        "path": "/",
        "decision": "missing-token",
        "reason": "A bearer token is required.",
        "duration_ms": 1.0,
    }


@pytest.mark.parametrize(
    ("step_up", "told"),
    [
        (StepUp(("mfa", "hw"), 300, "canary"), {"acr_values": ["mfa", "hw"], "max_age": 300}),
        (StepUp(max_age=0), {"max_age": 0}),
        (StepUp(), {}),
    ],
)
def test_a_step_up_names_what_was_asked_for(step_up: StepUp, told: dict[str, Any]) -> None:
    refusal = Refusal(Kind.STEP_UP_REQUIRED, "Log in.", step_up=step_up)
    text = line(Event.REFUSAL, Receipt(Occasion("r-1", "GET", b"/"), refusal=refusal), TIME)
    assert _parse(text)["step_up"] == told
    assert "canary" not in text


def test_a_failed_exchange_names_what_was_asked_and_found_but_no_issued_token() -> None:
    standing = Standing(_subject(acr=None), ASKED, "x-1")
    refusal = Refusal(Kind.EXCHANGE_UNUSABLE, "The answer can't be used.", finding='scope "admin" was not asked for')
    receipt = Receipt(Occasion("r-1", "GET", b"/"), fragment(standing, str), refusal)
    parsed = _parse(line(Event.EXCHANGE, receipt, TIME))
    assert parsed["decision"] == "exchange-unusable"
    assert parsed["finding"] == 'scope "admin" was not asked for'
    assert parsed["exchange_id"] == "x-1"
    assert "acr" not in parsed["subject"]
    assert not {"issued_token", "semantics", "actor", "status", "cache"} & parsed.keys()


def test_the_actor_chain_is_the_issued_tokens_where_it_can_be_read() -> None:
    caller, gateway = Actor(None, "agent"), Actor("https://i", "gateway")

    def chain(issued: IssuedToken | None) -> object:
        text = fragment(Standing(_subject(actors=(caller,)), ASKED, issued_token=issued), str)
        return json.loads(f"{{{text[1:]}}}").get("actor")

    assert chain(_issued((gateway, caller))) == [{"iss": "https://i", "sub": "gateway"}, {"sub": "agent"}]
    assert chain(_issued(())) is None
    assert chain(_issued(None)) == [{"sub": "agent"}]
    assert chain(None) == [{"sub": "agent"}]


def test_what_is_not_known_is_left_out_and_what_is_empty_is_not() -> None:
    known = json.loads("{" + fragment(Standing(issued_token=_issued((), frozenset())), str)[1:] + "}")
    assert known["issued_token"]["audience"] == []
    unknown = json.loads("{" + fragment(Standing(issued_token=_issued(None, None)), str)[1:] + "}")
    assert "audience" not in unknown["issued_token"]
    assert unknown["semantics"] == "unknown"


def test_details_are_told_as_they_were_asked_and_granted() -> None:
    asked = replace(ASKED, authorization_details=('{"type":"pay","actions":["r","w"]}',))
    issued = replace(_issued(()), authorization_details=('{"type":"pay","actions":["r"]}',))
    told = json.loads("{" + fragment(Standing(exchange=asked, issued_token=issued), str)[1:] + "}")
    assert told["requested"]["authorization_details"] == [{"type": "pay", "actions": ["r", "w"]}]
    assert told["issued_token"]["authorization_details"] == [{"type": "pay", "actions": ["r"]}]


def test_nothing_known_is_an_empty_fragment() -> None:
    assert fragment(Standing(), str) == ""


def test_the_subject_is_named_as_told_and_nobody_else() -> None:
    standing = Standing(_subject(actors=(Actor(None, "alice"),)))
    members = json.loads("{" + fragment(standing, lambda sub: f"<{sub}>")[1:] + "}")
    assert members["subject"]["sub"] == "<alice>"
    assert members["actor"] == [{"sub": "alice"}]


@given(
    path=st.binary(),
    texts=st.tuples(*[st.text(st.characters(exclude_categories=()))] * 8),
    traceparent=st.binary() | st.just(TRACEPARENT),
)
@pytest.mark.threat("S11")
def test_nothing_a_caller_sends_ends_a_line_or_forges_a_member(
    path: bytes, texts: tuple[str, ...], traceparent: bytes
) -> None:
    request_id, method, route, sub, acr, actor, reason, finding = texts
    standing = Standing(_subject(sub, acr, (Actor(actor, actor),)))
    receipt = Receipt(
        Occasion(request_id, method, path, traceparent, route, route),
        fragment(standing, str),
        Refusal(Kind.LOOP, reason, finding=finding),
    )
    parsed = _parse(line(Event.REFUSAL, receipt, TIME))
    assert parsed["path"].encode("latin-1") == path
    assert (parsed["request_id"], parsed["method"], parsed["route"], parsed["upstream"]) == (
        request_id,
        method,
        route,
        route,
    )
    assert (parsed["subject"]["sub"], parsed["subject"]["acr"]) == (sub, acr)
    assert parsed["actor"] == [{"iss": actor, "sub": actor}]
    assert (parsed["reason"], parsed.get("finding", "")) == (reason, finding)
    assert parsed["decision"] == "loop"


def test_a_traceparent_of_another_form_is_left_out() -> None:
    for value in (b"", b"eyJhbGciOiJSUzI1NiJ9.e30.x", TRACEPARENT.upper(), TRACEPARENT + b"\n", TRACEPARENT + b"-01"):
        text = line(Event.USE, Receipt(Occasion("r-1", "GET", b"/", value)), TIME)
        assert "traceparent" not in _parse(text)


def test_values_keep_paths_and_fragments_out_of_their_repr() -> None:
    receipt = Receipt(Occasion("r", "GET", CANARY.encode(), CANARY.encode()), CANARY)
    assert CANARY not in repr(receipt)


def test_an_upstream_is_named_by_url_or_socket() -> None:
    plain = Upstream("127.0.0.1", 9000, None, b"", b"127.0.0.1:9000", None, b"")
    secure = Upstream("::1", 8443, None, b"/v1", b"", TLS(), b"")
    socket = Upstream(None, 0, "/run/app.sock", b"", b"app", None, b"")
    assert plain.resource_server == "http://127.0.0.1:9000"
    assert secure.resource_server == "https://[::1]:8443/v1"
    assert socket.resource_server == "unix:/run/app.sock"


@pytest.mark.parametrize(
    ("approval", "told", "task"),
    [
        (Approval("desk"), {"by": "desk", "decision": "approved", "age_s": 0.0}, None),
        (
            Approval("desk", None, "a-1", "fine", 12.34567, 99.0, "sha256:00", "refund \u00fc\n"),
            {
                "by": "desk",
                "id": "a-1",
                "decision": "approved",
                "reason": "fine",
                "age_s": 12.346,
                "arguments": "sha256:00",
            },
            "refund \u00fc\n",
        ),
        (
            Approval("desk", Refusal(Kind.APPROVAL_DENIED, "No."), reason='"},"decision":"allowed'),
            {"by": "desk", "decision": "denied", "reason": '"},"decision":"allowed', "age_s": 0.0},
            None,
        ),
        (
            Approval("desk", Refusal(Kind.APPROVAL_UNAVAILABLE, "No.")),
            {"by": "desk", "decision": "unavailable", "age_s": 0.0},
            None,
        ),
    ],
)
def test_what_an_approver_said(approval: Approval, told: dict[str, Any], task: str | None) -> None:
    receipt = Receipt(Occasion("r", "GET"), refusal=approval.refusal, approval=approval)
    parsed = _parse(line(Event.USE, receipt, TIME))
    assert (parsed["approval"], parsed.get("claimed_task")) == (told, task)
    assert parsed["decision"] == ("allowed" if approval.refusal is None else approval.refusal.kind.value)
