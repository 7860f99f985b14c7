"""What is wrong between keys: one needs another, two exclude each other, a peer would be spoken to in the clear.

Works on the file's content, not on the schema's sections, so that these mistakes are reported together with all others.
A value that the schema refuses is passed over here. Names that must refer to something are in ``references``.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from sidecar.config import addresses, listeners, paths
from sidecar.config.problems import Finding
from sidecar.config.tree import Part
from sidecar.model.tokens import TOKEN_TYPES

_PLAIN_HTTP: Final = (
    "plain http to another machine; use https, or say allow_plain_http: true where the network encrypts"
)
_ASSERTIONS: Final = {form for name in ("saml1", "saml2") for form in (name, TOKEN_TYPES[name])}


def findings(root: Part) -> Iterator[Finding]:
    """Return what is wrong between the keys of a file."""
    yield from listeners.findings(root)
    if root["receipts"]["subject"].value == "hashed" and "subject_key_file" not in root["receipts"]:
        yield root["receipts"]["subject_key_file"].finding("missing; hashed subjects need a key")
    yield from _tracing(root["gateway"]["tracing"])
    for _, issuer in root["trusted_issuers"].members():
        yield from _issuer(issuer)
    for _, server in root["authorization_servers"].members():
        yield from _server(server)
    for _, approver in root["approvers"].members():
        yield from _approver(approver)
    for route in root["routes"].items():
        yield from _match(route)
        yield from _upstream(route["upstream"])
        yield from _subject(root, route)
        yield from _cors(route)


def _tracing(tracing: Part) -> Iterator[Finding]:
    endpoint = tracing["otlp_endpoint"]
    yield from _plain_http(endpoint, tracing)
    yield from _key_pair(tracing["tls"])
    yield from _proxy(tracing, [endpoint])
    url = endpoint.read(addresses.url)
    if url is not None and "?" in (endpoint.text or ""):
        yield endpoint.finding("should have no query: /v1/traces is added to it")
    if url is not None and not url.secure and "tls" in tracing:
        yield tracing["tls"].finding("has no effect without an https URL")


def _issuer(issuer: Part) -> Iterator[Finding]:
    yield from _either(issuer, "issuer", "authorization_server")
    sources = [name for name in ("discovery_url", "jwks_uri", "jwks_file") if name in issuer]
    for name in sources[1:]:
        yield issuer[name].finding(f"should not stand beside {sources[0]}; give one of them")
    introspection = issuer["introspection"]
    asks = "introspection" in issuer and "endpoint" not in introspection and "discovery_url" not in issuer
    if (asks or (issuer["token_profile"].text != "opaque" and not sources)) and "issuer" in issuer:
        yield from _discoverable(issuer["issuer"])
        yield from _plain_http(issuer["issuer"], issuer)
    for name in ("discovery_url", "jwks_uri"):
        yield from _plain_http(issuer[name], issuer)
    yield from _key_pair(issuer["tls"])
    yield from _introspected(issuer)
    if "jwks_file" in issuer and "introspection" not in issuer:
        for name in ("bearer_file", "proxy_url"):
            if name in issuer:
                yield issuer[name].finding("has no effect beside jwks_file, where nobody is asked")
    yield from _proxy(
        issuer, [issuer["issuer"], issuer["discovery_url"], issuer["jwks_uri"], introspection["endpoint"]]
    )


def _introspected(issuer: Part) -> Iterator[Finding]:
    """Who vouches for a token: its signature, or introspection, or first the one and then the other."""
    profile, introspection = issuer["token_profile"].text, issuer["introspection"]
    if "discovery_url" in issuer and "endpoint" in introspection and profile == "opaque":
        yield issuer["discovery_url"].finding("has no effect beside introspection.endpoint with token_profile: opaque")
    if profile == "opaque":
        if "introspection" not in issuer:
            yield introspection.finding("missing; nobody else can tell whether an opaque token is good")
        for name in ("jwks_uri", "jwks_file", "algorithms", "keys_stale"):
            if name in issuer:
                yield issuer[name].finding("has no effect with token_profile: opaque, where no signature is checked")
    elif issuer["subject_token_type"].text in _ASSERTIONS:
        yield issuer["token_profile"].finding(
            "should be opaque: a SAML assertion is no JWT, so introspection must vouch"
        )
    if profile == "id_token" and "introspection" in issuer:
        yield introspection.finding("has no effect on an ID token, which no server introspects")
    if "introspection" in issuer:
        yield from _plain_http(introspection["endpoint"], issuer)
        yield from _client_auth(introspection["client_auth"], issuer["tls"], introspection["endpoint"])
        if introspection["client_auth"]["method"].text == "none" and "bearer_file" not in issuer:
            yield introspection["client_auth"]["method"].finding(
                "introspection takes no public client (RFC 7662 §2.1) without a bearer_file beside it"
            )


def _server(server: Part) -> Iterator[Finding]:
    if isinstance(server.value, dict) and not any(
        name in server for name in ("issuer", "discovery_url", "token_endpoint")
    ):
        yield server["issuer"].finding("missing; or else discovery_url or token_endpoint")
    if "discovery_url" in server and "token_endpoint" in server:
        yield server["token_endpoint"].finding("should not stand beside discovery_url; give one of them")
    discovers = "token_endpoint" not in server and "discovery_url" not in server
    if discovers and "issuer" in server:
        yield from _discoverable(server["issuer"])
        yield from _plain_http(server["issuer"], server)
    for name in ("discovery_url", "token_endpoint"):
        yield from _plain_http(server[name], server)
    if server["verify_issued"].text == "introspection":
        if "issuer" not in server and "discovery_url" not in server:
            yield server["verify_issued"].finding("needs an issuer or a discovery_url: metadata says where to ask")
        elif "token_endpoint" in server:
            yield from _discoverable(server["issuer"])
            yield from _plain_http(server["issuer"], server)
        if server["client_auth"]["method"].text == "none":
            yield server["client_auth"]["method"].finding("introspection takes no public client (RFC 7662 §2.1)")
    yield from _key_pair(server["tls"])
    yield from _client_auth(server["client_auth"], server["tls"], server["token_endpoint"])
    if "bearer_file" in server and "issuer" not in server and "discovery_url" not in server:
        yield server["bearer_file"].finding(
            "has no effect without issuer or discovery_url: it is for metadata and keys"
        )
    yield from _proxy(server, [server["issuer"], server["discovery_url"], server["token_endpoint"]])


def _approver(approver: Part) -> Iterator[Finding]:
    yield from _either(approver, "authzen", "opa")
    for form in ("authzen", "opa"):
        yield from _plain_http(approver[form]["url"], approver)
        url = approver[form]["url"].read(addresses.url)
        if url is not None and url.query and form == "authzen":
            yield approver[form]["url"].finding("should have no query: it is asked at a path below this one")
        if url is not None and not url.secure and "tls" in approver:
            yield approver["tls"].finding("has no effect without an https URL")
    yield from _key_pair(approver["tls"])


def _client_auth(client: Part, tls: Part, endpoint: Part) -> Iterator[Finding]:
    """What is wrong between the keys of a client_auth, the TLS settings beside it and the endpoint that it is for."""
    method = client["method"].value
    if method in ("client_secret_basic", "client_secret_post", "client_secret_jwt"):
        yield from _either(client, "client_secret_file", "client_secret_env")
    if method in ("tls_client_auth", "self_signed_tls_client_auth"):
        if "cert_file" in tls:
            yield tls["cert_file"].finding("should not stand beside client_auth.cert_file; give one of them")
        url = endpoint.read(addresses.url)
        if url is not None and not url.secure:
            yield endpoint.finding(f"should be an https URL: {method} shows a certificate there")


def _match(route: Part) -> Iterator[Finding]:
    match = route["match"]
    yield from _either(match, "path_prefix", "path")
    allowed = {item.text for item in match["allow"].items()}
    for part in (match["path"], match["path_prefix"]):
        for relaxation, what in paths.needed_relaxations(part.text or ""):
            if relaxation not in allowed:
                yield part.finding(f"no request with {what} gets here without match.allow: [{relaxation}]")
    if route["upstream"]["strip_prefix"].value is True and "path" in match:
        yield route["upstream"]["strip_prefix"].finding("there is nothing to strip without match.path_prefix")
    seen: set[str] = set()
    for name, part in match["headers"].members():
        if name.lower() in seen:
            yield Finding(part.path, "another key names this header; case makes no difference", at_key=True)
        seen.add(name.lower())


def _upstream(upstream: Part) -> Iterator[Finding]:
    yield from _plain_http(upstream["url"], upstream)
    yield from _key_pair(upstream["tls"])
    url = upstream["url"].read(addresses.upstream_url)
    if url is not None and not url.secure and "tls" in upstream:
        yield upstream["tls"].finding("has no effect without an https URL")


def _subject(root: Part, route: Part) -> Iterator[Finding]:
    subject = route["subject"]
    if route["exchange"].value == "none":
        if "subject" in route:
            yield subject.finding("has no effect with exchange: none, where credentials are removed and not checked")
        return
    header = subject["header"].text or "authorization"
    if header.lower() != "authorization" and not list(root["gateway"]["trusted_proxies"].items()):
        yield subject["header"].finding("is taken from gateway.trusted_proxies only, and none is named there")


def _cors(route: Part) -> Iterator[Finding]:
    said = route["preflight"].value or ("forward" if route["exchange"].value == "none" else "refuse")
    if said == "answer" and "cors" not in route:
        yield route["cors"].finding("missing; an answer names the pages that may call")
    if said == "refuse" and "cors" in route:
        yield route["cors"].finding("has no effect where preflights are refused; say preflight: answer or forward")
    origins = list(route["cors"]["origins"].items())
    if len(origins) > 1:
        for part in origins:
            if part.value == "*":
                yield part.finding("should stand alone: it is every origin")


def _either(part: Part, one: str, other: str) -> Iterator[Finding]:
    """Exactly one of two keys has to be there."""
    if isinstance(part.value, dict) and (one in part) == (other in part):
        if one in part:
            yield part[other].finding(f"should not stand beside {one}; give one of them")
        else:
            yield part[one].finding(f"missing; or else {other}")


def _discoverable(issuer: Part) -> Iterator[Finding]:
    if issuer.text is not None and issuer.read(addresses.issuer_url) is None:
        yield issuer.finding("should be a URL without query, where metadata is found; or else give discovery_url")


def _plain_http(part: Part, owner: Part) -> Iterator[Finding]:
    url = part.read(addresses.upstream_url if part.path[-2:] == ("upstream", "url") else addresses.url)
    if url is not None and not url.secure and not url.is_local and owner["allow_plain_http"].value is not True:
        yield part.finding(_PLAIN_HTTP)


def _proxy(peer: Part, urls: Sequence[Part]) -> Iterator[Finding]:
    """What is not https would be read by a proxy, and by whoever is on the way there."""
    proxy = peer["proxy_url"].read(addresses.url)
    if proxy is None or proxy.is_local or peer["allow_plain_http"].value is True:
        return
    known = [url.read(addresses.url) for url in urls]
    if any(url is not None and not url.secure for url in known):
        yield peer["proxy_url"].finding(_PLAIN_HTTP)


def _key_pair(tls: Part) -> Iterator[Finding]:
    for name, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if name in tls and other not in tls:
            yield tls[name].finding(f"needs {other} beside it")
