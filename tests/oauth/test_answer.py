"""What replies of an authorization server mean: a table, and that nothing in them can do more than be wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.oauth.answer import (
    AskedToWait,
    ErrorReply,
    Health,
    MayHavePassed,
    ServerError,
    ServerNotAsked,
    ServerOverloaded,
    ServerReplyUnusable,
    ServerTimeout,
    ServerUnavailable,
    TokenReply,
    judge,
)
from sidecar.oauth.http import Flaw, Reply
from tests.support.canary import Canary, search

TOKEN = {"access_token": "issued", "token_type": "Bearer", "expires_in": 300}


def judged(
    status: int, body: object = b"", *, content_type: str = "application/json", retry_after: float | None = None
) -> TokenReply | ErrorReply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(Reply(status, content_type, retry_after, content), 1000.0, 1_700_000_000.0)


def outcome(status: int, body: object, **more: Any) -> TokenReply | ErrorReply | ServerError:
    """What comes of a reply, also where that is a failure."""
    try:
        return judged(status, body, **more)
    except ServerError as error:
        return error


# --- a success


def test_a_token_reply_tells_when_it_was_asked_for() -> None:
    reply = judged(200, TOKEN | {"refresh_token": "canary", "session_state": "x"})
    assert reply == TokenReply(TOKEN | {"session_state": "x"}, 1000.0, 1_700_000_000.0)
    assert reply.health is Health.ANSWERED


@pytest.mark.parametrize(
    ("status", "body", "content_type", "reason"),
    [
        (200, TOKEN | {"error": "invalid_grant"}, "application/json", "a success and an error"),
        (200, TOKEN | {"error": None}, "application/json", "a success and an error"),
        (200, TOKEN, "text/html", Flaw.CONTENT_TYPE),
        (200, TOKEN, "", Flaw.CONTENT_TYPE),
        (200, TOKEN, "application/jwk-set+json", Flaw.CONTENT_TYPE),
        (200, [TOKEN], "application/json", Flaw.NOT_JSON),
        (200, b'{"access_token":"a","access_token":"b"}', "application/json", Flaw.NOT_JSON),
        (200, b'{"access_token":"a"', "application/json", Flaw.NOT_JSON),
        (201, TOKEN, "application/json", Flaw.STATUS),
        (204, b"", "", Flaw.STATUS),
    ],
)
def test_a_success_that_must_not_be_used(status: int, body: object, content_type: str, reason: str) -> None:
    with pytest.raises(ServerReplyUnusable, match=reason) as caught:
        judged(status, body, content_type=content_type)
    assert caught.value.health is Health.ANSWERED


# --- an error


@pytest.mark.parametrize(
    ("status", "body", "error", "description"),
    [
        (400, {"error": "invalid_grant", "error_description": "expired"}, "invalid_grant", "expired"),
        (401, {"error": "invalid_client"}, "invalid_client", None),
        (403, {"error": "access_denied", "error_description": 1}, "access_denied", None),
        (400, {"error": "a b!"}, "a b!", None),
        (400, {"error": "a" * 64}, "a" * 64, None),
        (400, {"error": "a" * 65}, None, None),
        (400, {"error": 'a"b'}, None, None),
        (400, {"error": "a\\b"}, None, None),
        (400, {"error": "a\nb"}, None, None),
        (400, {"error": "é"}, None, None),
        (400, {"error": ""}, None, None),
        (400, {"error": 1}, None, None),
        (400, {"error": ["invalid_grant"]}, None, None),
        (400, {"error": "x", "error_description": "d" * 5000}, "x", "d" * 1024),
        (400, [], None, None),
        (400, b"{", None, None),
        (404, b"", None, None),
        (500, {"error": "invalid_grant"}, "invalid_grant", None),
        (500, {"error": "server_error"}, "server_error", None),
        (503, {"error": "invalid_grant"}, "invalid_grant", None),
    ],
)
def test_an_error_reply(status: int, body: object, error: str | None, description: str | None) -> None:
    assert judged(status, body) == ErrorReply(status, error, description)


# --- a failure


@pytest.mark.parametrize(
    ("status", "body", "retry_after", "error", "pause"),
    [
        (502, b"<html>", None, MayHavePassed, 1),
        (503, {"error": "temporarily_unavailable"}, None, MayHavePassed, 1),
        (504, {"error": "server_error"}, None, MayHavePassed, 1),
        (500, b"", None, ServerUnavailable, 1),
        (501, b"", None, ServerUnavailable, 1),
        (429, {}, None, AskedToWait, 1),
        (429, {"error": "invalid_grant"}, 7.0, AskedToWait, 7),
        (500, b"", 7.0, AskedToWait, 7),
        (503, {"error": "invalid_grant"}, 7.0, AskedToWait, 7),
        (503, b"", 0.0, AskedToWait, 1),
        (503, b"", 86400.0, AskedToWait, 60),
    ],
)
def test_a_failure(
    status: int, body: object, retry_after: float | None, error: type[ServerUnavailable], pause: float
) -> None:
    with pytest.raises(ServerUnavailable) as caught:
        judged(status, body, retry_after=retry_after)
    assert (type(caught.value), caught.value.retry_after) == (error, pause)


def test_asking_for_nothing_is_no_pause() -> None:
    with pytest.raises(AskedToWait) as caught:
        judged(503, retry_after=0.0)
    assert caught.value.pause == 0


def test_retry_after_with_a_refusal_is_nothing_to_us() -> None:
    assert judged(403, {"error": "access_denied"}, retry_after=7.0) == ErrorReply(403, "access_denied", None)


# --- what it says of the server


@pytest.mark.parametrize(
    ("status", "body", "health"),
    [
        (400, {"error": "invalid_grant"}, Health.ANSWERED),
        (400, {"error": "server_error"}, Health.ANSWERED),  # the status of a refusal
        (500, {"error": "server_error"}, Health.FAILED),
        (500, {"error": "invalid_grant"}, Health.ANSWERED),
        (501, {"error": "temporarily_unavailable"}, Health.FAILED),
        (429, b"", Health.ANSWERED),
        (503, b"", Health.FAILED),
        (500, b"", Health.FAILED),
        (201, b"", Health.ANSWERED),
    ],
)
def test_what_an_answer_says_of_the_server(status: int, body: object, health: Health) -> None:
    assert outcome(status, body, retry_after=5.0 if status in (429, 503) else None).health is health


def test_what_else_may_happen_says_of_the_server() -> None:
    assert ServerTimeout("slow").health is Health.FAILED
    assert ServerOverloaded("busy").health is Health.UNTOLD
    assert ServerNotAsked("left alone").health is Health.UNTOLD


# --- anything


@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=50)
    | st.dictionaries(st.sampled_from(["error", "access_token"]), st.text()).map(
        lambda members: json.dumps(members).encode()
    ),
    retry_after=st.none() | st.floats(0, 1e9),
    content_type=st.sampled_from(["application/json", "text/html", ""]),
)
def test_every_reply_is_one_of_these(status: int, body: bytes, retry_after: float | None, content_type: str) -> None:
    answer = outcome(status, body, content_type=content_type, retry_after=retry_after)
    assert not isinstance(answer, ServerUnavailable) or 1 <= answer.retry_after <= 60
    assert isinstance(answer, TokenReply) == (
        status == 200 and content_type == "application/json" and not isinstance(answer, ServerError)
    )
    assert answer.health in (Health.ANSWERED, Health.FAILED)
    assert answer.health is not Health.FAILED or status >= 500


def test_nothing_of_a_reply_is_shown() -> None:
    issued, text = Canary.fresh("issued"), Canary.fresh("server-text")
    shown = []
    for status in (200, 201, 400, 429, 500, 503):
        for body in ({"access_token": issued.text}, {"error": "x", "error_description": text.text}, text.text.encode()):
            try:
                shown.append(repr(judged(status, body)))
            except ServerError as error:
                shown += [repr(error), repr(error.__cause__), repr(error.__context__)]
    assert not search("\n".join(shown).encode(), issued, text)
