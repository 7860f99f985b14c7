"""Those we speak to, from YAML to what speaks to them; and what is said where one can't be made."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OctKey

from sidecar.caller.profiles import Profile
from sidecar.exchange.dialects import DIALECTS
from sidecar.model.tokens import ACCESS_TOKEN, TOKEN_TYPES
from sidecar.oauth.jwt import generate_key, jwk_set, peek, sign
from sidecar.snapshot.peers import Peers, compile_peers
from tests.oauth.peers import Authority as PeerAuthority
from tests.oauth.peers import RawPeer, Seen, raw_peer, reply
from tests.snapshot.conftest import PEERS, ROUTE, Folder, place
from tests.support.certificates import Authority

KEY = generate_key("ES256", "k")


def compiled(folder: Folder, text: str, environ: dict[str, str] | None = None) -> Peers:
    peers = compile_peers(
        folder.load(text), folder.time.clock, folder.metrics, folder.rotation, folder.parts, environ or {}
    )
    assert peers.problems == []
    return peers


@asynccontextmanager
async def closing(folder: Folder, peers: Peers) -> AsyncIterator[Peers]:
    """Close what they opened."""
    try:
        yield peers
    finally:
        for close in folder.parts.closers():
            await close()


# --- trusted issuers


async def test_every_key_of_a_trusted_issuer(folder: Folder) -> None:
    folder.file("keys.json", json.dumps(jwk_set([KEY])))
    text = """
version: 1
trusted_issuers:
  corp:
    issuer: https://login.example
    audience: [one, two]
    token_profile: at+jwt
    subject_token_type: jwt
    algorithms: [ES256, RS256]
    scope_claim: [roles]
    audience_claim: azp
    jwks_file: keys.json
    keys_stale: 1h
    leeway: 5s
"""
    async with closing(folder, compiled(folder, text + HEALTH)) as peers:
        issuer = peers.issuers["corp"]
        assert (issuer.name, issuer.iss) == ("corp", "https://login.example")
        assert issuer.audience == frozenset({"one", "two"})
        assert (issuer.profile, issuer.token_type) == (Profile.AT_JWT, TOKEN_TYPES["jwt"])
        assert (issuer.algorithms, issuer.scope_claims) == (("ES256", "RS256"), ("roles",))
        assert (issuer.audience_claim, issuer.leeway) == ("azp", 5)
        token = sign({"sub": "alice"}, KEY, "ES256", {"kid": "k"})
        assert issuer.keys is not None
        assert (await issuer.keys.verify(token, ["ES256"])).claims == {"sub": "alice"}
        assert peers.issued_keys["https://login.example"].source is issuer.keys
        assert peers.issued_keys["https://login.example"].algorithms == ("ES256", "RS256")
        assert peers.clients == {}
        assert folder.metrics.trusted_issuer_available.labels("corp")._value.get() == 1
        folder.file("keys.json", "gone")
        folder.time.advance(2)
        await issuer.keys.keys()
        assert folder.metrics.trusted_issuer_available.labels("corp")._value.get() == 0
        folder.time.advance(3600)
        with pytest.raises(Exception, match="not JSON"):
            await issuer.keys.keys()


HEALTH = """
routes:
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""


async def test_what_a_trusted_issuer_is_by_default(folder: Folder) -> None:
    async with closing(folder, compiled(folder, PEERS + ROUTE)) as peers:
        issuer = peers.issuers["corp"]
    assert (issuer.profile, issuer.token_type, issuer.audience_claim) == (Profile.JWT, ACCESS_TOKEN, "aud")
    assert (issuer.algorithms, issuer.scope_claims) == (("RS256", "ES256", "PS256", "EdDSA"), ("scope", "scp"))
    assert issuer.leeway == 30


async def test_an_issuer_may_be_named_once(folder: Folder) -> None:
    text = PEERS.replace("{issuer: 'https://login.example', audience", "{authorization_server: corp, audience")
    async with closing(folder, compiled(folder, text + ROUTE)) as peers:
        assert peers.issuers["corp"].iss == "https://login.example"


@pytest.mark.parametrize("key", ["issuer", "discovery_url", "jwks_uri"])
async def test_where_an_issuers_keys_are(folder: Folder, key: str) -> None:
    async with raw_peer(reply(body=b"")) as peer:
        origin = f"http://127.0.0.1:{peer.port}"

        async def answer(seen: Any, writer: asyncio.StreamWriter) -> None:
            documents = {"/keys": jwk_set([KEY]), "/well/known": metadata(origin)}
            documents["/.well-known/oauth-authorization-server"] = metadata(origin)
            writer.write(reply(body=documents[seen.target]))
            await writer.drain()

        peer.answers = [answer]
        where = {"discovery_url": f", discovery_url: '{origin}/well/known'", "jwks_uri": f", jwks_uri: '{origin}/keys'"}
        text = PEERS.replace("audience: [gateway]", f"audience: [gateway]{where.get(key, '')}", 1)
        text = text.replace("issuer: 'https://login.example', audience", f"issuer: '{origin}', audience")
        async with closing(folder, compiled(folder, text + ROUTE)) as peers:
            token = sign({"sub": "alice"}, KEY, "ES256", {"kid": "k"})
            keys = peers.issuers["corp"].keys
            assert keys is not None
            await keys.verify(token, ["ES256"])
        documents = {"issuer": "/.well-known/oauth-authorization-server", "discovery_url": "/well/known"}
        assert [seen.target for seen in peer.seen] == [*([documents[key]] if key in documents else []), "/keys"]


def metadata(origin: str) -> dict[str, str]:
    return {"issuer": origin, "jwks_uri": f"{origin}/keys", "token_endpoint": f"{origin}/token"}


INTROSPECTING = """
version: 1
trusted_issuers:
  corp:
    issuer: 'ORIGIN'
    audience: [gateway]
    token_profile: PROFILE
    introspection: {WHERE client_auth: {method: client_secret_post, client_id: gateway, client_secret_file: secret}}
authorization_servers:
  corp: {token_endpoint: 'https://login.example/token', client_auth: {method: none, client_id: gateway}}
"""


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("profile", [Profile.OPAQUE, Profile.JWT])
async def test_an_issuer_that_is_asked_about_tokens(folder: Folder, profile: Profile, *, endpoint: bool) -> None:
    folder.file("secret", "s3cret")
    documents: dict[str, Any] = {"/introspect": {"active": True, "sub": "alice"}}

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(body=documents[seen.target]))
        await writer.drain()

    async with raw_peer(answer) as peer:
        origin = f"http://127.0.0.1:{peer.port}"
        metadata = {"issuer": origin, "introspection_endpoint": f"{origin}/introspect"}
        documents["/.well-known/oauth-authorization-server"] = metadata
        text = INTROSPECTING.replace("ORIGIN", origin).replace("PROFILE", profile.value)
        text = text.replace("WHERE", f"endpoint: '{origin}/introspect'," if endpoint else "")
        async with closing(folder, compiled(folder, text + ROUTE)) as peers:
            issuer = peers.issuers["corp"]
            assert (issuer.profile, issuer.token_type) == (profile, ACCESS_TOKEN)
            assert (issuer.keys is None) == (profile is Profile.OPAQUE)
            assert (origin in peers.issued_keys) == (profile is Profile.JWT)
            assert issuer.introspection is not None
            assert await issuer.introspection.introspect("token") == documents["/introspect"]
            assert ("client_id", "gateway") in peer.seen[-1].form
            assert ("client_secret", "s3cret") in peer.seen[-1].form
            assert folder.metrics.trusted_issuer_available.labels("corp")._value.get() == 1
        assert [seen.target for seen in peer.seen] == [
            *([] if endpoint else ["/.well-known/oauth-authorization-server"]),
            "/introspect",
        ]


def test_an_id_token_is_called_one(folder: Folder) -> None:
    text = PEERS.replace("audience: [gateway]", "audience: [gateway], token_profile: id_token")
    assert compiled(folder, text + ROUTE).issuers["corp"].token_type == TOKEN_TYPES["id_token"]
    text = text.replace("id_token}", "id_token, subject_token_type: jwt}")
    assert compiled(folder, text + ROUTE).issuers["corp"].token_type == TOKEN_TYPES["jwt"]


# --- authorization servers


def served_by(peer: RawPeer, keys: str) -> str:
    """The file with one authorization server at a peer."""
    return f"""
version: 1
trusted_issuers: {{corp: {{issuer: 'https://login.example', audience: [gateway]}}}}
authorization_servers:
  corp: {{token_endpoint: '{peer.url}', {keys}}}
{ROUTE}"""


PAIRS = [("grant_type", "x")]


@pytest.mark.parametrize(
    ("client_auth", "form", "authorization"),
    [
        ("{method: none}", [], None),
        ("{method: none, client_id: gw}", [("client_id", "gw")], None),
        ("{method: client_secret_post, client_id: gw, client_secret_file: secret}", "post", None),
        ("{method: client_secret_post, client_id: gw, client_secret_env: SECRET}", "post", None),
        ("{method: client_secret_basic, client_id: gw, client_secret_file: secret}", [], "Basic Z3c6cyUyOHQ="),
        ("{method: client_secret_basic, client_id: gw, client_secret_env: SECRET}", [], "Basic Z3c6cyUyOHQ="),
    ],
)
async def test_every_way_to_authenticate(
    folder: Folder,
    client_auth: str,
    form: Any,
    authorization: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder.file("secret", "s(t\n")
    monkeypatch.setenv("SECRET", "s(t")
    expected = [("client_id", "gw"), ("client_secret", "s(t")] if form == "post" else form
    async with raw_peer(reply(body={"access_token": "x"})) as peer:
        text = served_by(peer, f"client_auth: {client_auth}")
        async with closing(folder, compiled(folder, text, {"SECRET": "s(t"})) as peers:
            await peers.servers["corp"].token_request(PAIRS, b"key")
    [seen] = peer.seen
    assert seen.form == [*PAIRS, *expected]
    assert seen.value("authorization") == authorization


@pytest.mark.parametrize("client_id", [None, "gw"])
@pytest.mark.parametrize(("method", "kind"), [("jwt_file", "jwt-bearer"), ("spiffe_jwt", "jwt-spiffe")])
async def test_a_token_of_the_platform(folder: Folder, method: str, kind: str, client_id: str | None) -> None:
    token = sign({"iss": "https://k8s", "sub": "gateway"}, KEY, "ES256")
    folder.file("token", f"{token}\n")
    name = f"client_id: {client_id}, " if client_id else ""
    async with (
        raw_peer(reply(body={"access_token": "x"})) as peer,
        closing(
            folder, compiled(folder, served_by(peer, f"client_auth: {{method: {method}, {name}jwt_file: token}}"))
        ) as peers,
    ):
        await peers.servers["corp"].token_request(PAIRS, b"key")
    sent = [
        *([("client_id", client_id)] if client_id else []),
        ("client_assertion_type", f"urn:ietf:params:oauth:client-assertion-type:{kind}"),
        ("client_assertion", token),
    ]
    assert peer.seen[0].form == [*PAIRS, *sent]


@pytest.mark.parametrize("method", ["tls_client_auth", "self_signed_tls_client_auth"])
async def test_a_certificate(folder: Folder, method: str) -> None:
    authority = PeerAuthority(folder.path)
    cert, key = authority.issue("gw")
    auth = f"client_auth: {{method: {method}, client_id: gw, cert_file: {cert}, key_file: {key}}}"
    shown: list[str] = []

    async def answer(_: Any, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert")["subjectAltName"][0][1])
        writer.write(reply(body={"access_token": "x"}))

    context = authority.serving(ask_for_clients=True)
    async with (
        raw_peer(answer, tls=context) as peer,
        closing(folder, compiled(folder, served_by(peer, f"{auth}, tls: {{ca_file: '{authority.ca_file}'}}"))) as peers,
    ):
        await peers.servers["corp"].token_request(PAIRS, b"key")
    assert shown == ["gw"]
    assert peer.seen[0].form == [*PAIRS, ("client_id", "gw")]


@pytest.mark.parametrize("where", ["client_secret_file: secret", "client_secret_env: SECRET"])
async def test_an_assertion_signed_with_the_secret(folder: Folder, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s" * 64
    folder.file("secret", f"{secret}\n")
    monkeypatch.setenv("SECRET", secret)
    auth = f"client_auth: {{method: client_secret_jwt, client_id: gw, {where}, algorithm: HS512}}"
    async with (
        raw_peer(reply(body={"access_token": "x"})) as peer,
        closing(folder, compiled(folder, served_by(peer, auth), {"SECRET": secret})) as peers,
    ):
        await peers.servers["corp"].token_request(PAIRS, b"key")
    assertion = dict(peer.seen[0].form)["client_assertion"]
    jws.deserialize_compact(assertion, OctKey.import_key(secret), ["HS512"])
    assert peek(assertion).claims["aud"] == peer.url


async def test_a_signed_assertion(folder: Folder) -> None:
    folder.file("key.json", json.dumps(KEY.as_dict(private=True)))
    auth = "client_auth: {method: private_key_jwt, client_id: gw, key_file: key.json, algorithm: ES256, key_id: k-7}"
    async with raw_peer(reply(body={"access_token": "x"})) as peer:
        for dialect, audience in (
            ("", peer.url),
            (", dialect_overrides: {assertion_audience: token_endpoint}", peer.url),
        ):
            async with closing(folder, compiled(folder, served_by(peer, auth + dialect))) as peers:
                await peers.servers["corp"].token_request(PAIRS, b"key")
            assertion = peek(dict(peer.seen[-1].form)["client_assertion"])
            assert assertion.header["kid"] == "k-7"
            assert (assertion.claims["iss"], assertion.claims["aud"]) == ("gw", audience)
        with_issuer = served_by(peer, auth).replace(
            "token_endpoint:", "issuer: 'https://login.example', token_endpoint:"
        )
        for text, audience in (
            (with_issuer, "https://login.example"),
            (
                with_issuer.replace(
                    "client_auth", "dialect_overrides: {assertion_audience: token_endpoint}, client_auth"
                ),
                peer.url,
            ),
        ):
            async with closing(folder, compiled(folder, text)) as peers:
                await peers.servers["corp"].token_request(PAIRS, b"key")
            assert peek(dict(peer.seen[-1].form)["client_assertion"]).claims["aud"] == audience


async def test_a_dialect_is_asked_how_to_encode(folder: Folder) -> None:
    folder.file("secret", "s(t")
    auth = "client_auth: {method: client_secret_basic, client_id: gw, client_secret_file: secret}"
    async with raw_peer(reply(body={"access_token": "x"})) as peer:
        text = served_by(peer, f"{auth}, dialect_overrides: {{form_encoding: false}}")
        async with closing(folder, compiled(folder, text)) as peers:
            await peers.servers["corp"].token_request(PAIRS, b"key")
            assert peers.dialects["corp"].form_encoding is False
    assert peer.seen[0].value("authorization") == "Basic Z3c6cyh0"


async def test_a_server_that_is_discovered(folder: Folder) -> None:
    async with raw_peer(reply(body=b"")) as peer:
        origin = f"http://127.0.0.1:{peer.port}"
        peer.answers = [reply(body=metadata(origin)), reply(body={"access_token": "x"})]
        text = PEERS.replace("{issuer: 'https://login.example', client", f"{{issuer: '{origin}', client")
        async with closing(folder, compiled(folder, text + ROUTE)) as peers:
            await peers.servers["corp"].token_request(PAIRS, b"key")
            assert peers.issued_keys.keys() == {"https://login.example", origin}
    assert [seen.target for seen in peer.seen] == ["/.well-known/oauth-authorization-server", "/token"]


async def test_a_server_whose_tokens_callers_present_too_is_judged_by_the_same_keys(folder: Folder) -> None:
    async with closing(folder, compiled(folder, PEERS + ROUTE)) as peers:
        assert peers.issued_keys.keys() == {"https://login.example"}
        assert peers.issued_keys["https://login.example"].source is peers.issuers["corp"].keys


@pytest.mark.parametrize(
    ("keys", "grant"),
    [
        ("", "token-exchange"),
        ("dialect: entra-obo, ", "entra-obo"),
        ("grant: jwt-bearer, ", "jwt-bearer"),
        ("dialect: keycloak, grant: jwt-bearer, ", "jwt-bearer"),
        ("dialect: entra-obo, grant: token-exchange, ", "token-exchange"),
    ],
)
async def test_the_grant_is_the_dialects_or_the_servers_own(folder: Folder, keys: str, grant: str) -> None:
    fitting = "exchange: {scope: [x/orders.read], expect: {audience: [orders-api]}}"
    route = ROUTE.replace("exchange: {audience: [orders-api], scope: [orders.read]}", fitting)
    text = PEERS.replace("client_auth", f"{keys}client_auth") + route
    async with closing(folder, compiled(folder, text)) as peers:
        assert peers.dialects["corp"].grant == grant


async def test_a_dialect_and_its_overrides(folder: Folder) -> None:
    text = PEERS.replace("client_auth", "dialect: keycloak, dialect_overrides: {extra_scope: [x]}, client_auth")
    async with closing(folder, compiled(folder, text + ROUTE)) as peers:
        dialect = peers.dialects["corp"]
    assert dialect.extra_scope == ("x",)
    assert dialect.described_errors == DIALECTS["keycloak"].described_errors


async def test_a_secret_that_rotates_is_counted(folder: Folder) -> None:
    folder.file("secret", "one")
    auth = "client_auth: {method: client_secret_post, client_id: gw, client_secret_file: secret}"
    async with (
        raw_peer(reply(body={"access_token": "x"})) as peer,
        closing(folder, compiled(folder, served_by(peer, auth))) as peers,
    ):
        await peers.servers["corp"].token_request(PAIRS, b"key")
        folder.file("secret", "the-second")
        for _ in range(2):
            await folder.rotation.look()
        await peers.servers["corp"].token_request(PAIRS, b"key")
    assert [dict(seen.form)["client_secret"] for seen in peer.seen] == ["one", "the-second"]
    name = str(folder.path / "secret")
    assert folder.metrics.secret_reloads.labels(name, "success")._value.get() == 1


# --- what can't be made


def with_server(keys: str) -> str:
    return PEERS.replace("client_auth: {method: none, client_id: gateway}", keys) + ROUTE


@pytest.mark.parametrize(
    ("content", "algorithm", "message"),
    [
        ("no key", "ES256", "key: not a PEM or JWK private key"),
        (json.dumps(KEY.as_dict(private=False)), "ES256", "key: the key is not a private key for ES256"),
        (json.dumps(KEY.as_dict(private=True)), "ES384", "key: the key is not a private key for ES384"),
        (json.dumps(KEY.as_dict(private=True)), "RS256", "key: the key is not a private key for RS256"),
        ("{", "ES256", "key: not a PEM or JWK private key"),
    ],
)
def test_a_key_that_is_none(folder: Folder, content: str, algorithm: str, message: str) -> None:
    folder.file("key", content)
    auth = f"client_auth: {{method: private_key_jwt, client_id: gw, key_file: key, algorithm: {algorithm}}}"
    text = with_server(auth)
    assert folder.complaints(text) == [
        place(text, "key, alg", "authorization_servers.corp.client_auth.key_file") + message
    ]


@pytest.mark.parametrize(
    ("keys", "at", "key", "message"),
    [
        (
            "method: client_secret_jwt, client_id: gw, client_secret_file: short",
            "short}",
            "client_secret_file",
            "short: HS256 needs a secret of at least 32 bytes (RFC 7518 §3.2)",
        ),
        (
            "method: client_secret_jwt, client_id: gw, algorithm: HS384, client_secret_file: short32",
            "short32}",
            "client_secret_file",
            "short32: HS384 needs a secret of at least 48 bytes (RFC 7518 §3.2)",
        ),
        ("method: jwt_file, jwt_file: short", "short}", "jwt_file", "short: not a compact JWS"),
        ("method: spiffe_jwt, jwt_file: short", "short}", "jwt_file", "short: not a compact JWS"),
        (
            "method: tls_client_auth, client_id: gw, cert_file: short, key_file: short32",
            "short, key",
            "cert_file",
            "short and short32 are no certificate and private key that belong together",
        ),
    ],
)
def test_a_proof_that_is_none(folder: Folder, keys: str, at: str, key: str, message: str) -> None:
    folder.file("short", "x" * 31)
    folder.file("short32", "x" * 32)
    text = with_server(f"client_auth: {{{keys}}}")
    assert folder.complaints(text) == [place(text, at, f"authorization_servers.corp.client_auth.{key}") + message]


def test_tls_files_that_are_none(folder: Folder) -> None:
    folder.file("bad.pem", "no certificate")
    issued, other = Authority(folder.path).issue("a"), Authority(folder.path, "other").issue("b")
    pair = f"{{cert_file: {issued.cert_file}, key_file: {other.key_file}}}"
    text = with_server(f"client_auth: {{method: none}}, tls: {pair}")
    text = text.replace("audience: [gateway]", "audience: [gateway], tls: {ca_file: bad.pem}")
    assert folder.complaints(text) == [
        place(text, "{ca_file", "trusted_issuers.corp.tls") + "bad.pem holds no certificates that can be used",
        place(text, "{cert_file", "authorization_servers.corp.tls")
        + f"{issued.cert_file} and {other.key_file} are no certificate and private key that belong together".replace(
            f"{folder.path}/", ""
        ),
    ]


def test_every_problem_is_told_at_once(folder: Folder) -> None:
    """Those of peers, listeners, routes and upstreams, in the file's order."""
    folder.file("bad.pem", "no certificate")
    text = """
version: 1
gateway:
  listeners:
    one: {listen: '127.0.0.1:0', tls: {cert_file: bad.pem, key_file: bad.pem}}
trusted_issuers:
  corp: {issuer: 'https://login.example', audience: [gateway], tls: {ca_file: bad.pem}}
authorization_servers:
  corp:
    issuer: https://login.example
    client_auth: {method: private_key_jwt, client_id: gw, key_file: bad.pem, algorithm: ES256}
routes:
  - name: one
    match: {path_prefix: /a}
    upstream: {url: 'https://a.example', tls: {ca_file: bad.pem}}
    exchange: {audience: [a]}
  - name: two
    match: {path_prefix: /a}
    upstream: {url: 'http://127.0.0.1:1'}
    exchange: {audience: [a]}
"""
    found = [complaint.split(": ")[1] for complaint in folder.complaints(text)]
    assert found == [
        "gateway.listeners.one.tls",
        "trusted_issuers.corp.tls",
        "authorization_servers.corp.client_auth.key_file",
        "routes.0.upstream.tls",
        "routes.1.match",
    ]


async def test_whoever_speaks_to_a_peer_is_known_by_its_section(folder: Folder) -> None:
    async with closing(folder, compiled(folder, PEERS + HEALTH)) as peers:
        assert {peer: len(clients) for peer, clients in peers.clients.items()} == {
            "trusted_issuers.corp": 2,  # metadata, keys
            "authorization_servers.corp": 2,  # metadata, tokens
        }
