"""The realms of the Keycloak that tests run against, made through its admin API.

The two JSON files beside this module are the realms as Keycloak would import them. ``stock`` has no client scopes of
its own there, so that Keycloak makes its defaults; ours are added afterwards, as a user of an installation would.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from joserfc.jwk import Key

from sidecar.oauth import jwt

#: Ask the admin API: method, path below ``/admin/realms``, document; returns the answer's JSON.
Administer = Callable[..., Any]

#: Which client of ``stock`` gets which of our scopes: (client, default or optional, scope).
ASSIGNMENTS: Final = (
    ("cli", "default", "gateway"),
    ("cli", "default", "gateway-jwt"),
    ("cli-brief", "default", "gateway"),
    ("gateway", "optional", "orders.read"),
    ("gateway", "optional", "billing.write"),
    ("gateway-jwt", "optional", "orders.read"),
    ("gateway-jwt", "optional", "billing.write"),
)


def create(ask: Administer, gateway_key: Key) -> None:
    """Create both realms; the public half of ``gateway_key`` is registered with ``gateway-jwt`` of ``stock``."""
    corp, stock = _read("realm-corp.json"), _read("realm-stock.json")
    ask("POST", "", corp)
    _register_key(stock, gateway_key)
    ask("POST", "", stock)
    ours = [scope for scope in corp["clientScopes"] if scope["name"] != "basic"]
    gateway = next(scope for scope in ours if scope["name"] == "gateway")
    for scope in [*ours, _for_audience(gateway, "gateway-jwt")]:
        ask("POST", "/stock/client-scopes", scope)
    scopes = {scope["name"]: scope["id"] for scope in ask("GET", "/stock/client-scopes")}
    clients = {client["clientId"]: client["id"] for client in ask("GET", "/stock/clients")}
    for client, kind, scope in ASSIGNMENTS:
        ask("PUT", f"/stock/clients/{clients[client]}/{kind}-client-scopes/{scopes[scope]}")


def _read(name: str) -> Any:
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _register_key(realm: Any, key: Key) -> None:
    client = next(client for client in realm["clients"] if client["clientId"] == "gateway-jwt")
    client["attributes"] |= {
        "use.jwks.string": "true",
        "jwks.string": json.dumps(jwt.jwk_set([key])),
        "token.endpoint.auth.signing.alg": "ES256",
    }


def _for_audience(scope: Any, audience: str) -> Any:
    """A client scope like this one, which puts another client into ``aud``."""
    (mapper,) = scope["protocolMappers"]
    config = mapper["config"] | {"included.client.audience": audience}
    return scope | {"name": audience, "protocolMappers": [mapper | {"config": config}]}
