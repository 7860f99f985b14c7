"""The configurations of proxies that ask the decision listener: what each must say, whether or not it is run here.

Envoy's and nginx's are run by ``tests/interop``.
"""

from pathlib import Path

import pytest
import yaml

from sidecar.wire.fields import CREDENTIALS

SHOWN = Path(__file__).parents[2] / "deploy" / "decision"
FORMS = {
    "Caddyfile": "forwarded",
    "apisix.yaml": "forwarded",
    "envoy.yaml": "envoy",
    "istio.yaml": "envoy",
    "kong.lua": "forwarded",
    "nginx.conf": "forwarded",
    "traefik.yaml": "forwarded",
}
PAGE = (SHOWN.parents[1] / "docs" / "decision-listener.md").read_text("utf-8")
each = pytest.mark.parametrize("name", FORMS)


def text(name: str) -> str:
    return (SHOWN / name).read_text("utf-8")


def test_these_are_all() -> None:
    assert {path.name for path in SHOWN.iterdir()} == FORMS.keys()


@each
def test_it_says_what_it_is_for(name: str) -> None:
    assert f"decision: {{listen: 127.0.0.1:8082, form: {FORMS[name]}}}" in text(name)
    assert f"(../deploy/decision/{name})" in PAGE


@each
def test_who_is_not_told_by_the_answer_clears_every_credential(name: str) -> None:
    """Envoy and Istio are told; they only have to let the answer's token in."""
    wanted = {b"authorization"} if FORMS[name] == "envoy" else CREDENTIALS
    for field in (*wanted, b"x-upstream-token"):
        assert field.decode() in text(name).lower(), field


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form == "forwarded"])
def test_what_names_a_request_is_not_the_callers(name: str) -> None:
    for field in ("x-forwarded-method", "x-forwarded-uri"):
        assert field in text(name).lower()


@each
def test_nothing_goes_on_without_an_answer(name: str) -> None:
    lower = text(name).lower()
    for key in ("failure_mode_allow: true", "failopen: true", "allow_degradation: true"):
        assert key not in lower


@pytest.mark.parametrize("name", [name for name in FORMS if name.endswith(".yaml")])
def test_it_is_yaml(name: str) -> None:
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(text(name)))
