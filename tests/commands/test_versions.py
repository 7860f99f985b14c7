"""What two files say of those they name, and that where the files stand makes no difference."""

from pathlib import Path

import pytest

from sidecar.commands.versions import Version, Versions
from sidecar.config.load import load
from sidecar.config.problems import ConfigError
from sidecar.model.route import Route
from sidecar.routing.changes import Change

FILE = """
version: 1
trusted_issuers:
  corp: {issuer: 'https://login.example', audience: [gateway], jwks_file: keys.json, keys_stale: 1h}
  idle: {issuer: 'https://idle.example', audience: [gateway]}
authorization_servers:
  corp:
    issuer: https://login.example
    timeout: 2s
    extra_params: {tenant: canary-tenant}
    client_auth: {method: client_secret_basic, client_id: gateway, client_secret_file: secret}
workload_tokens:
  self: {file: actor, type: jwt}
routes:
  - name: orders
    match: {path_prefix: /orders}
    upstream: {url: 'https://orders.example', tls: {ca_file: ca.pem}}
    subject: {issuers: [corp]}
    exchange: {audience: [orders-api], actor_token: self}
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""


def version(folder: Path, text: str = FILE) -> Version:
    folder.mkdir(exist_ok=True)
    for name in ("keys.json", "secret", "actor", "other"):
        (folder / name).write_text("{}")
    path = folder / "routes.yaml"
    path.write_text(text.replace(", tls: {ca_file: ca.pem}", ""))
    return Version.of(load(path), str(path))


def orders(of: Version) -> Route:
    return of.routes[0]


def test_a_file_that_was_moved_is_the_same(tmp_path: Path) -> None:
    old, new = version(tmp_path / "a"), version(tmp_path / "b")
    assert old == new
    versions = Versions(old, new)
    assert not versions.differ(orders(old), orders(new))


def test_a_file_that_an_upstream_is_verified_by_is_named_as_it_stands_there(
    tmp_path: Path, certificates: None = None
) -> None:
    old, new = version(tmp_path / "a"), version(tmp_path / "b")
    assert orders(old).upstream.tls == orders(new).upstream.tls


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("audience: [gateway], jwks", "audience: [other], jwks", Change("issuers", "corp", "corp", "audience")),
        ("jwks_file: keys.json", "jwks_file: other", Change("issuers", "corp", "corp", "jwks_file")),
        (
            "client_id: gateway, client_secret_file: secret",
            "client_id: gw, client_secret_file: other",
            Change("authorization_server", "corp", "corp", "client_auth.client_id, client_auth.client_secret_file"),
        ),
        (
            "method: client_secret_basic, client_id: gateway, client_secret_file: secret",
            "method: none, client_id: gateway",
            Change(
                "authorization_server",
                "corp",
                "corp",
                "client_auth.method, client_auth.client_secret_file, client_auth.client_secret_env",
            ),
        ),
        ("canary-tenant", "other", Change("authorization_server", "corp", "corp", "extra_params")),
        ("file: actor", "file: other", Change("actor_token", "self", "self", "file")),
    ],
)
def test_a_name_that_stands_for_another_one(tmp_path: Path, old: str, new: str, change: Change) -> None:
    before, after = version(tmp_path), version(tmp_path, FILE.replace(old, new))
    versions = Versions(before, after)
    assert versions.differ(orders(before), orders(after))
    found = list(versions._redefinitions(orders(before), orders(after)))
    keys = change.note.removeprefix("client_auth.method, client_auth.client_secret_file, ")
    assert [(each.what, each.old, each.new) for each in found] == [(change.what, change.old, change.new)]
    assert set(found[0].note.removeprefix("defined otherwise: ").split(", ")) >= set(keys.split(", ")) - {
        "client_auth.client_secret_env"
    }
    assert "canary" not in str(found)
    assert not versions.differ(before.routes[1], after.routes[1])  # no credential, so none of them counts


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("timeout: 2s", "timeout: 3s, max_in_flight: 5".replace(", ", "\n    ")),
        ("keys_stale: 1h", "keys_stale: 2h"),
        ("https://idle.example", "https://other.example"),
    ],
)
def test_what_makes_no_difference_to_a_request(tmp_path: Path, old: str, new: str) -> None:
    before, after = version(tmp_path), version(tmp_path, FILE.replace(old, new))
    assert not Versions(before, after).differ(orders(before), orders(after))


def test_an_issuer_said_in_two_ways(tmp_path: Path) -> None:
    other = FILE.replace("issuer: 'https://login.example', aud", "authorization_server: corp, aud")
    before, after = version(tmp_path), version(tmp_path, other)
    (found,) = Versions(before, after)._redefinitions(orders(before), orders(after))
    assert found.note == "defined otherwise: authorization_server"


def test_what_shows_only_when_parts_meet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="routes.1.match: takes requests"):
        version(tmp_path, FILE.replace("path: /healthz", "path_prefix: /orders"))
