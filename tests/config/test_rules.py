from typing import Any

import pytest

from tests.config.conftest import Workshop, put

ISSUER = "trusted_issuers.corp"
SERVER = "authorization_servers.corp"
ROUTE = "routes.0"
TRACING = "gateway.tracing"


def wrong(workshop: Workshop, **values: object) -> dict[str, str]:
    def change(tree: Any) -> None:
        for path, value in values.items():
            put(tree, path, value)

    return workshop.wrong(change)


def test_hashed_subjects_need_a_key(workshop: Workshop) -> None:
    workshop.file("key")
    assert wrong(workshop, receipts={"subject": "hashed"}) == {
        "receipts.subject_key_file": "missing; hashed subjects need a key"
    }
    assert wrong(workshop, receipts={"subject": "hashed", "subject_key_file": "key"}) == {}


def test_an_issuer_is_named_once(workshop: Workshop) -> None:
    borrowed = {"authorization_server": "corp", "audience": ["x"]}
    assert wrong(workshop, **{ISSUER: borrowed}) == {}
    assert wrong(workshop, **{ISSUER: {**borrowed, "issuer": "https://a"}}) == {
        f"{ISSUER}.authorization_server": "should not stand beside issuer; give one of them"
    }
    assert wrong(workshop, **{ISSUER: {"audience": ["x"]}}) == {
        f"{ISSUER}.issuer": "missing; or else authorization_server"
    }


INTROSPECTION = {
    "endpoint": "https://a/introspect",
    "client_auth": {"method": "client_secret_basic", "client_id": "gateway", "client_secret_file": "secret"},
}


def test_an_opaque_token_is_good_where_somebody_vouches_for_it(workshop: Workshop) -> None:
    workshop.file("secret")
    opaque = {f"{ISSUER}.token_profile": "opaque"}
    assert wrong(workshop, **opaque) == {
        f"{ISSUER}.introspection": "missing; nobody else can tell whether an opaque token is good"
    }
    good = {**opaque, f"{ISSUER}.introspection": INTROSPECTION}
    assert wrong(workshop, **good) == {}
    # Nothing is discovered then, so the issuer may be any text.
    assert wrong(workshop, **good, **{f"{ISSUER}.issuer": "corp"}) == {}
    no_effect = "has no effect with token_profile: opaque, where no signature is checked"
    for name, value in {"jwks_uri": "https://a/keys", "algorithms": ["ES256"], "keys_stale": "1h"}.items():
        assert wrong(workshop, **good, **{f"{ISSUER}.{name}": value}) == {f"{ISSUER}.{name}": no_effect}
    beside = wrong(workshop, **good, **{f"{ISSUER}.discovery_url": "https://a/meta"})
    assert beside.keys() == {f"{ISSUER}.discovery_url"}


def test_whoever_is_asked_about_tokens_is_asked_safely(workshop: Workshop) -> None:
    workshop.file("secret")
    asked = {**INTROSPECTION, "endpoint": "http://a.example/introspect"}
    assert wrong(workshop, **{f"{ISSUER}.introspection": asked}).keys() == {f"{ISSUER}.introspection.endpoint"}
    allowed = {f"{ISSUER}.introspection": asked, f"{ISSUER}.allow_plain_http": True}
    assert wrong(workshop, **allowed) == {}
    public = {**INTROSPECTION, "client_auth": {"method": "none"}}
    assert wrong(workshop, **{f"{ISSUER}.introspection": public}) == {
        f"{ISSUER}.introspection.client_auth.method": (
            "introspection takes no public client (RFC 7662 §2.1) without a bearer_file beside it"
        )
    }
    secretless = {"client_auth": {"method": "client_secret_post", "client_id": "gateway"}}
    assert wrong(workshop, **{f"{ISSUER}.introspection": secretless}) == {
        f"{ISSUER}.introspection.client_auth.client_secret_file": "missing; or else client_secret_env"
    }


def test_where_introspection_is_found(workshop: Workshop) -> None:
    workshop.file("secret")
    workshop.file("keys.json")
    found = {"client_auth": INTROSPECTION["client_auth"]}
    nowhere = {f"{ISSUER}.issuer": "corp", f"{ISSUER}.jwks_file": "keys.json", f"{ISSUER}.introspection": found}
    assert wrong(workshop, **nowhere).keys() == {f"{ISSUER}.issuer"}
    assert wrong(workshop, **{**nowhere, f"{ISSUER}.introspection": INTROSPECTION}) == {}
    metadata = {f"{ISSUER}.issuer": "corp", f"{ISSUER}.discovery_url": "https://a/meta"}
    assert wrong(workshop, **metadata, **{f"{ISSUER}.introspection": found}) == {}


@pytest.mark.parametrize("form", ["saml2", "saml1", "urn:ietf:params:oauth:token-type:saml2"])
def test_an_assertion_is_no_jwt(workshop: Workshop, form: str) -> None:
    workshop.file("secret")
    assert wrong(workshop, **{f"{ISSUER}.subject_token_type": form}) == {
        f"{ISSUER}.token_profile": "should be opaque: a SAML assertion is no JWT, so introspection must vouch"
    }
    vouched = {f"{ISSUER}.token_profile": "opaque", f"{ISSUER}.introspection": INTROSPECTION}
    assert wrong(workshop, **vouched, **{f"{ISSUER}.subject_token_type": form}) == {}


def test_nobody_introspects_an_id_token(workshop: Workshop) -> None:
    workshop.file("secret")
    both = {f"{ISSUER}.token_profile": "id_token", f"{ISSUER}.introspection": INTROSPECTION}
    assert wrong(workshop, **both) == {
        f"{ISSUER}.introspection": "has no effect on an ID token, which no server introspects"
    }


def test_keys_have_one_source(workshop: Workshop) -> None:
    workshop.file("keys.json")
    sources = {"jwks_file": "keys.json", "jwks_uri": "https://a/keys", "discovery_url": "https://a/meta"}
    for name, value in sources.items():
        assert wrong(workshop, **{f"{ISSUER}.{name}": value}) == {}
    assert wrong(workshop, **{f"{ISSUER}.{name}": value for name, value in sources.items()}) == {
        f"{ISSUER}.{name}": "should not stand beside discovery_url; give one of them"
        for name in ("jwks_uri", "jwks_file")
    }


def test_an_issuer_that_is_no_url_needs_its_keys_said(workshop: Workshop) -> None:
    workshop.file("keys.json")
    for issuer in ("kubernetes/serviceaccount", "https://a/?x=1"):
        found = wrong(workshop, **{f"{ISSUER}.issuer": issuer})
        assert found == {
            f"{ISSUER}.issuer": "should be a URL without query, where metadata is found; or else give discovery_url"
        }
        assert wrong(workshop, **{f"{ISSUER}.issuer": issuer, f"{ISSUER}.jwks_file": "keys.json"}) == {}


PLAIN = "plain http to another machine; use https, or say allow_plain_http: true where the network encrypts"


@pytest.mark.parametrize(
    ("section", "name"),
    [
        (ISSUER, "issuer"),
        (ISSUER, "discovery_url"),
        (ISSUER, "jwks_uri"),
        (SERVER, "issuer"),
        (SERVER, "discovery_url"),
        (SERVER, "token_endpoint"),
        (f"{ROUTE}.upstream", "url"),
        (TRACING, "otlp_endpoint"),
    ],
)
def test_plain_http_stays_on_this_machine(workshop: Workshop, section: str, name: str) -> None:
    path = f"{section}.{name}"
    for url in ("http://10.0.0.1/x", "http://login.example.com/x", "http://localhost.example.com/", "http://0.0.0.0/"):
        assert wrong(workshop, **{path: url}) == {path: PLAIN}
        assert wrong(workshop, **{path: url, f"{section}.allow_plain_http": True}) == {}
    for url in ("http://localhost:1/x", "http://127.0.0.1/x", "http://[::1]:1/x", "https://login.example.com/x"):
        assert wrong(workshop, **{path: url}) == {}


def test_an_issuer_that_nobody_asks_may_be_any_url(workshop: Workshop) -> None:
    workshop.file("keys.json")
    assert wrong(workshop, **{f"{ISSUER}.issuer": "http://login.example.com", f"{ISSUER}.jwks_file": "keys.json"}) == {}
    named = {f"{SERVER}.issuer": "http://login.example.com", f"{SERVER}.token_endpoint": "https://login.example.com/t"}
    assert wrong(workshop, **named) == {}


def test_a_server_can_be_found(workshop: Workshop) -> None:
    auth = {"client_auth": {"method": "none"}}
    assert wrong(workshop, **{SERVER: auth}) == {f"{SERVER}.issuer": "missing; or else discovery_url or token_endpoint"}
    both = {**auth, "discovery_url": "https://a/x", "token_endpoint": "https://a/y"}
    assert wrong(workshop, **{SERVER: both}) == {
        f"{SERVER}.token_endpoint": "should not stand beside discovery_url; give one of them"
    }
    assert wrong(workshop, **{f"{SERVER}.issuer": "https://a/?x=1"}) == {
        f"{SERVER}.issuer": "should be a URL without query, where metadata is found; or else give discovery_url"
    }


@pytest.mark.parametrize("method", ["tls_client_auth", "self_signed_tls_client_auth"])
def test_one_certificate_goes_to_a_server_and_over_tls(workshop: Workshop, method: str) -> None:
    workshop.file("pem")
    pair = {"cert_file": "pem", "key_file": "pem"}
    auth = {f"{SERVER}.client_auth": {"method": method, "client_id": "x", **pair}}
    assert wrong(workshop, **auth, **{f"{SERVER}.tls": {"ca_file": "pem"}}) == {}
    assert wrong(workshop, **auth, **{f"{SERVER}.tls": pair}) == {
        f"{SERVER}.tls.cert_file": "should not stand beside client_auth.cert_file; give one of them"
    }
    endpoint = {f"{SERVER}.token_endpoint": "http://127.0.0.1/token"}
    assert wrong(workshop, **auth, **endpoint) == {
        f"{SERVER}.token_endpoint": f"should be an https URL: {method} shows a certificate there"
    }


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
def test_a_secret_comes_from_one_place(workshop: Workshop, method: str) -> None:
    workshop.file("secret")
    workshop.environ["SECRET"] = "x"
    path = f"{SERVER}.client_auth"
    client = {"method": method, "client_id": "x"}
    file, env = {"client_secret_file": "secret"}, {"client_secret_env": "SECRET"}
    assert wrong(workshop, **{path: {**client, **file}}) == {}
    assert wrong(workshop, **{path: {**client, **env}}) == {}
    assert wrong(workshop, **{path: client}) == {f"{path}.client_secret_file": "missing; or else client_secret_env"}
    assert wrong(workshop, **{path: {**client, **file, **env}}) == {
        f"{path}.client_secret_env": "should not stand beside client_secret_file; give one of them"
    }


@pytest.mark.parametrize("section", [ISSUER, SERVER, f"{ROUTE}.upstream", TRACING])
def test_certificate_and_key_come_together(workshop: Workshop, section: str) -> None:
    workshop.file("pem")
    change: dict[str, object] = {f"{ROUTE}.upstream.url": "https://a", f"{TRACING}.otlp_endpoint": "https://a"}
    path = f"{section}.tls"
    assert wrong(workshop, **change, **{path: {"cert_file": "pem"}}) == {
        f"{path}.cert_file": "needs key_file beside it"
    }
    assert wrong(workshop, **change, **{path: {"key_file": "pem"}}) == {f"{path}.key_file": "needs cert_file beside it"}
    assert wrong(workshop, **change, **{path: {"cert_file": "pem", "key_file": "pem"}}) == {}


def test_tls_needs_https(workshop: Workshop) -> None:
    path = f"{ROUTE}.upstream.tls"
    assert wrong(workshop, **{path: {"server_name": "a"}}) == {path: "has no effect without an https URL"}
    tracing = {"otlp_endpoint": "http://127.0.0.1:4318", "tls": {"server_name": "a"}}
    assert wrong(workshop, **{TRACING: tracing}) == {f"{TRACING}.tls": "has no effect without an https URL"}


def test_a_collector_is_a_place_to_add_a_path_to(workshop: Workshop) -> None:
    for url in ("https://collector.example", "https://collector.example/tenant/a/", "http://localhost:4318"):
        assert wrong(workshop, **{f"{TRACING}.otlp_endpoint": url}) == {}
    assert wrong(workshop, **{f"{TRACING}.otlp_endpoint": "https://collector.example/x?y"}) == {
        f"{TRACING}.otlp_endpoint": "should have no query: /v1/traces is added to it"
    }


def test_a_route_matches_a_path_or_a_prefix(workshop: Workshop) -> None:
    path = f"{ROUTE}.match"
    assert wrong(workshop, **{path: {}}) == {f"{path}.path_prefix": "missing; or else path"}
    assert wrong(workshop, **{path: {"path": "/a", "path_prefix": "/a"}}) == {
        f"{path}.path": "should not stand beside path_prefix; give one of them"
    }


@pytest.mark.parametrize(
    ("text", "what", "relaxation"),
    [
        ("/a%2Fb", "an encoded slash", "encoded-slash"),
        ("/a//b", "an empty segment", "empty-segment"),
        ("/a;b", "a semicolon", "path-parameters"),
    ],
)
@pytest.mark.parametrize("kind", ["path", "path_prefix"])
def test_a_path_that_nothing_gets_to(workshop: Workshop, kind: str, text: str, what: str, relaxation: str) -> None:
    path = f"{ROUTE}.match"
    assert wrong(workshop, **{path: {kind: text, "allow": []}}) == {
        f"{path}.{kind}": f"no request with {what} gets here without match.allow: [{relaxation}]"
    }
    assert wrong(workshop, **{path: {kind: text, "allow": [relaxation]}}) == {}


def test_a_prefix_is_needed_to_strip_it(workshop: Workshop) -> None:
    path = f"{ROUTE}.upstream.strip_prefix"
    assert wrong(workshop, **{path: True}) == {}
    assert wrong(workshop, **{path: True, f"{ROUTE}.match": {"path": "/a"}}) == {
        path: "there is nothing to strip without match.path_prefix"
    }


def test_a_header_is_matched_once(workshop: Workshop) -> None:
    assert wrong(workshop, **{f"{ROUTE}.match.headers": {"X-A": "1", "X-B": "1", "x-a": "2"}}) == {
        f"{ROUTE}.match.headers.x-a": "another key names this header; case makes no difference"
    }


def test_conditions_on_a_subject_that_nobody_checks(workshop: Workshop) -> None:
    assert wrong(workshop, **{f"{ROUTE}.exchange": "none"}) == {}
    assert wrong(workshop, **{f"{ROUTE}.exchange": "none", f"{ROUTE}.subject": {"require_scope": ["a"]}}) == {
        f"{ROUTE}.subject": "has no effect with exchange: none, where credentials are removed and not checked"
    }


def test_another_header_is_taken_from_proxies_only(workshop: Workshop) -> None:
    path = f"{ROUTE}.subject.header"
    assert wrong(workshop, **{path: "authorization"}) == {}
    assert wrong(workshop, **{path: "X-Forwarded-Access-Token"}) == {
        path: "is taken from gateway.trusted_proxies only, and none is named there"
    }
    proxies = {"gateway.trusted_proxies": ["10.0.0.0/8"]}
    assert wrong(workshop, **proxies, **{path: "X-Forwarded-Access-Token"}) == {}


CORS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "an answer for nobody": (
        {"preflight": "answer"},
        {"cors": "missing; an answer names the pages that may call"},
    ),
    "for pages that can't call": (
        {"cors": {"origins": ["https://a.example"]}},
        {"cors": "has no effect where preflights are refused; say preflight: answer or forward"},
    ),
    "every page and one more": (
        {"preflight": "answer", "cors": {"origins": ["https://a.example", "*"]}},
        {"cors.origins.1": "should stand alone: it is every origin"},
    ),
    "an answer": ({"preflight": "answer", "cors": {"origins": ["*"]}}, {}),
    "the upstream's answer": ({"preflight": "forward", "cors": {"origins": ["https://a.example"]}}, {}),
    "the upstream's answer, without a token": (
        {"exchange": "none", "cors": {"origins": ["https://a.example"]}},
        {},
    ),
}


@pytest.mark.parametrize("name", CORS)
def test_preflights_and_pages(workshop: Workshop, name: str) -> None:
    keys, expected = CORS[name]
    changes = {f"{ROUTE}.{key}": value for key, value in keys.items()}
    assert wrong(workshop, **changes) == {f"{ROUTE}.{key}": what for key, what in expected.items()}


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("http://proxy.example:3128", None),
        ("http://proxy.example:3128/", None),
        ("http://127.0.0.1:3128", None),
        ("https://proxy.example:3128", "should be an http URL without a path"),
        ("http://proxy.example/path", "should be an http URL without a path"),
        ("http://proxy.example?x", "should be an http URL without a path"),
        ("http://user:secret@proxy.example:3128", "without user and fragment"),
        ("socks5://proxy.example:1080", "without user and fragment"),
    ],
)
@pytest.mark.parametrize("peer", [ISSUER, SERVER])
def test_a_proxy_is_http_and_nothing_else(workshop: Workshop, peer: str, proxy: str, message: str | None) -> None:
    found = wrong(workshop, **{f"{peer}.proxy_url": proxy})
    if message is None:
        assert found == {}
    else:
        assert set(found) == {f"{peer}.proxy_url"}
        assert message in found[f"{peer}.proxy_url"]
        assert "secret" not in found[f"{peer}.proxy_url"]


@pytest.mark.parametrize(
    ("peer", "key"), [(ISSUER, "jwks_uri"), (SERVER, "token_endpoint"), (TRACING, "otlp_endpoint")]
)
def test_a_proxy_elsewhere_reads_no_plain_http(workshop: Workshop, peer: str, key: str) -> None:
    plain = {f"{peer}.{key}": "http://127.0.0.1:9/x"}
    assert wrong(workshop, **plain, **{f"{peer}.proxy_url": "http://127.0.0.1:3128"}) == {}
    remote = {**plain, f"{peer}.proxy_url": "http://proxy.example:3128"}
    assert "plain http to another machine" in wrong(workshop, **remote)[f"{peer}.proxy_url"]
    assert wrong(workshop, **remote, **{f"{peer}.allow_plain_http": True}) == {}


def test_what_nobody_is_asked_with_has_no_effect(workshop: Workshop) -> None:
    workshop.file("token")
    workshop.file("keys")
    way = {"bearer_file": "token", "proxy_url": "http://proxy.example:3128"}
    issuer = {f"{ISSUER}.{name}": value for name, value in way.items()}
    assert wrong(workshop, **issuer) == {}
    assert wrong(workshop, **issuer, **{f"{ISSUER}.jwks_file": "keys"}) == dict.fromkeys(
        issuer, "has no effect beside jwks_file, where nobody is asked"
    )
    alone = {"token_endpoint": "https://login.example.com/token", "client_auth": {"method": "none"}}
    found = wrong(workshop, **{SERVER: {**alone, **way}})
    assert list(found) == [f"{SERVER}.bearer_file"]
    assert "has no effect without issuer or discovery_url" in found[f"{SERVER}.bearer_file"]


def test_introspection_by_a_bearer_token_needs_no_client(workshop: Workshop) -> None:
    workshop.file("token")
    asked = {f"{ISSUER}.introspection": {"client_auth": {"method": "none"}}}
    path = f"{ISSUER}.introspection.client_auth.method"
    assert "takes no public client" in wrong(workshop, **asked)[path]
    assert wrong(workshop, **asked, **{f"{ISSUER}.bearer_file": "token"}) == {}


def test_whoever_is_asked_about_issued_tokens_can_be_found(workshop: Workshop) -> None:
    workshop.file("secret")
    client = {"method": "client_secret_basic", "client_id": "gateway", "client_secret_file": "secret"}

    def said(**keys: object) -> dict[str, str]:
        return wrong(workshop, **{SERVER: {"client_auth": client, "verify_issued": "introspection", **keys}})

    assert said(issuer="https://a") == {}
    assert said(issuer="https://a", token_endpoint="https://a/token") == {}
    assert said(discovery_url="https://a/meta") == {}
    assert said(token_endpoint="https://a/token") == {
        f"{SERVER}.verify_issued": "needs an issuer or a discovery_url: metadata says where to ask"
    }
    assert said(issuer="http://a.example", token_endpoint="https://a/token").keys() == {f"{SERVER}.issuer"}
    assert said(issuer="https://a", client_auth={"method": "none"}) == {
        f"{SERVER}.client_auth.method": "introspection takes no public client (RFC 7662 §2.1)"
    }
