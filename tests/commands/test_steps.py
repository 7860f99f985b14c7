"""How a decision is put into words, for those that ``explain`` can't be made to meet with a file and a token."""

from pathlib import Path

import pytest

import sidecar
from sidecar.commands.steps import Step, Way, refused
from sidecar.config.load import load
from sidecar.model.decision import Decision
from sidecar.model.refusal import Kind, Oversize, Refusal
from sidecar.model.request import RequestHead
from sidecar.model.tokens import Actor
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build
from tests.support.values import NOW, request, subject

FILE = """version: 1
trusted_issuers:
  corp: {issuer: 'https://login.example', audience: [gateway]}
authorization_servers:
  corp: {issuer: 'https://login.example', client_auth: {method: none, client_id: gateway}}
routes:
  - name: orders
    match: {path_prefix: /orders, allow: [path-parameters]}
    upstream: {url: 'http://127.0.0.1:9000'}
    subject: {require_scope: [orders.read]}
    exchange: {audience: [orders-api], semantics: impersonation}
  - name: admin
    match: {path_prefix: /orders/admin}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""


def told(folder: Path, decision: Decision, head: RequestHead | None = None, route: str | None = "orders") -> list[Step]:
    path = folder / "routes.yaml"
    path.write_text(FILE)
    loaded = load(path)
    snapshot = build(loaded, Metrics(sidecar.__version__))
    whole = Decision(snapshot.routes[route] if route else None, decision.subject, refusal=decision.refusal)
    return list(Way(loaded, snapshot.table, head or request(), whole, None).steps())


def names(steps: list[Step]) -> list[str]:
    return [step.name for step in steps]


def test_a_refusal_in_words() -> None:
    assert refused(None) == []
    plain = Refusal(Kind.TOO_LARGE, "Too large.", oversize=Oversize.HEADERS)
    assert refused(plain) == ["refused: 431 too-large — Too large."]
    assert refused(Refusal(Kind.NO_ROUTE, "No.", finding="of this")) == [
        "refused: 404 no-route — No.",
        "because of this",
    ]


def test_only_the_last_step_is_refused(tmp_path: Path) -> None:
    for kind, last in (
        (Kind.TOO_LARGE, "match"),
        (Kind.MISSING_TOKEN, "take"),
        (Kind.INVALID_REQUEST, "take"),
        (Kind.INVALID_TOKEN, "verify"),
        (Kind.ISSUER_UNAVAILABLE, "verify"),
    ):
        steps = told(tmp_path, Decision(refusal=Refusal(kind, "No.")))
        assert names(steps)[-1] == last
        assert [step.refusal is None for step in steps] == [*[True] * (len(steps) - 1), False]
        assert any(line.startswith("refused: ") for line in steps[-1].lines)
    for kind, last in ((Kind.POLICY_DENIED, "allow"), (Kind.EXCHANGE_MISCONFIGURED, "exchange")):
        steps = told(tmp_path, Decision(subject=subject(), refusal=Refusal(kind, "No.")))
        assert names(steps) == ["match", "take", "verify", "allow", "exchange"][: len(steps)]
        assert (names(steps)[-1], steps[-1].refusal is not None) == (last, True)


def test_what_is_known_of_a_subject(tmp_path: Path) -> None:
    who = subject(expires_at=NOW, actors=(Actor("https://a.example", "agent-7"), Actor(None, "agent-8")))
    steps = {step.name: step for step in told(tmp_path, Decision(subject=who))}
    assert steps["verify"].lines == [
        "alice of https://issuer.example (trusted issuer corp), until 2023-11-14T22:13:20+00:00",
        "actor agent-7 of https://a.example",
        "actor agent-8 of None",
    ]
    facts = steps["verify"].facts["subject"]
    assert facts["actors"] == [{"iss": "https://a.example", "sub": "agent-7"}, {"iss": None, "sub": "agent-8"}]
    assert (facts["client_id"], facts["scope"], facts["token"]) == (None, [], "jti:1")
    assert steps["exchange"].lines[-1] == "expects impersonation"
    assert steps["exchange"].facts["expect"]["semantics"] == "impersonation"


@pytest.mark.parametrize(
    ("path", "finding", "keys"),
    [
        (b"/orders//x", "match.allow: [empty-segment] of the route would let it through", ["routes.0.match.allow"]),
        (b"/orders/admin;x", "an upstream may read the path as one of route admin; no key allows that", []),
    ],
)
def test_the_key_that_would_let_an_odd_path_in(tmp_path: Path, path: bytes, finding: str, keys: list[str]) -> None:
    (step,) = told(
        tmp_path, Decision(refusal=Refusal(Kind.INVALID_REQUEST, "No.", finding=finding)), request(path=path), None
    )
    assert [key.name for key in step.keys] == keys
    assert step.lines[2].startswith(f"not orders ({tmp_path}/routes.yaml:7): it goes first, but refuses the path: ")
    assert (step.facts["route"], step.facts["others"][0]["route"]) == (None, "orders")
