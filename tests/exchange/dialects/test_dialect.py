import pytest

from sidecar.exchange.dialects.dialect import Dialect
from sidecar.exchange.dialects.errors import Cause, DescribedError

DIALECT = Dialect(
    errors={"invalid_request": Cause.POLICY, "own_code": Cause.TARGET},
    described_errors=(DescribedError("invalid_request", "Invalid token", Cause.SUBJECT_TOKEN),),
)


@pytest.mark.parametrize(
    ("error", "description", "cause"),
    [
        ("invalid_request", "Invalid token", Cause.SUBJECT_TOKEN),
        ("invalid_request", "Invalid token issuer", Cause.SUBJECT_TOKEN),
        ("invalid_request", "An Invalid token", Cause.POLICY),
        ("invalid_request", None, Cause.POLICY),
        ("own_code", "Invalid token", Cause.TARGET),
        ("invalid_grant", "Invalid token", Cause.SUBJECT_TOKEN),
        ("invalid_scope", None, Cause.SCOPE),
        ("nobody_knows", "Invalid token", None),
    ],
)
def test_the_text_goes_first_then_the_dialect_then_the_default(
    error: str, description: str | None, cause: Cause | None
) -> None:
    assert DIALECT.cause_of(error, description) is cause


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("api://orders/Orders.Read", "Orders.Read"),
        ("Orders.Read", "Orders.Read"),
        ("https://x.example/a/.default", ".default"),
    ],
)
def test_a_qualified_scope_is_known_by_its_name(scope: str, name: str) -> None:
    assert Dialect(qualified_scope=True).scope_name(scope) == name
    assert Dialect().scope_name(scope) == scope
