import pytest

from sidecar.exchange.dialects import DIALECTS, Dialect
from sidecar.exchange.dialects.errors import Cause
from sidecar.exchange.grants import GRANTS


@pytest.mark.parametrize(
    ("dialect", "error", "description", "cause"),
    [
        ("keycloak", "invalid_request", "Invalid token", Cause.SUBJECT_TOKEN),
        ("keycloak", "invalid_request", "Requested audience not available: billing-api", Cause.POLICY),
        ("keycloak", "invalid_request", "Standard token exchange is not enabled for the client", Cause.REQUEST),
        ("keycloak", "invalid_client", "Audience not found", Cause.TARGET),
        ("keycloak", "unauthorized_client", "Invalid client or Invalid client credentials", Cause.CREDENTIALS),
        ("keycloak", "access_denied", "Client is not within the token audience", Cause.POLICY),
        ("rfc8693", "invalid_request", "Invalid token", Cause.REQUEST),
    ],
)
def test_one_code_may_mean_several_things(dialect: str, error: str, description: str, cause: Cause) -> None:
    assert DIALECTS[dialect].cause_of(error, description) is cause


def test_the_default_is_the_rfc() -> None:
    assert DIALECTS["rfc8693"] == Dialect()
    assert {dialect.grant for dialect in DIALECTS.values()} <= GRANTS.keys()
