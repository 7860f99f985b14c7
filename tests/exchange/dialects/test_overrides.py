from dataclasses import fields, replace
from typing import Any

import pytest

from sidecar.exchange.dialects import DIALECTS
from sidecar.exchange.dialects.dialect import Dialect
from sidecar.exchange.dialects.errors import Cause, DescribedError
from sidecar.exchange.dialects.overrides import SWITCHES, with_overrides
from sidecar.model.tokens import ACCESS_TOKEN, JWT

DESCRIBED = {"error": "invalid_request", "description": "Bad", "cause": "policy"}

#: Of every switch: what the file holds, and what it becomes.
GOOD: list[tuple[str, Any, Any]] = [
    ("audience", "one", "one"),
    ("resource", "none", "none"),
    ("scope", "required", "required"),
    ("subject_token_types", ["jwt", "urn:x:own"], (JWT, "urn:x:own")),
    ("actor_token", False, False),
    ("requested_token_type", "access_token", ACCESS_TOKEN),
    ("requested_token_type", None, None),
    ("form_encoding", False, False),
    ("assertion_audience", "token_endpoint", "token_endpoint"),
    ("issued_token_type", "lenient", "lenient"),
    ("expect_audience", "client_id", "client_id"),
    ("extra_audience", ["account"], ("account",)),
    ("extra_scope", [], ()),
    ("qualified_scope", True, True),
    ("subject_claim", "oid", "oid"),
    ("relay_claims", True, True),
    ("errors", {"own": "policy"}, {"own": Cause.POLICY}),
    ("described_errors", [DESCRIBED], (DescribedError("invalid_request", "Bad", Cause.POLICY),)),
]


def test_every_switch_can_be_changed_but_the_grant_which_is_a_key() -> None:
    assert SWITCHES.keys() == {name for name, _, _ in GOOD} == {each.name for each in fields(Dialect)} - {"grant"}


@pytest.mark.parametrize(("switch", "written", "value"), GOOD)
def test_a_switch_changes_alone(switch: str, written: object, value: object) -> None:
    changed = with_overrides(Dialect(), {switch: written})
    assert getattr(changed, switch) == value
    assert replace(changed, **{switch: getattr(Dialect(), switch)}) == Dialect()


def test_errors_are_added_to_those_of_the_dialect() -> None:
    changed = with_overrides(DIALECTS["authlete"], {"errors": {"own": "policy"}})
    assert changed.errors == {"invalid_request": Cause.SUBJECT_TOKEN, "own": Cause.POLICY}
    assert DIALECTS["authlete"].errors == {"invalid_request": Cause.SUBJECT_TOKEN}


@pytest.mark.parametrize(
    ("switch", "written", "why"),
    [
        ("unknown", 1, "no such switch; there are actor_token"),
        ("grant", "jwt-bearer", "no such switch"),
        ("form_encoding", "no", "true, false"),
        ("form_encoding", 1, "true, false"),
        ("actor_token", None, "true, false"),
        ("issued_token_type", "sloppy", "strict, lenient"),
        ("issued_token_type", [], "strict, lenient"),
        ("audience", "two", "many, one, none"),
        ("audience", True, "many, one, none"),
        ("extra_scope", "openid", "a list of text"),
        ("extra_scope", [1], "a list of text"),
        ("subject_token_types", "jwt", "a list of token types"),
        ("subject_token_types", [1], "must be text"),
        ("requested_token_type", [], "must be text"),
        ("subject_claim", "", "must be text"),
        ("subject_claim", None, "must be text"),
        ("errors", [], "must map error codes to one of client, credentials"),
        ("errors", {"x": "no-such-cause"}, "must map error codes"),
        ("errors", {"x": []}, "must map error codes"),
        ("described_errors", {}, "must be a list of {error, description, cause}"),
        ("described_errors", ["x"], "must be a list of {error, description, cause}"),
        ("described_errors", [{**DESCRIBED, "more": 1}], "must be a list of {error, description, cause}"),
        ("described_errors", [{**DESCRIBED, "cause": "none"}], "cause must be one of"),
        ("described_errors", [{**DESCRIBED, "description": ""}], "must be text"),
        ("described_errors", [{**DESCRIBED, "error": 1}], "must be text"),
    ],
)
def test_a_wrong_override_names_its_switch(switch: str, written: object, why: str) -> None:
    with pytest.raises(ValueError, match=switch) as raised:
        with_overrides(Dialect(), {"extra_audience": [], switch: written})
    assert raised.value.args[0] == switch
    assert why in raised.value.args[1]
