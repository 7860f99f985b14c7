from typing import get_args

from sidecar.config.schema.servers import GrantName
from sidecar.exchange.grants import GRANTS


def test_the_configuration_names_them_all() -> None:
    assert get_args(GrantName) == tuple(GRANTS)


def test_only_the_exchange_names_types() -> None:
    assert [name for name, grant in GRANTS.items() if grant.names_types] == ["token-exchange"]
    assert {grant.subject_token for grant in GRANTS.values() if not grant.names_types} == {"assertion"}
