from typing import get_args

import pytest
from pydantic import ValidationError

from sidecar.config.schema.accept import AcceptedInFile, AcceptedInRoute, FileRule, RouteRule, Why
from tests.config.conftest import read


@pytest.mark.parametrize("why", ["", " ", "two\nlines", " padded"])
def test_a_reason_is_one_line_of_text(why: str) -> None:
    with pytest.raises(ValidationError, match="should say why"):
        read(Why, why)
    assert read(Why, "the mesh encrypts") == "the mesh encrypts"


@pytest.mark.parametrize(("accepted", "names"), [(AcceptedInRoute, RouteRule), (AcceptedInFile, FileRule)])
def test_only_rules_can_be_accepted(accepted: type[object], names: object) -> None:
    every = dict.fromkeys(get_args(names), "why")
    assert read(accepted, every) == every
    with pytest.raises(ValidationError):
        read(accepted, {"no-such-rule": "why"})
