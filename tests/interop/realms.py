"""The realms of the Keycloak that tests run against, made through its admin API.

The two JSON files beside this module are the realms as Keycloak would import them. ``stock`` has no client scopes of
its own there, so that Keycloak makes its defaults; ours are added afterwards, as a user of an installation would.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from urllib.parse import urlencode

from joserfc.jwk import Key

from sidecar.oauth import jwt

#: Ask the admin API: method, path below ``/admin/realms``, document; returns the answer's JSON.
Administer = Callable[..., Any]

KEY_PROVIDER: Final = "org.keycloak.keys.KeyProvider"

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


def add_client(ask: Administer, realm: str, client_id: str, members: Mapping[str, Any]) -> None:
    """Create a confidential client with these members, which may exchange for orders the tokens of ``cli`` that were
    asked for with the scope of its name.
    """
    attributes = {"standard.token.exchange.enabled": "true", **members.get("attributes", {})}
    client = {"clientId": client_id, "publicClient": False, "standardFlowEnabled": False, **members}
    ask("POST", f"/{realm}/clients", client | {"attributes": attributes})
    gateway = next(scope for scope in _read("realm-corp.json")["clientScopes"] if scope["name"] == "gateway")
    ask("POST", f"/{realm}/client-scopes", _for_audience(gateway, client_id))
    scopes = {scope["name"]: scope["id"] for scope in ask("GET", f"/{realm}/client-scopes")}
    clients = {client["clientId"]: client["id"] for client in ask("GET", f"/{realm}/clients")}
    for whom, scope in (("cli", client_id), (client_id, "orders.read")):
        ask("PUT", f"/{realm}/clients/{clients[whom]}/optional-client-scopes/{scopes[scope]}")


def add_signing_key(ask: Administer, realm: str) -> str:
    """Make a new RSA key that a realm signs with from now on, beside those it has; return the key provider's id."""
    name = f"newer-{token_hex(4)}"
    config = {"priority": ["1000"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]}
    provider = {"name": name, "providerId": "rsa-generated", "providerType": KEY_PROVIDER, "config": config}
    ask("POST", f"/{realm}/components", provider)
    (found,) = ask("GET", f"/{realm}/components?{urlencode({'type': KEY_PROVIDER, 'name': name})}")
    return str(found["id"])


def remove_signing_key(ask: Administer, realm: str, provider: str) -> None:
    """Take a key provider away: its key is published no longer, and what it signed is worth nothing."""
    ask("DELETE", f"/{realm}/components/{provider}")


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
