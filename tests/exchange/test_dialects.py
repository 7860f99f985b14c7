import pytest

from sidecar.exchange.dialects import DEFAULT_ERRORS, DIALECTS, Dialect, with_overrides
from sidecar.model.refusal import Kind


def test_the_default_map_is_the_contract() -> None:
    assert {
        kind: {code for code, meant in DEFAULT_ERRORS.items() if meant is kind} for kind in DEFAULT_ERRORS.values()
    } == {
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


@pytest.mark.parametrize(
    ("error", "description", "kind"),
    [
        ("invalid_request", "Invalid token", Kind.INVALID_TOKEN),
        ("invalid_request", "Invalid token issuer", Kind.INVALID_TOKEN),
        ("invalid_request", "Requested audience not available: billing-api", Kind.EXCHANGE_DENIED),
        (
            "invalid_request",
            "Standard token exchange is not enabled for the requested client",
            Kind.EXCHANGE_MISCONFIGURED,
        ),
        ("invalid_request", None, Kind.EXCHANGE_MISCONFIGURED),
        ("invalid_client", "Audience not found", Kind.EXCHANGE_MISCONFIGURED),
        ("unauthorized_client", "Invalid client or Invalid client credentials", Kind.EXCHANGE_MISCONFIGURED),
        ("access_denied", "Client is not within the token audience", Kind.EXCHANGE_DENIED),
        ("something_else", "Invalid token", None),
    ],
)
def test_keycloak_tells_causes_apart(error: str, description: str | None, kind: Kind | None) -> None:
    assert DIALECTS["keycloak"].kind_of(error, description) is kind


def test_the_rfc_knows_no_descriptions() -> None:
    assert DIALECTS["rfc8693"].kind_of("invalid_request", "Invalid token") is Kind.EXCHANGE_MISCONFIGURED


def test_single_switches_can_be_changed() -> None:
    changed = with_overrides(
        DIALECTS["keycloak"],
        {
            "issued_token_type": "lenient",
            "form_encoding": False,
            "extra_scope": ["openid"],
            "errors": {"x": "invalid-token"},
        },
    )
    assert (changed.issued_token_type, changed.form_encoding, changed.extra_scope) == ("lenient", False, ("openid",))
    assert changed.kind_of("x", None) is Kind.INVALID_TOKEN
    assert changed.described_errors == DIALECTS["keycloak"].described_errors
    assert DIALECTS["keycloak"].issued_token_type == "strict"


@pytest.mark.parametrize(
    ("overrides", "switch"),
    [
        ({"unknown": 1}, "unknown"),
        ({"form_encoding": "no"}, "form_encoding"),
        ({"form_encoding": 1}, "form_encoding"),
        ({"issued_token_type": "sloppy"}, "issued_token_type"),
        ({"issued_token_type": []}, "issued_token_type"),
        ({"extra_scope": "openid"}, "extra_scope"),
        ({"extra_scope": [1]}, "extra_scope"),
        ({"errors": []}, "errors"),
        ({"errors": {"x": "no-such-kind"}}, "errors"),
        ({"errors": {"x": "no-route"}}, "errors"),
        ({"errors": {"x": []}}, "errors"),
        ({"described_errors": []}, "described_errors"),
    ],
)
def test_a_wrong_override_names_its_switch(overrides: dict[str, object], switch: str) -> None:
    with pytest.raises(ValueError, match=switch) as raised:
        with_overrides(Dialect(), overrides)
    assert raised.value.args[0] == switch
