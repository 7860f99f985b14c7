from sidecar.exchange.dialects.errors import DEFAULT_ERRORS, KINDS, Cause
from sidecar.model.refusal import Kind


def test_the_default_map_is_the_contract() -> None:
    kinds = {code: KINDS[cause] for code, cause in DEFAULT_ERRORS.items()}
    assert {kind: {code for code, meant in kinds.items() if meant is kind} for kind in kinds.values()} == {
        Kind.INVALID_TOKEN: {"invalid_grant"},
        Kind.EXCHANGE_MISCONFIGURED: {
            "invalid_request",
            "invalid_target",
            "invalid_client",
            "unauthorized_client",
            "unsupported_grant_type",
            "unsupported_token_type",
        },
        Kind.INSUFFICIENT_SCOPE: {"invalid_scope"},
        Kind.EXCHANGE_DENIED: {"access_denied"},
        Kind.STEP_UP_REQUIRED: {
            "interaction_required",
            "login_required",
            "consent_required",
            "insufficient_user_authentication",
        },
        Kind.EXCHANGE_UNAVAILABLE: {"temporarily_unavailable", "server_error"},
    }


def test_every_cause_has_a_kind() -> None:
    assert KINDS.keys() == set(Cause)
