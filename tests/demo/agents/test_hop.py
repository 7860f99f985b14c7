import pytest
from aiohttp.test_utils import make_mocked_request

from sidecar.demo.agents.hop import carried, claims_of, problem_answer
from sidecar.oauth.jwt import generate_key, sign

KEY = generate_key("ES256", "k")


def test_an_agent_passes_on_the_trace_and_the_token_that_it_was_called_with_and_nothing_else() -> None:
    sent = {"Authorization": "Bearer a.b.c", "traceparent": "00-1-2-00", "X-Request-ID": "r"}
    request = make_mocked_request("POST", "/tasks", headers={**sent, "Cookie": "c", "X-Other": "o"})
    assert carried(request.headers) == sent
    assert carried(make_mocked_request("POST", "/tasks").headers) == {}


def test_claims_are_shown_as_far_as_they_matter() -> None:
    token = sign({"sub": "alice", "aud": "tools", "email": "alice@example.com"}, KEY, "ES256")
    assert claims_of({"Authorization": f"Bearer {token}"}) == {"sub": "alice", "aud": "tools"}


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer x", "Basic eyJ.e.s"])
def test_no_token_says_nothing(value: str) -> None:
    assert claims_of({"Authorization": value}) == {}
    assert claims_of({}) == {}


def test_a_refusal_goes_back_with_its_challenge_and_nothing_else() -> None:
    headers = {"WWW-Authenticate": 'Bearer error="insufficient_user_authentication"', "Set-Cookie": "c", "Server": "s"}
    answer = problem_answer(401, headers, b'{"status":401}')
    assert (answer.status, answer.body) == (401, b'{"status":401}')
    assert dict(answer.headers) == {
        "Content-Type": "application/problem+json",
        "WWW-Authenticate": 'Bearer error="insufficient_user_authentication"',
    }
    assert "WWW-Authenticate" not in problem_answer(403, {}, b"{}").headers
