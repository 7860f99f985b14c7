"""A client's credentials for each method, an old and a new one, and the client as the embedded server knows it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from joserfc.jwk import Key, OctKey

from sidecar.model.clock import SYSTEM_CLOCK
from sidecar.oauth.jwt import VerificationKeys, generate_key, sign
from sidecar.sts.config import (
    AuthMethod,
    Client,
    Config,
    MutualTLS,
    Pattern,
    Policy,
    SubjectKind,
    TrustedIssuer,
    Workload,
)
from tests.support.canary import Canary
from tests.support.certificates import Authority, Issued, self_signed
from tests.support.sts import default_config

CLUSTER, ACCOUNT, SPIFFE_ID = (
    "https://kubernetes.default.svc",
    "system:serviceaccount:shop:gateway",
    "spiffe://a/gateway",
)


@dataclass
class Kind:
    """One kind of credential. method: what the file says of it; files: by name, old and new content.

    both, after: the client as the server has it while both are good, and when only the new one is.
    """

    method: str
    files: Mapping[str, tuple[bytes, bytes]]
    both: Client
    after: Client
    secrets: tuple[str, ...] = ()


def data(path: str) -> bytes:
    return Path(path).read_bytes()


def pem(key: Key) -> bytes:
    assert not isinstance(key, OctKey)
    return key.as_pem(private=True)


def secret(method: AuthMethod) -> Kind:
    old, new = (Canary.fresh("client-secret").text * 2 for _ in range(2))
    client = Client("rotating", (method,), old, audience=("orders-gateway",))
    text = f"{{method: {method}, client_id: rotating, client_secret_file: secret}}"
    files = {"secret": (old.encode(), new.encode())}
    # A client has one secret here: it changes together with the file, and refused requests find the new one there.
    return Kind(text, files, replace(client, secret=new), replace(client, secret=new), (old, new))


def private_key() -> Kind:
    old, new = generate_key("ES256", "old"), generate_key("ES256", "new")
    client = Client("rotating", (AuthMethod.PRIVATE_KEY_JWT,), audience=("orders-gateway",))
    text = "{method: private_key_jwt, client_id: rotating, key_file: key, algorithm: ES256}"
    return Kind(
        text,
        {"key": (pem(old), pem(new))},
        replace(client, keys=VerificationKeys([old, new])),
        replace(client, keys=VerificationKeys([new])),
        tuple(pem(key).decode().splitlines()[1] for key in (old, new)),
    )


def platform(method: AuthMethod, issuer: str, sub: str, audience: str) -> Kind:
    old, new = generate_key("ES256", "old"), generate_key("ES256", "new")

    def token(key: Key) -> bytes:
        now = int(SYSTEM_CLOCK.wall())
        claims = {"iss": issuer, "sub": sub, "aud": audience, "iat": now, "exp": now + 600}
        return sign(claims, key, "ES256", {"kid": str(key.get("kid"))}).encode()

    def client(*keys: Key) -> Client:
        name = "" if method is AuthMethod.SPIFFE_JWT else issuer
        workload = Workload(TrustedIssuer(name, keys=VerificationKeys(keys)), sub)
        return Client("rotating", (method,), audience=("orders-gateway",), workload=workload)

    files = {"token": (token(old), token(new))}
    text = f"{{method: {method}, jwt_file: token}}"
    return Kind(text, files, client(old, new), client(new), tuple(content.decode() for content in files["token"]))


def read(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(issued.cert_file).read_bytes())


def content(old: Issued, new: Issued) -> dict[str, tuple[bytes, bytes]]:
    return {
        "tls.crt": (Path(old.cert_file).read_bytes(), Path(new.cert_file).read_bytes()),
        "tls.key": (Path(old.key_file).read_bytes(), Path(new.key_file).read_bytes()),
    }


def certificate(folder: Path, authority: Authority, method: AuthMethod) -> Kind:
    text = f"{{method: {method}, client_id: rotating, cert_file: tls.crt, key_file: tls.key}}"
    client = Client("rotating", (method,), audience=("orders-gateway",))
    if method is AuthMethod.SELF_SIGNED_TLS:
        old, new = self_signed(folder, "old"), self_signed(folder, "new")
        both = replace(client, certificates=(read(old), read(new)))
        return Kind(text, content(old, new), both, replace(client, certificates=(read(new),)))
    old, new = (authority.issue("rotating", name) for name in ("old.example", "new.example"))
    return Kind(
        text,
        content(old, new),
        replace(client, subject=(SubjectKind.DN, "CN=rotating")),
        replace(client, subject=(SubjectKind.SAN_DNS, "new.example")),
    )


#: By method; each is made with a folder for files, an authority and the issuer of the server.
KINDS: Mapping[str, Callable[[Path, Authority, str], Kind]] = {
    "client_secret_basic": lambda *_: secret(AuthMethod.BASIC),
    "client_secret_post": lambda *_: secret(AuthMethod.POST),
    "client_secret_jwt": lambda *_: secret(AuthMethod.SECRET_JWT),
    "private_key_jwt": lambda *_: private_key(),
    "jwt_file": lambda _folder, _authority, issuer: platform(AuthMethod.JWT_FILE, CLUSTER, ACCOUNT, issuer),
    "spiffe_jwt": lambda _folder, _authority, issuer: platform(AuthMethod.SPIFFE_JWT, CLUSTER, SPIFFE_ID, issuer),
    "tls_client_auth": lambda folder, authority, _: certificate(folder, authority, AuthMethod.TLS),
    "self_signed_tls_client_auth": lambda folder, authority, _: certificate(
        folder, authority, AuthMethod.SELF_SIGNED_TLS
    ),
}


def known(issuer: str, client: Client, server: Issued, authority: Authority) -> Config:
    """The cast, and one client more, which may trade alice's tokens for orders; its certificates are asked for."""
    config = default_config(issuer)
    policy = Policy("rotating", (Pattern(issuer, "alice"),), ("orders-api",), ("orders.read",))
    ca = x509.load_pem_x509_certificate(data(authority.ca_file))
    mtls = MutualTLS(("127.0.0.1", 0), server.cert_file, server.key_file, (ca,))
    return replace(config, clients=(*config.clients, client), policies=(*config.policies, policy), mtls=mtls)


def put(folder: Path, files: Mapping[str, tuple[bytes, bytes]], which: int) -> None:
    """Write the old (0) or the new (1) content."""
    for name, versions in files.items():
        (folder / name).write_bytes(versions[which])
