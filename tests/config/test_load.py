import json
import os
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sidecar.config import yaml
from sidecar.config.load import _schema, load, parse
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigError
from tests.config.conftest import NOWHERE, VALID, Workshop

MANY_MISTAKES = """\
version: 1
gateway:
  listen: 127.0.0.1
  max_in_flight: many
  max_header_bytes: 64KB
  keepalive_timeout: 75
  drian: {delay: 5s}
  trusted_proxies: [10.0.0.1/8]
receipts: {sink: stdout, subject: hashed}
trusted_issuers:
  corp:
    issuer: http://login.example.com
    audiance: [orders-gateway]
    algorithms: [HS256]
  partner:
    authorization_server: partnr
    audience: []
    jwks_file: gone.json
authorization_servers:
  corp:
    issuer: https://login.example.com
    issuer: https://login.example.org
    client_auth: {method: client_secret_basic, client_id: x, client_secret_file: blank}
    extra_params: {subject_token: x}
  partner:
    issuer: ${PARTNER}
    client_auth: {method: password}
    timeout: 0s
routes:
  - name: orders
    match: {path: '/orders/{id}/%61', methods: [get]}
    upstream: {url: 'http://orders.internal:9000', token_header: Content-Length}
    subject: {issuers: [crop]}
    exchange: {authorization_server: corp, audience: orders-api, resource: [orders], scope: [a b], actor_token: self}
  - name: orders
    match: {path_prefix: /, hosts: ['api.example.com:443']}
    upstream: {url: http://127.0.0.1:9000}
  - name: none
    match: {}
    upstream: {url: http://127.0.0.1:9000, drop_cookies: yes}
    exchange: nothing
"""

EXPECTED = [
    "3:11: gateway.listen: should be an address and port",
    "4:18: gateway.max_in_flight: should be a whole number",
    "5:21: gateway.max_header_bytes: should be a size such as",
    "6:22: gateway.keepalive_timeout: should be a duration with its unit",
    "7:3: gateway.drian: unknown key; did you mean 'drain'?",
    "8:21: gateway.trusted_proxies.0: should be a network",
    "9:1: receipts.subject_key_file: missing; hashed subjects need a key",
    "11:3: trusted_issuers.corp.audience: missing; ",
    "12:13: trusted_issuers.corp.issuer: plain http to another machine",
    "13:5: trusted_issuers.corp.audiance: unknown key; did you mean 'audience'?",
    "14:18: trusted_issuers.corp.algorithms.0: should be 'RS256',",
    "16:27: trusted_issuers.partner.authorization_server: no authorization server of this name is defined; did you",
    "17:15: trusted_issuers.partner.audience: should have at least 1 entry",
    "18:16: trusted_issuers.partner.jwks_file: there is no such file",
    "22:5: authorization_servers.corp.issuer: duplicate key, first on line 21",
    "23:82: authorization_servers.corp.client_auth.client_secret_file: the file is empty",
    "24:20: authorization_servers.corp.extra_params.subject_token: the exchange sets this parameter itself",
    "26:13: authorization_servers.partner.issuer: the environment has no variable PARTNER",
    "27:27: authorization_servers.partner.client_auth.method: should be one of none, client_secret_basic,",
    "28:14: authorization_servers.partner.timeout: should be longer than 0s",
    "31:19: routes.0.match.path: should have letters, digits",
    "31:49: routes.0.match.methods.0: should be a method in capitals",
    "32:21: routes.0.upstream.url: plain http to another machine",
    "32:66: routes.0.upstream.token_header: this header has a meaning of its own",
    "33:25: routes.0.subject.issuers.0: no trusted issuer of this name is defined; did you mean 'corp'?",
    "34:54: routes.0.exchange.audience: should be a list",
    "34:77: routes.0.exchange.resource.0: should be an absolute URI",
    "34:94: routes.0.exchange.scope.0: should be one scope",
    "34:113: routes.0.exchange.actor_token: no workload token of this name is defined",
    "35:5: routes.1.exchange: missing; ",
    "35:11: routes.1.name: another route has this name",
    "36:37: routes.1.match.hosts.0: should have a host name",
    "38:11: routes.2.name: should be another name",
    "39:5: routes.2.match.path_prefix: missing; or else path",
    "40:58: routes.2.upstream.drop_cookies: should be true or false",
    "41:15: routes.2.exchange: should be 'none', or a mapping",
]


def test_every_mistake_of_a_file_is_named_at_its_place(workshop: Workshop) -> None:
    workshop.file("blank", " \n")
    found = workshop.complaints(MANY_MISTAKES)
    assert len(found) == len(EXPECTED) > 20
    for line, expected in zip(found, EXPECTED, strict=True):
        assert line.startswith(expected)


def test_problems_have_the_files_name_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f.yaml").write_text("version: 2\nroutes: []\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        load("f.yaml", {})
    assert str(refused.value).splitlines() == [
        "f.yaml:1:10: version: should be 1",
        "f.yaml:2:9: routes: should have at least 1 entry",
    ]


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "gone.yaml", "there is no such file"), (tmp_path, "is a directory, not a file")):
        with pytest.raises(ConfigError) as refused:
            load(path, {})
        assert str(refused.value) == f"{path}:1:1: {reason}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(workshop: Workshop) -> None:
    (workshop.directory / workshop.file("key")).chmod(0)
    assert workshop.wrong_with("trusted_issuers.corp.jwks_file", "key") == {
        "trusted_issuers.corp.jwks_file": "the file may not be read"
    }


def test_no_more_of_a_file_is_read_than_may_be(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (yaml.MAX_BYTES + 10))
    with pytest.raises(ConfigError, match="larger than 8 MiB"):
        load(path, {})


def test_the_environment_fills_in_and_is_never_shown(workshop: Workshop) -> None:
    workshop.environ |= {"ISSUER": "https://login.example.com", "WRONG": "s3cret value", "LOST": "s3cret"}
    loaded = workshop.load_with("trusted_issuers.corp.issuer", "${ISSUER}/realms/corp")
    assert loaded.config.trusted_issuers["corp"].issuer == "https://login.example.com/realms/corp"
    for path in (
        "gateway.listen",
        "gateway.max_in_flight",
        "cache.max_lifetime",
        "routes.0.name",
        "routes.0.upstream.url",
        "routes.0.exchange",
        "routes.0.match.path",
        "routes.0.listener",
        "routes.0.exchange.authorization_server",
        "trusted_issuers.corp.jwks_file",
        "authorization_servers.corp.client_auth.method",
        "admin.pages",
        "routes.0.upstream.token_header",
        "authorization_servers.corp.client_auth",
        "receipts.sink",
    ):
        found = workshop.wrong_with(path, "${WRONG}")
        assert found
        assert "s3cret" not in str(found)
    workshop.environ["SECRET"] = "s3cret-value"
    assert "s3cret-value" not in repr(workshop.load_with("authorization_servers.corp.extra_params", {"a": "${SECRET}"}))


def test_what_the_library_says_shows_no_values() -> None:
    with pytest.raises(ValidationError) as refused:
        _schema().validate_python(
            {"version": "s3cret", "gateway": {"listen": "s3cret", "drain": {"s3cret": "s3cret!"}}}
        )
    assert "s3cret!" not in str(refused.value)
    assert "input_value" not in str(refused.value)


def test_a_secret_pasted_for_its_variables_name_is_not_shown(workshop: Workshop) -> None:
    client = {"method": "client_secret_basic", "client_id": "x", "client_secret_env": "s3cret!"}
    found = workshop.wrong_with("authorization_servers.corp.client_auth", client)
    assert found == {
        "authorization_servers.corp.client_auth.client_secret_env": (
            "should be the name of an environment variable, not its value"
        )
    }


def test_the_same_bytes_give_the_same_configuration(workshop: Workshop) -> None:
    assert workshop.load().config == workshop.load().config


def outcome(data: bytes) -> Loaded | ConfigError:
    try:
        return parse(data, "f", NOWHERE)
    except ConfigError as error:
        refused = error
    assert refused.problems
    assert list(refused.problems) == sorted(set(refused.problems))
    for problem in refused.problems:
        assert problem.line > 0
        assert problem.column > 0
        assert "\n" not in str(problem)
    return refused


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    outcome(data)


SCALARS = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        0.5,
        10**17,
        "",
        "none",
        "5s",
        "1KiB",
        "asked",
        "corp",
        "/a",
        "/{a}",
        "*.a",
        "https://a",
        "http://a",
        "unix:/x",
        "127.0.0.1:1",
        "${A}",
        "${",
        "jwt",
        "private_key_jwt",
        "\x7f",
        "é",
        "x" * 300,
        "[key]",
        "word",
        "list",
        "mapping",
    ]
)
KEYS = st.sampled_from(
    [
        "version",
        "gateway",
        "listen",
        "listeners",
        "tls",
        "method",
        "client_auth",
        "issuer",
        "audience",
        "match",
        "upstream",
        "url",
        "exchange",
        "expect",
        "subject",
        "name",
        "corp",
        "[key]",
        "word",
        "list",
        "mapping",
        "none",
        "headers",
        "allow",
        "0",
        "é",
        "",
    ]
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=15
)


def paths_of(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    return [path, *(inner for key, child in children for inner in paths_of(child, (*path, key)))]


@given(TREES)
def test_no_tree_raises_anything_else(tree: object) -> None:
    outcome(json.dumps(tree).encode())


FULL: dict[str, Any] = {
    **deepcopy(VALID),
    "gateway": {
        "listeners": {"in": {"listen": "127.0.0.1:1", "direction": "ingress"}},
        "trusted_proxies": ["10.0.0.0/8"],
        "drain": {"delay": "1s"},
        "max_body_bytes": None,
    },
    "receipts": {"sink": "none"},
    "cache": {"max_bytes": "1MiB", "refresh_ahead": 0.5},
    "admin": {"pages": "any"},
}
FULL["routes"][0] |= {
    "listener": "in",
    "subject": {"require_scope": ["a"], "require_claims": {"a.b": ["x", 1]}, "clients": ["c"]},
    "match": {"path": "/a/{b}", "methods": ["GET"], "headers": {"X-A": "1"}, "hosts": ["*.example.com"], "allow": []},
    "exchange": {
        "audience": ["a"],
        "resource": ["urn:a"],
        "scope": ["s"],
        "expect": {"audience": ["a"], "scope": "asked"},
    },
}


def test_the_tree_to_break_is_right() -> None:
    assert isinstance(outcome(json.dumps(FULL).encode()), Loaded)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(TREES, st.integers(0, 2**32), st.booleans())
def test_a_right_tree_broken_anywhere_raises_nothing_else(junk: object, seed: int, add: bool) -> None:
    chance = random.Random(seed)
    tree = deepcopy(FULL)
    *parents, last = chance.choice(paths_of(tree)[1:])
    place: Any = tree
    for step in parents:
        place = place[step]
    if add and isinstance(place, dict):
        place["word"] = junk
    else:
        place[last] = junk
    outcome(json.dumps(tree).encode())
