import json
import re
from pathlib import Path
from textwrap import dedent

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import Key, OctKey

from sidecar.model.tokens import Semantics
from sidecar.oauth.jwt import generate_key, jwk_set
from sidecar.sts.config import (
    ANYONE,
    AuthMethod,
    Client,
    MutualTLS,
    OwnToken,
    Pattern,
    Policy,
    SubjectKind,
    TrustedIssuer,
    Workload,
)
from sidecar.sts.load import ConfigError, load
from tests.support.certificates import Authority, self_signed

KEY = generate_key("ES256", "k1")
ISS = "http://127.0.0.1:8090/realm"

GOOD = """
    issuer: http://127.0.0.1:8090/realm
    listen: 127.0.0.1:8090
    algorithm: EdDSA
    lifetime: 2m
    clients:
      gateway:
        auth_methods: [client_secret_basic, client_secret_post]
        secret_file: gateway.secret
        audience: [orders-gateway]
      jwt: {auth_methods: [private_key_jwt], public_key_file: client.jwks}
      pem: {auth_methods: [private_key_jwt], public_key_file: client.pem}
      secret-jwt: {auth_methods: [client_secret_jwt], secret_file: long.secret}
      public: {auth_methods: [none]}
      mtls: {auth_methods: [tls_client_auth], certificate: {subject_dn: "CN=gateway,O=Example"}}
      self: {auth_methods: [self_signed_tls_client_auth], certificate_file: own.pem}
      k8s:
        auth_methods: [jwt_file]
        workload: {issuer: "https://kubernetes.default.svc", sub: "system:serviceaccount:a:b", jwks_file: client.jwks}
      svid:
        auth_methods: [spiffe_jwt]
        workload: {sub: "spiffe://example.org/gateway", jwks_uri: "https://example.org/keys"}
      alice-cli:
        auth_methods: [client_secret_post]
        secret_env: ALICE_SECRET
        client_credentials:
          {sub: alice, audience: [orders-gateway], scope: [orders.read], claims: {acr: mfa}, login_age: 10m}
      robot:
        auth_methods: [client_secret_post]
        secret_env: ALICE_SECRET
        client_credentials: {audience: [orders-gateway]}
    mtls: {listen: "127.0.0.1:9443", cert_file: own.pem, key_file: own.key, client_ca_file: ca.pem}
    trusted_issuers:
      - {issuer: "https://corp.example", jwks_uri: "https://corp.example/keys"}
      - {issuer: "https://file.example", jwks_file: client.jwks}
    policies:
      - client: gateway
        subjects: [alice, {iss: "https://corp.example", sub: "user-*"}]
        actors: any
        audience: [orders-api]
        scope: [orders.read]
        semantics: any
        max_lifetime: 30s
        max_depth: 2
        further_exchange: true
      - {client: public, subjects: any, audience: [echo], semantics: impersonation}
"""


def pem(key: Key, *, private: bool) -> bytes:
    if isinstance(key, OctKey):
        raise TypeError("a symmetric key has no PEM form")
    return key.as_pem(private=private)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.secret").write_text("gw:s%cret +ü\n")
    (tmp_path / "client.jwks").write_text(json.dumps(jwk_set([KEY])))
    (tmp_path / "client.pem").write_bytes(pem(KEY, private=False))
    (tmp_path / "private.pem").write_bytes(pem(KEY, private=True))
    (tmp_path / "long.secret").write_text("s" * 32 + "\n")
    own = self_signed(tmp_path, "gateway")
    Path(own.cert_file).rename(tmp_path / "own.pem")
    Path(own.key_file).rename(tmp_path / "own.key")
    Path(Authority(tmp_path).ca_file).rename(tmp_path / "ca.pem")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    return tmp_path


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def write(folder: Path, text: str) -> Path:
    path = folder / "sts.yaml"
    path.write_text(dedent(text))
    return path


def placed(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path, {"EMPTY": ""})
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def problems(folder: Path, text: str) -> list[str]:
    """What is wrong with a file, without the places."""
    found = [re.fullmatch(r"([1-9][0-9]*):([1-9][0-9]*): (.*)", problem) for problem in placed(folder, text)]
    assert all(found)
    return [match[3] for match in found if match is not None]


def test_a_good_file(folder: Path) -> None:
    config = load(write(folder, GOOD), {"ALICE_SECRET": "hush"})
    assert (config.issuer, config.listen, config.algorithm, config.lifetime) == (ISS, ("127.0.0.1", 8090), "EdDSA", 120)
    gateway, by_jwks, by_pem, secret_jwt, public, mtls, own, k8s, svid, alice, robot = config.clients
    assert secret_jwt == Client("secret-jwt", (AuthMethod.SECRET_JWT,), "s" * 32)
    assert mtls == Client("mtls", (AuthMethod.TLS,), subject=(SubjectKind.DN, "CN=gateway,O=Example"))
    assert own == Client("self", (AuthMethod.SELF_SIGNED_TLS,), certificates=(read(folder / "own.pem"),))
    assert k8s.workload is not None
    assert svid.workload is not None
    assert (k8s.workload.issuer.issuer, k8s.workload.sub) == (
        "https://kubernetes.default.svc",
        "system:serviceaccount:a:b",
    )
    assert len(k8s.workload.issuer.keys) == 1
    assert svid.workload == Workload(
        TrustedIssuer("", "https://example.org/keys", svid.workload.issuer.keys), "spiffe://example.org/gateway"
    )
    assert config.mtls is not None
    assert config.mtls == MutualTLS(
        ("127.0.0.1", 9443), str(folder / "own.pem"), str(folder / "own.key"), (read(folder / "ca.pem"),)
    )
    assert config.token_endpoints == (f"{ISS}/token", "https://127.0.0.1:9443/realm/token")
    assert gateway == Client(
        "gateway", (AuthMethod.BASIC, AuthMethod.POST), "gw:s%cret +ü", audience=("orders-gateway",)
    )
    for client in (by_jwks, by_pem):
        assert client.keys is not None
        assert len(client.keys.candidates(None, "ES256")) == 1
    assert public == Client("public", (AuthMethod.NONE,))
    assert alice.secret == "hush"
    assert alice.own_token == OwnToken("alice", ("orders-gateway",), ("orders.read",), {"acr": "mfa"}, login_age=600)
    assert robot.own_token == OwnToken("robot", ("orders-gateway",))
    corp, by_file = config.trusted_issuers
    assert (corp.issuer, corp.jwks_uri) == ("https://corp.example", "https://corp.example/keys")
    assert (by_file.jwks_uri, len(by_file.keys)) == (None, 1)
    subjects = (Pattern(ISS, "alice"), Pattern("https://corp.example", "user-*"))
    assert config.policies == (
        Policy(
            "gateway",
            subjects,
            ("orders-api",),
            ("orders.read",),
            (ANYONE,),
            None,
            30,
            max_depth=2,
            further_exchange=True,
        ),
        Policy("public", (ANYONE,), ("echo",), semantics=Semantics.IMPERSONATION),
    )


def test_a_policy_delegates_unless_it_says_otherwise(folder: Path) -> None:
    config = load(
        write(
            folder,
            """
            issuer: http://127.0.0.1:8090
            listen: "[::1]:8090"
            clients: {gw: {auth_methods: [none]}}
            policies: [{client: gw, subjects: [alice], audience: [a]}]
            """,
        )
    )
    assert config.listen == ("::1", 8090)
    assert config.policies == (Policy("gw", (Pattern("http://127.0.0.1:8090", "alice"),), ("a",)),)
    assert config.policies[0].semantics is Semantics.DELEGATION


def test_everything_that_is_wrong_is_told_at_once(folder: Path) -> None:
    found = problems(
        folder,
        """
        issuer: https://a.example?x=1
        lisen: 127.0.0.1:8090
        algorithm: HS256
        lifetime: 300
        clients:
          a: {auth_methods: [client_secret_basic], secret: hush}
          b: {auth_methods: []}
          c: {auth_methods: [basic]}
          d: {auth_methods: [none], client_credentials: {audience: [x], scope: ["a b"], claims: {sub: root}}}
        policies:
          - {client: a, subjects: [], audience: [], semantics: both, max_lifetime: 0s}
          - {client: a, subjects: everybody, audience: [a], scope: orders.read}
          - {client: a, subjects: [alice], audience: [no]}
        """,
    )
    keys = [problem.rpartition(": ")[0] for problem in found]
    assert sorted(keys) == sorted(
        [
            "issuer",
            "listen",
            "lisen",
            "algorithm",
            "lifetime",
            "clients.a.secret",
            "clients.b.auth_methods",
            "clients.c.auth_methods.0",
            "clients.d.client_credentials.scope.0",
            "clients.d.client_credentials.claims",
            "policies.0.subjects",
            "policies.0.audience",
            "policies.0.semantics",
            "policies.0.max_lifetime",
            "policies.1.subjects",
            "policies.1.scope",
            "policies.2.audience.0",
        ]
    )
    assert "lisen: unknown key" in found
    assert "listen: is required" in found
    assert "hush" not in "\n".join(found)


BASE = """
issuer: http://127.0.0.1:8090
listen: 127.0.0.1:8090
clients: {gw: {auth_methods: [none]}}
"""


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ("{auth_methods: [client_secret_basic]}", "clients.gw: a secret"),
        (
            "{auth_methods: [private_key_jwt], public_key_file: client.jwks, secret_file: gateway.secret}",
            "clients.gw: ",
        ),
        ("{auth_methods: [private_key_jwt]}", "clients.gw: public_key_file belongs"),
        ("{auth_methods: [none], public_key_file: client.jwks}", "clients.gw: public_key_file belongs"),
        ("{auth_methods: [none, client_secret_post], secret_file: gateway.secret}", "clients.gw.auth_methods: none"),
        ("{auth_methods: [none], client_credentials: {audience: [a]}}", "clients.gw.auth_methods: none"),
        (
            "{auth_methods: [client_secret_post], secret_file: gateway.secret, client_credentials: OWN}".replace(
                "OWN", "{audience: [a], claims: {auth_time: 1}, login_age: 1s}"
            ),
            "clients.gw.client_credentials.login_age: auth_time is among the claims",
        ),
        (
            "{auth_methods: [client_secret_post], secret_file: missing}",
            "clients.gw.secret_file: can't be read: No such",
        ),
        ("{auth_methods: [client_secret_post], secret_file: .}", "clients.gw.secret_file: can't be read: Is a dir"),
        ('{auth_methods: [client_secret_post], secret_file: "a\\0b"}', "clients.gw.secret_file: not the name"),
        ("{auth_methods: [client_secret_post], secret_file: empty}", "clients.gw.secret_file: the file is empty"),
        ("{auth_methods: [client_secret_post], secret_file: binary}", "clients.gw.secret_file: the file is empty"),
        ("{auth_methods: [client_secret_post], secret_env: NOT_SET}", "clients.gw.secret_env: the variable"),
        ("{auth_methods: [client_secret_post], secret_env: EMPTY}", "clients.gw.secret_env: the variable"),
        ("{auth_methods: [private_key_jwt], public_key_file: missing}", "clients.gw.public_key_file: can't be read"),
        ("{auth_methods: [private_key_jwt], public_key_file: empty}", "clients.gw.public_key_file: not a JWK Set"),
        ("{auth_methods: [private_key_jwt], public_key_file: binary}", "clients.gw.public_key_file: not a JWK Set"),
        ("{auth_methods: [private_key_jwt], public_key_file: private.pem}", "clients.gw.public_key_file: not a PEM"),
    ],
)
def test_clients(folder: Path, client: str, problem: str) -> None:
    [found] = problems(folder, BASE.replace("{auth_methods: [none]}", client))
    assert found.startswith(problem)


MTLS = "mtls: {listen: '127.0.0.1:9443', cert_file: own.pem, key_file: own.key}\n"


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ("{auth_methods: [client_secret_jwt], secret_file: gateway.secret}", "clients.gw: the secret is too short"),
        ("{auth_methods: [client_secret_jwt]}", "clients.gw: a secret"),
        ("{auth_methods: [tls_client_auth]}", "clients.gw: certificate belongs to tls_client_auth"),
        ("{auth_methods: [none], certificate: {san_dns: a}}", "clients.gw: certificate belongs to tls_client_auth"),
        ("{auth_methods: [tls_client_auth], certificate: {}}", "clients.gw.certificate: one of subject_dn, san_dns"),
        ("{auth_methods: [tls_client_auth], certificate: {san_dns: a, san_uri: b}}", "clients.gw.certificate: one of"),
        ("{auth_methods: [tls_client_auth], certificate: {san_ip: a}}", "clients.gw.certificate.san_ip: not an addr"),
        ("{auth_methods: [tls_client_auth], certificate: {subject_dn: a}}", "clients.gw.certificate.subject_dn: not a"),
        ("{auth_methods: [self_signed_tls_client_auth]}", "clients.gw: certificate_file belongs to self_signed"),
        ("{auth_methods: [none], certificate_file: own.pem}", "clients.gw: certificate_file belongs to self_signed"),
        (
            "{auth_methods: [self_signed_tls_client_auth], certificate_file: client.jwks}",
            "clients.gw.certificate_file: no PEM certificates",
        ),
        (
            "{auth_methods: [self_signed_tls_client_auth], certificate_file: missing}",
            "clients.gw.certificate_file: can't be read",
        ),
        ("{auth_methods: [jwt_file]}", "clients.gw: workload belongs to jwt_file or spiffe_jwt"),
        ("{auth_methods: [none], workload: {sub: a, jwks_file: client.jwks}}", "clients.gw: workload belongs to"),
        (
            "{auth_methods: [jwt_file], workload: {sub: a, jwks_file: client.jwks}}",
            "clients.gw.workload: issuer belongs to jwt_file",
        ),
        (
            "{auth_methods: [spiffe_jwt], workload: {issuer: a, sub: 'spiffe://a/b', jwks_file: client.jwks}}",
            "clients.gw.workload: issuer belongs to jwt_file",
        ),
        (
            "{auth_methods: [spiffe_jwt], workload: {sub: a, jwks_file: client.jwks}}",
            "clients.gw.workload.sub: not a SPIFFE ID",
        ),
        ("{auth_methods: [jwt_file], workload: {issuer: a, sub: a}}", "clients.gw.workload: one of jwks_uri and"),
        (
            "{auth_methods: [jwt_file, spiffe_jwt], workload: {sub: 'spiffe://a/b', jwks_file: client.jwks}}",
            "clients.gw.workload: a client has either",
        ),
    ],
)
def test_clients_with_certificates_and_of_platforms(folder: Path, client: str, problem: str) -> None:
    found = problems(folder, dedent(BASE).replace("{auth_methods: [none]}", client) + MTLS)
    assert found[0].startswith(problem)


def test_certificates_need_a_listener_that_asks_for_them(folder: Path) -> None:
    client = "{auth_methods: [tls_client_auth], certificate: {san_dns: a}}"
    text = dedent(BASE).replace("{auth_methods: [none]}", client)
    assert problems(folder, text) == ["clients: certificates need mtls, a listener that asks for them"]
    for broken, key in (("own.key", "mtls.cert_file"), ("own.pem", "mtls.cert_file")):
        found = problems(folder, text + MTLS.replace(broken, "empty"))
        assert [problem.split(":")[0] for problem in found] == [key]
    found = problems(folder, text + MTLS.replace("own.key", "own.key, client_ca_file: client.jwks"))
    assert found == ["mtls.client_ca_file: no PEM certificates and no JWK Set with x5c"]


def test_a_workload_is_one_client(folder: Path) -> None:
    one = "{auth_methods: [jwt_file], workload: {issuer: a, sub: a, jwks_file: client.jwks}}"
    text = dedent(BASE).replace("{auth_methods: [none]}", f"{one}, other: {one}")
    assert problems(folder, text) == ["clients: two clients have the same workload"]


def test_a_secret_comes_from_one_place(folder: Path) -> None:
    client = "{auth_methods: [client_secret_post], secret_env: EMPTY, secret_file: gateway.secret}"
    assert problems(folder, BASE.replace("{auth_methods: [none]}", client)) == [
        "clients.gw: secret_file and secret_env can't both be given"
    ]


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ("{client: nobody, subjects: any, audience: [a]}", "policies.0.client: "),
        ("{client: gw, subjects: [{iss: https://x, sub: a}], audience: [a]}", "policies.0.subjects: an issuer"),
        ("{client: gw, subjects: any, actors: [{iss: https://x, sub: a}], audience: [a]}", "policies.0.actors: an"),
        ("{client: gw, subjects: any, actors: any, audience: [a], semantics: impersonation}", "policies.0.actors: imp"),
        ("{client: gw, subjects: any, audience: [a], max_lifetime: 6m}", "policies.0.max_lifetime: longer"),
        ("{client: gw, subjects: any, audience: [a], max_depth: 0}", "policies.0.max_depth: delegation names"),
        ("{client: gw, subjects: any, audience: [a], max_depth: 33}", "policies.0.max_depth: "),
    ],
)
def test_policies(folder: Path, policy: str, problem: str) -> None:
    [found] = problems(folder, BASE + f"policies: [{policy}]")
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("issuer", "problem"),
    [
        ("{issuer: https://x}", "trusted_issuers.0: one of"),
        ("{issuer: https://x, jwks_uri: https://x/k, jwks_file: client.jwks}", "trusted_issuers.0: one of"),
        ("{issuer: https://x, jwks_uri: http://x/k}", "trusted_issuers.0.jwks_uri: an https"),
        ("{issuer: https://x, jwks_uri: 'https://u:p@x/k'}", "trusted_issuers.0.jwks_uri: an https"),
        ("{issuer: https://x, jwks_uri: 'https://x:99999/k'}", "trusted_issuers.0.jwks_uri: an https"),
        ("{issuer: https://x, jwks_uri: 'file:///etc/passwd'}", "trusted_issuers.0.jwks_uri: an https"),
        ("{issuer: https://x, jwks_file: missing}", "trusted_issuers.0.jwks_file: can't be read"),
        ("{issuer: 'http://127.0.0.1:8090', jwks_file: client.jwks}", "trusted_issuers: an issuer is named twice"),
    ],
)
def test_trusted_issuers(folder: Path, issuer: str, problem: str) -> None:
    [found] = problems(folder, BASE + f"trusted_issuers: [{issuer}]")
    assert found.startswith(problem)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/k", "http://localhost/k", "http://[::1]:1/k"])
def test_loopback_may_be_plain(folder: Path, uri: str) -> None:
    text = BASE + f"trusted_issuers: [{{issuer: https://x, jwks_uri: '{uri}'}}]"
    assert load(write(folder, text)).trusted_issuers[0].jwks_uri == uri


def test_a_set_without_a_usable_key(folder: Path) -> None:
    (folder / "none.jwks").write_text('{"keys": [{"kty": "oct", "k": "aGVsbG8"}]}')
    text = BASE + "trusted_issuers: [{issuer: https://x, jwks_file: none.jwks}]"
    assert problems(folder, text) == ["trusted_issuers.0.jwks_file: no key of the set can verify signatures"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("issuer: a\nissuer: b\n", "2:1: a key is given twice"),
        ("- a\n", "1:1: Input should be"),
        ("", "1:1: Input should be"),
    ],
)
def test_yaml(folder: Path, text: str, problem: str) -> None:
    [found] = placed(folder, text)
    assert found.startswith(problem)


METHODS = (
    "Input should be 'none', 'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', "
    "'tls_client_auth', 'self_signed_tls_client_auth', 'jwt_file' or 'spiffe_jwt'"
)


def test_every_problem_has_its_place(folder: Path) -> None:
    """The key's, an entry's, or where the key would have to be; in the order of the file."""
    text = """
issuer: http://127.0.0.1:8090
clients:
  gw:
    auth_methods: [none, none, basic]
  "odd.name": {auth_methods: [none], new: 1}
policies:
  - client: gw
    subjects:
      - {iss: a, sub: ""}
    audience: [a]
lifetime: 10
"""
    assert [problem.partition(": ")[::2] for problem in placed(folder, text)] == [
        ("1:1", "listen: is required"),
        ("5:32", f"clients.gw.auth_methods.2: {METHODS}"),
        ("6:38", "clients.odd.name.new: unknown key"),
        ("10:18", "policies.0.subjects.0.sub: String should have at least 1 character"),
        ("12:1", "lifetime: a duration such as 90s, 5m or 1h is needed"),
    ]
    text = BASE.replace(
        "clients: {gw: {auth_methods: [none]}}",
        """clients:
  gw:
    auth_methods: [client_secret_post]
    secret_file: missing
policies:
  - {client: gw, subjects: any, audience: [a]}
  - subjects: any
    audience: [a]
    client: nobody
""",
    )
    assert [problem.partition(": ")[::2] for problem in placed(folder, text)] == [
        ("7:5", "clients.gw.secret_file: can't be read: No such file or directory"),
        ("12:5", "policies.1.client: there is no such client"),
    ]


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: can't be read: No such file"):
        load(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match=": not the name of a file"):
        load("a\0b")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_break_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load(path)
