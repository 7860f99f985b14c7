"""What is exchanged with each vendor, and what has to come of it: the exchanges that the dialects are held against.

``carried_out`` makes one as the gateway would, over a socket, from a configuration that is compiled as always.
"""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import yaml

from sidecar.caller.take import Credential
from sidecar.config import dialects
from sidecar.config.load import load
from sidecar.config.loaded import Loaded
from sidecar.config.problems import show
from sidecar.config.tree import Part
from sidecar.model.refusal import Refused, StepUp
from sidecar.oauth.jwt import jwk_set, sign
from sidecar.observe.metrics import Metrics
from sidecar.snapshot import build
from tests.support.values import request
from tests.support.vendors.server import CLIENT_ID, CLIENT_KEY, ISSUER, KEY, SECRET, State, Vendor

MISFIT = "misfit"
ISSUED = "issued"


@dataclass(frozen=True, slots=True)
class Case:
    """One exchange. expected: ISSUED, the kind of its refusal, or MISFIT where the configuration is refused.

    says: a part of the finding, or the key that does not fit. exchange: the route's. state: of the server.
    """

    name: str
    exchange: Mapping[str, Any]
    expected: str = ISSUED
    says: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)
    assertion: bool = False
    subject_type: str = "access_token"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an exchange. form: what was sent of it, without the credentials and the token's own text.

    step_up: what the caller's next login is asked to be.
    """

    result: str
    finding: str = ""
    form: tuple[tuple[str, str], ...] = ()
    step_up: StepUp | None = None


#: What a vendor makes of a fault, where that is not what a strict server does: kind and a part of the finding.
FAULTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "rfc8693": {
        "unknown": ("exchange-misconfigured", "400 invalid_target (target)"),
        "credentials": ("exchange-misconfigured", "401 invalid_client (credentials)"),
        "dead": ("exchange-misconfigured", "400 invalid_request (request)"),
        "scope": ("insufficient-scope", "400 invalid_scope (scope)"),
    },
    "keycloak": {
        "unknown": ("exchange-misconfigured", "400 invalid_client (target)"),
        "credentials": ("exchange-misconfigured", "401 unauthorized_client (credentials)"),
        "dead": ("invalid-token", "400 invalid_request (subject-token)"),
    },
    "spring": {
        "unknown": ("exchange-unusable", "aud lacks 'nobody-api'; exchange.expect.audience: any"),
        "dead": ("invalid-token", "400 invalid_grant (subject-token)"),
    },
    "zitadel": {"dead": ("invalid-token", "400 invalid_request (subject-token)")},
    "authlete": {"dead": ("invalid-token", "400 invalid_request (subject-token)")},
    "okta": {"dead": ("invalid-token", "400 invalid_grant (subject-token)")},
    "auth0": {
        "unknown": ("exchange-misconfigured", "403 access_denied (target)"),
        "credentials": ("exchange-misconfigured", "401 access_denied (credentials)"),
        "dead": ("invalid-token", "401 invalid_grant (subject-token)"),
    },
    "wso2": {"dead": ("invalid-token", "400 invalid_request (subject-token)")},
    "entra-obo": {
        "unknown": ("exchange-misconfigured", "400 invalid_resource (target)"),
        "dead": ("invalid-token", "400 invalid_grant (subject-token)"),
    },
}
_ONE = {"two audiences": "audience", "no audience": "audience"}
#: What can't be asked of a vendor at all, and the key that says so.
MISFITS: Mapping[str, Mapping[str, str]] = {
    "keycloak": {"resource": "resource", "actor": "actor_token", "foreign type": "subject_token_type"},
    "spring": {"foreign type": "subject_token_type"},
    "zitadel": {"resource": "resource", "foreign type": "subject_token_type"},
    "authlete": {"one audience": "audience", "two audiences": "audience", "foreign type": "subject_token_type"},
    "pingam": {"foreign type": "subject_token_type"},
    "okta": {
        **_ONE,
        "resource": "resource",
        "no scope": "scope",
        "actor": "actor_token",
        "foreign type": "subject_token_type",
    },
    "auth0": {**_ONE, "resource": "resource", "actor": "actor_token", "foreign type": "subject_token_type"},
    "wso2": {**_ONE, "resource": "resource", "foreign type": "subject_token_type"},
    "entra-obo": {
        "one audience": "audience",
        "two audiences": "audience",
        "resource": "resource",
        "no scope": "scope",
        "actor": "actor_token",
        "type requested": "requested_token_type",
        "nothing expected": "expect.audience",
    },
}
#: What only one of them does.
SPECIAL: Mapping[str, tuple[Case, ...]] = {
    "keycloak": (
        Case("role", Vendor.usual, "exchange-denied", "invalid_request (policy)", {"unusual": "audience"}),
        Case("requester", Vendor.usual, "exchange-denied", "access_denied (policy)", {"unusual": "requester"}),
    ),
    "auth0": (Case("chain", Vendor.usual, "exchange-denied", "invalid_request (policy)", {"unusual": "chain"}),),
    "wso2": (Case("forged", Vendor.usual, "invalid-token", "(subject-token)", {"dead": "forged"}),),
}


def cases(vendor: type[Vendor]) -> Iterator[Case]:
    """Return what is exchanged with a vendor."""
    faults = {**FAULTS["rfc8693"], **FAULTS.get(vendor.name, {})}
    misfits = MISFITS.get(vendor.name, {})
    usual: dict[str, Any] = {**vendor.usual}
    typed = vendor.grant_type.endswith("token-exchange")

    def asked(name: str, exchange: Mapping[str, Any], **changes: Any) -> Case:
        if name in misfits:
            return Case(name, exchange, MISFIT, misfits[name], **changes)
        return Case(name, exchange, **changes)

    yield Case("usual", usual)
    yield Case("unknown", vendor.unknown, *faults["unknown"])
    yield Case("credentials", usual, *faults["credentials"], {"secret": "another"})
    yield Case("dead", usual, *faults["dead"], {"dead": "expired"})
    yield Case("scope", vendor.too_much, *faults["scope"])
    yield Case("assertion", usual, assertion=True)
    yield asked("one audience", {**usual, "audience": ["orders-api"]})
    yield asked("two audiences", {**usual, "audience": ["orders-api", "stock-api"]})
    yield asked("no audience", {**usual, "audience": []})
    yield asked("resource", {**_open(usual), "resource": ["https://orders.example/v1"]})
    yield asked("no scope", {**usual, "scope": []})
    yield asked("actor", {**usual, "actor_token": "self"})
    requested = "access_token" if vendor.name == "auth0" else "jwt"
    yield asked("type requested", {**usual, "requested_token_type": requested})
    yield asked("foreign type", usual, subject_type="urn:example:own")
    if typed:
        missing = {"without": frozenset({"issued_token_type"})}
        yield Case("no issued_token_type", usual, "exchange-unusable", "issued_token_type is missing", missing)
    else:
        yield asked("nothing expected", {key: value for key, value in usual.items() if key != "expect"})
        yield Case(".default", {**usual, "scope": ["api://orders/.default"]})
        yield Case("consent", usual, "step-up-required", "invalid_grant (step-up)", {"unusual": "consent"})
    another_login = {"unusual": "conditional access"}
    yield Case("conditional access", usual, "step-up-required", "interaction_required (step-up)", another_login)
    listed = {**usual, "expect": {"audience": _audience(vendor)}}
    wider = {"surplus": {"aud": [*_audience(vendor), "billing-api"]}}
    yield Case("surplus audience", listed, "exchange-unusable", "aud holds 'billing-api'", wider)
    # As one that a server without qualified names gives: to take it for orders.read would be wrong.
    held = {"scope": "https://billing.example/orders.read"} if typed else {"scp": "Orders.Read Orders.Delete"}
    yield Case("surplus scope", usual, "exchange-unusable", "scope holds ", {"surplus": held})
    other = {"sub": "mallory"} if typed else {"oid": "mallory"}
    yield Case("another person", usual, "exchange-unusable", "exchange.expect.subject: any", {"surplus": other})
    yield from SPECIAL.get(vendor.name, ())


def _audience(vendor: type[Vendor]) -> list[str]:
    """What the usual token is for."""
    if vendor.name == "spring":
        return [CLIENT_ID]
    if vendor.name == "entra-obo":
        return ["api://orders"]
    return list(vendor.usual.get("audience") or vendor.usual["resource"])


def _open(exchange: dict[str, Any]) -> dict[str, Any]:
    """A route whose tokens may be for more than the audience: a resource is one, too."""
    return {**exchange, "expect": {**exchange.get("expect", {}), "extra_audience": ["https://orders.example/v1"]}}


def configuration(
    vendor: type[Vendor], port: int, folder: Path, routes: Mapping[str, Case], upstream: int = 9
) -> dict[str, Any]:
    """Return a configuration whose routes, by name, are these cases; of what they share, the first one's counts.

    port, upstream: of the vendor's server and of the upstream.
    """
    first = next(iter(routes.values()))
    (folder / "vendor.jwks").write_text(json.dumps(jwk_set([KEY])))
    (folder / "gateway.secret").write_text(SECRET)
    (folder / "gateway.jwk").write_text(json.dumps(CLIENT_KEY.as_dict(private=True)))
    (folder / "actor.token").write_text(sign({"iss": ISSUER, "sub": "agent", "exp": int(time()) + 300}, KEY, "ES256"))
    basic = {"method": "client_secret_basic", "client_id": CLIENT_ID, "client_secret_file": f"{folder}/gateway.secret"}
    signed = {
        "method": "private_key_jwt",
        "client_id": CLIENT_ID,
        "key_file": f"{folder}/gateway.jwk",
        "algorithm": "ES256",
    }
    return {
        "gateway": {"listen": "127.0.0.1:0"},
        "trusted_issuers": {
            "corp": {
                "issuer": ISSUER,
                "audience": ["orders-gateway"],
                "jwks_file": f"{folder}/vendor.jwks",
                "subject_token_type": first.subject_type,
            }
        },
        "authorization_servers": {
            "corp": {
                "issuer": ISSUER,
                "token_endpoint": f"http://127.0.0.1:{port}/token",
                "dialect": vendor.name,
                "client_auth": signed if first.assertion else basic,
            }
        },
        "workload_tokens": {"self": {"file": f"{folder}/actor.token", "type": "access_token"}},
        "routes": [
            {
                "name": name,
                "match": {"path_prefix": f"/{name}"},
                "upstream": {"url": f"http://127.0.0.1:{upstream}"},
                "exchange": deepcopy(dict(case.exchange)),  # YAML writes what is the same object once
            }
            for name, case in routes.items()
        ],
    }


def subject_token(case: Case) -> str:
    """A caller's token, another one on every call: alice's, who lets whoever exchanges act for her."""
    acts = "agent" if "actor_token" in case.exchange else CLIENT_ID
    claims = {
        "iss": ISSUER,
        "sub": "alice",
        "oid": "alice-everywhere",
        "aud": "orders-gateway",
        "exp": int(time()) + 300,
        "jti": uuid4().hex,
        "may_act": {"sub": acts},
    }
    return sign(claims, KEY, "ES256")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case whose configuration is loaded, whether the dialect fits or not: that is judged when it is carried out."""

    case: Case
    content: Mapping[str, Any]
    file: Loaded


def prepared(vendor: type[Vendor], port: int, folder: Path, case: Case) -> Prepared:
    """Load a case's configuration."""
    path = folder / f"{case.name.replace(' ', '-')}.yaml"
    content = {"version": 1, **configuration(vendor, port, folder, {"orders": case})}
    path.write_text(yaml.safe_dump(content))
    with patch.object(dialects, "findings", lambda _: ()):
        return Prepared(case, content, load(path))


async def carried_out(prepared: Prepared, vendor: Vendor) -> Outcome:
    """Make one exchange."""
    case = prepared.case
    vendor.state = State(**case.state)
    vendor.forms.clear()
    if misfits := list(dialects.findings(Part(prepared.content))):
        return Outcome(MISFIT, " ".join(f"{show(misfit.path)}: {misfit.message}" for misfit in misfits))
    snapshot = build(prepared.file, Metrics("test"))
    caller = subject_token(case)
    try:
        plan = snapshot.plans["orders"]
        verified = await snapshot.verifier.verify(Credential(caller), plan.route.subject.issuers)
        asked, _, ask = await plan.ask(verified, request())
        await plan.carry_out(ask, asked, 0.0)
        result, finding, step_up = ISSUED, "", None
    except Refused as refused:
        refusal = refused.refusal
        result, finding, step_up = refusal.kind.value, refusal.finding, refusal.step_up
    finally:
        await snapshot.close()
    sent = [pair for form in vendor.forms for pair in form if pair[0] not in ("client_assertion", "actor_token")]
    return Outcome(result, finding, tuple(pair for pair in sent if pair[1] != caller), step_up)
