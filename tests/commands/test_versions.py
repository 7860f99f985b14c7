"""What two files say of those they name, and that where the files stand makes no difference."""

from pathlib import Path

import pytest

from sidecar.commands.versions import Version, Versions
from sidecar.config.load import load
from sidecar.config.problems import ConfigError
from sidecar.model.route import TLS, Route
from sidecar.routing.changes import Change
from sidecar.routing.regions import regions
from tests.support.certificates import Authority

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
    """Compile a file, with those that it names beside it."""
    folder.mkdir(exist_ok=True)
    for name in ("keys.json", "secret", "actor", "other"):
        (folder / name).write_text("{}")
    Authority(folder, "ca")
    Authority(folder, "ca2")
    path = folder / "routes.yaml"
    path.write_text(text)
    return Version.of(load(path), str(path))


def orders(of: Version) -> Route:
    return of.routes[0]


def told(before: Version, after: Version) -> list[Change]:
    """What is different for the requests of the first route."""
    versions = Versions(before, after)
    assert versions.differ(orders(before), orders(after)) == versions.differ(orders(after), orders(before))
    found = [
        change
        for region in regions(before.routes, after.routes, versions.differ)
        for change in versions.changes(region)
    ]
    assert bool(found) == versions.differ(orders(before), orders(after))
    return found


def test_a_file_that_was_moved_is_the_same(tmp_path: Path) -> None:
    old, new = version(tmp_path / "a"), version(tmp_path / "b")
    assert old == new
    assert orders(new).upstream.tls == TLS(ca_file="ca.pem")
    assert told(old, new) == []


def test_another_authority_for_an_upstream(tmp_path: Path) -> None:
    old, new = version(tmp_path), version(tmp_path, FILE.replace("ca.pem", "ca2.pem"))
    assert told(old, new) == [Change("upstream.tls.ca_file", "ca.pem", "ca2.pem")]


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("audience: [gateway], jwks", "audience: [other], jwks", ("issuers", "corp", "audience")),
        ("jwks_file: keys.json", "jwks_file: other", ("issuers", "corp", "jwks_file")),
        ("keys_stale: 1h", "leeway: 1s, token_profile: at+jwt", ("issuers", "corp", "token_profile, leeway")),
        (
            "client_id: gateway, client_secret_file: secret",
            "client_id: gw, client_secret_file: other",
            ("authorization_server", "corp", "client_auth.client_id, client_auth.client_secret_file"),
        ),
        (
            "method: client_secret_basic, client_id: gateway, client_secret_file: secret",
            "method: none, client_id: gateway",
            ("authorization_server", "corp", "client_auth.method, client_auth.client_secret_file"),
        ),
        ("canary-tenant", "other", ("authorization_server", "corp", "extra_params")),
        ("file: actor", "file: other", ("actor_token", "self", "file")),
    ],
)
def test_a_name_that_stands_for_another_one(tmp_path: Path, old: str, new: str, change: tuple[str, str, str]) -> None:
    before, after = version(tmp_path), version(tmp_path, FILE.replace(old, new))
    what, name, keys = change
    # The route without an exchange is not told: it needs none of them.
    assert told(before, after) == [Change(what, name, name, f"defined otherwise: {keys}")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("timeout: 2s", "max_in_flight: 5"),
        ("keys_stale: 1h", "keys_stale: 2h"),
        ("keys_stale: 1h", "probe: 5m"),
        ("https://idle.example", "https://other.example"),
        ("issuer: 'https://login.example', aud", "authorization_server: corp, aud"),
    ],
)
def test_what_makes_no_difference_to_a_request(tmp_path: Path, old: str, new: str) -> None:
    assert told(version(tmp_path), version(tmp_path, FILE.replace(old, new))) == []


def test_a_name_that_is_gone_is_told_by_the_routes_alone(tmp_path: Path) -> None:
    new = FILE.replace("subject: {issuers: [corp]}", "subject: {issuers: [idle]}")
    assert told(version(tmp_path), version(tmp_path, new)) == [Change("issuers", ("corp",), ("idle",))]


def test_what_shows_only_when_parts_meet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"routes\.1\.match: takes requests"):
        version(tmp_path, FILE.replace("path: /healthz", "path_prefix: /orders"))
