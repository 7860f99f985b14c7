from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.config.environment import Surroundings
from sidecar.config.schema import OPA, Approver, AuthZEN
from tests.config.conftest import Workshop, read


def test_defaults() -> None:
    approver = read(Approver, {"opa": {"url": "http://127.0.0.1:8181/v1/data/approve"}})
    assert (approver.timeout, approver.tls, approver.allow_plain_http, approver.authzen) == (2.0, None, False, None)
    assert isinstance(approver.opa, OPA)
    desk = read(Approver, {"authzen": {"url": "https://pdp.example.com"}, "timeout": "250ms"})
    assert desk.authzen == AuthZEN(url="https://pdp.example.com", token_file=None)
    assert desk.timeout == 0.25


@pytest.mark.parametrize(
    "wrong",
    [
        {"opa": {}},
        {"opa": {"url": "127.0.0.1:8181"}},
        {"opa": {"url": "unix:/run/opa.sock"}},
        {"opa": {"url": "http://127.0.0.1:8181", "token_file": "t"}},
        {"authzen": {"url": "https://user@pdp.example.com"}},
        {"authzen": {"url": "https://pdp.example.com", "token": "secret"}},
        {"opa": {"url": "http://127.0.0.1:8181"}, "timeout": "0s"},
        {"opa": {"url": "http://127.0.0.1:8181"}, "fail_open": True},
    ],
)
def test_what_is_no_approver(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(Approver, wrong)


def test_a_token_is_looked_for_beside_the_file(workshop: Workshop) -> None:
    section = {"authzen": {"url": "https://pdp.example.com", "token_file": "token"}}
    around = Surroundings(workshop.directory, {})
    with pytest.raises(ValidationError):
        read(Approver, section, around)
    workshop.file("token")
    approver = read(Approver, section, around)
    assert approver.authzen is not None
    assert approver.authzen.token_file == str(workshop.directory / "token")
