import json
import math
import re
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.faces.problems import KINDS, PROBLEM_TYPE, problem, status_problem
from sidecar.faces.responses import OwnResponse
from sidecar.model.refusal import Kind, Oversize, Refusal, StepUp

#: The contract: status, OAuth code in the body, challenge.
CONTRACT: dict[Kind, tuple[int, str | None, str | None]] = {
    Kind.INVALID_REQUEST: (400, "invalid_request", None),
    Kind.MISSING_TOKEN: (401, None, 'Bearer realm="token-exchange-sidecar"'),
    Kind.INVALID_TOKEN: (401, "invalid_token", 'Bearer realm="token-exchange-sidecar", error="invalid_token"'),
    Kind.STEP_UP_REQUIRED: (
        401,
        "insufficient_user_authentication",
        'Bearer realm="token-exchange-sidecar", error="insufficient_user_authentication"',
    ),
    Kind.INSUFFICIENT_SCOPE: (
        403,
        "insufficient_scope",
        'Bearer realm="token-exchange-sidecar", error="insufficient_scope"',
    ),
    Kind.POLICY_DENIED: (403, "access_denied", 'Bearer realm="token-exchange-sidecar"'),
    Kind.APPROVAL_DENIED: (403, "access_denied", 'Bearer realm="token-exchange-sidecar"'),
    Kind.EXCHANGE_DENIED: (403, "access_denied", 'Bearer realm="token-exchange-sidecar"'),
    Kind.NO_ROUTE: (404, None, None),
    Kind.TOO_LARGE: (413, None, None),
    Kind.REQUEST_TIMEOUT: (408, None, None),
    Kind.EXPECTATION_FAILED: (417, None, None),
    Kind.UPGRADE_REQUIRED: (426, None, None),
    Kind.VERSION_NOT_SUPPORTED: (505, None, None),
    Kind.NOT_SUPPORTED: (501, None, None),
    Kind.EXCHANGE_MISCONFIGURED: (502, None, None),
    Kind.EXCHANGE_UNUSABLE: (502, None, None),
    Kind.ISSUED_TOKEN_REFUSED: (502, None, None),
    Kind.LEAK_GUARD: (502, None, None),
    Kind.UPSTREAM_UNAVAILABLE: (502, None, None),
    Kind.EXCHANGE_UNAVAILABLE: (503, None, None),
    Kind.ISSUER_UNAVAILABLE: (503, None, None),
    Kind.APPROVAL_UNAVAILABLE: (503, None, None),
    Kind.OVERLOADED: (503, None, None),
    Kind.UPSTREAM_TIMEOUT: (504, None, None),
    Kind.EXCHANGE_TIMEOUT: (504, None, None),
    Kind.LOOP: (508, None, None),
}


def _headers(found: OwnResponse) -> dict[str, str]:
    headers = {name.decode().lower(): value.decode() for name, value in found.headers}
    assert len(headers) == len(found.headers)
    return headers


def test_every_kind_is_in_the_table() -> None:
    assert set(KINDS) == set(Kind) == set(CONTRACT)


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_becomes_what_the_contract_says(kind: Kind) -> None:
    status, error, challenge = CONTRACT[kind]
    found = problem(Refusal(kind, "One sentence."), "r-1")
    headers = _headers(found)
    body = json.loads(found.body)
    title = body.pop("title")
    assert title == KINDS[kind].title
    assert title[0].isupper()
    assert found.status == status
    assert body == {
        "type": f"urn:token-exchange-sidecar:problem:{kind.value}",
        "status": status,
        "detail": "One sentence.",
        **({} if error is None else {"error": error}),
        "request_id": "r-1",
    }
    assert headers.pop("content-type") == "application/problem+json"
    assert headers.pop("cache-control") == "no-store"
    assert headers.pop("www-authenticate", None) == challenge
    assert headers.pop("retry-after", None) == ("1" if status == 503 else None)
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    assert headers == (upgrade if status == 426 else {})


def test_titles_tell_kinds_apart() -> None:
    assert len({row.title for row in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize(
    ("oversize", "status"), [(Oversize.BODY, 413), (Oversize.TARGET, 414), (Oversize.HEADERS, 431), (None, 413)]
)
def test_what_was_too_large_decides_the_status(oversize: Oversize | None, status: int) -> None:
    found = problem(Refusal(Kind.TOO_LARGE, "Too large.", oversize=oversize), "r-1")
    assert (found.status, json.loads(found.body)["status"]) == (status, status)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "1"),
        (0, "1"),
        (-5, "1"),
        (0.2, "1"),
        (1.0, "1"),
        (1.01, "2"),
        (59.5, "60"),
        (1e9, "3600"),
        (math.inf, "3600"),
    ],
)
def test_retry_after_is_whole_seconds_rounded_up(seconds: float | None, shown: str) -> None:
    found = problem(Refusal(Kind.EXCHANGE_UNAVAILABLE, "Later.", retry_after=seconds), "r-1")
    assert _headers(found)["retry-after"] == shown


def test_two_waits_after_one_reason_are_kept_apart() -> None:
    waits = [problem(Refusal(Kind.OVERLOADED, "Later.", retry_after=wait), "r") for wait in (2, 7)]
    assert [_headers(found)["retry-after"] for found in waits] == ["2", "7"]


def test_a_missing_scope_is_named() -> None:
    found = problem(Refusal(Kind.INSUFFICIENT_SCOPE, "Scope.", scope=("orders.read", "orders.write")), "r-1")
    assert _headers(found)["www-authenticate"].endswith(
        ', error="insufficient_scope", scope="orders.read orders.write"'
    )


@pytest.mark.parametrize(
    ("step_up", "told"),
    [
        (StepUp(), ""),
        (StepUp(("hw", "urn:x:y")), ', acr_values="hw urn:x:y"'),
        (StepUp(max_age=0), ', max_age="0"'),
        (StepUp(("mfa",), 300), ', acr_values="mfa", max_age="300"'),
        (StepUp(('a"b', "mfa", "a b", "é", "")), ', acr_values="mfa"'),
    ],
)
def test_what_a_new_login_has_to_be_like(step_up: StepUp, told: str) -> None:
    found = problem(Refusal(Kind.STEP_UP_REQUIRED, "Log in.", step_up=step_up), "r-1")
    assert _headers(found)["www-authenticate"] == CONTRACT[Kind.STEP_UP_REQUIRED][2] + told  # type: ignore[operator]


def test_claims_come_with_the_code_that_entras_clients_know() -> None:
    found = problem(Refusal(Kind.STEP_UP_REQUIRED, "Log in.", step_up=StepUp(("mfa",), None, "e30=")), "r-1")
    assert _headers(found)["www-authenticate"] == (
        'Bearer realm="token-exchange-sidecar", error="insufficient_claims", acr_values="mfa", claims="e30="'
    )
    assert json.loads(found.body)["error"] == "insufficient_user_authentication"


def test_other_challenges_name_no_scope() -> None:
    found = problem(Refusal(Kind.POLICY_DENIED, "No.", scope=("orders.read",)), "r-1")
    assert "scope" not in _headers(found)["www-authenticate"]


@given(scope=st.lists(st.text()).map(tuple), request_id=st.text(), reason=st.text())
def test_a_response_is_well_formed_whatever_is_in_it(scope: tuple[str, ...], request_id: str, reason: str) -> None:
    found = problem(Refusal(Kind.INSUFFICIENT_SCOPE, reason, scope=scope), request_id)
    challenge = _headers(found)["www-authenticate"]
    assert re.fullmatch(
        r'Bearer realm="token-exchange-sidecar", error="insufficient_scope"'
        r'(, scope="[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")?',
        challenge,
    )
    body = json.loads(found.body)
    assert (body["detail"], body["request_id"]) == (reason, request_id)
    assert found.body.isascii()


@pytest.mark.threat("S8")
def test_what_was_found_is_not_shown() -> None:
    found = problem(Refusal(Kind.EXCHANGE_UNUSABLE, "Unusable.", finding="canary"), "r-1")
    assert b"canary" not in found.body
    assert "canary" not in str(found.headers)


def test_statuses_of_their_own_are_about_blank() -> None:
    found = status_problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
    assert json.loads(found.body) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing here.",
    }
    assert found.status == 404
    assert _headers(found) == {"content-type": "application/problem+json", "cache-control": "no-store"}
    assert not PROBLEM_TYPE.startswith("about:")
