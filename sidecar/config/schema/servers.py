"""The sections about others: whose tokens callers may present, whom we ask for exchanges, which tokens are ours."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.markers import OneOf
from sidecar.config.schema.types import (
    AtLeastOne,
    Count,
    Duration,
    ExtraParameter,
    Many,
    Name,
    PositiveDuration,
    ProxyURL,
    ReadableFile,
    Scope,
    SecretVariable,
    ServerName,
    Text,
    TokenHeader,
    TokenType,
    URLText,
)

# The same as ``sidecar.oauth.jwt.ALGORITHMS``, which a test makes sure of.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


@section
class PeerTLS(Section):
    """TLS to a peer. Verification can't be turned off."""

    ca_file: ReadableFile | None = key("Authorities to trust instead of the system's, PEM.", default=None)
    cert_file: ReadableFile | None = key("Our certificate chain, PEM.", default=None)
    key_file: ReadableFile | None = key("Its private key, PEM.", default=None)
    server_name: ServerName | None = key("Name to ask for and to verify instead of the URL's host.", default=None)


@section
class NoClientAuth(Section):
    """A public client."""

    method: Literal["none"] = key("How we authenticate.")
    client_id: Text | None = key("Our client identifier.", default=None)


@section
class SecretClientAuth(Section):
    """A client with a secret (RFC 6749 §2.3.1)."""

    method: Literal["client_secret_basic", "client_secret_post"] = key("How we authenticate.")
    client_id: Text = key("Our client identifier.")
    client_secret_file: ReadableFile | None = key("The secret, in a file.", default=None)
    client_secret_env: SecretVariable | None = key("The secret, in this environment variable.", default=None)


@section
class KeyClientAuth(Section):
    """A client that signs assertions (RFC 7523 §2.2)."""

    method: Literal["private_key_jwt"] = key("How we authenticate.")
    client_id: Text = key("Our client identifier.")
    key_file: ReadableFile = key("Private key, PEM or JWK.")
    algorithm: Algorithm = key("What the key signs with.")
    key_id: Text | None = key("The assertion's kid.", default=None)


@section
class SecretJWTClientAuth(Section):
    """A client that signs assertions with its secret (RFC 7523 §2.2)."""

    method: Literal["client_secret_jwt"] = key("How we authenticate.")
    client_id: Text = key("Our client identifier.")
    client_secret_file: ReadableFile | None = key("The secret, in a file; as long as the hash at least.", default=None)
    client_secret_env: SecretVariable | None = key("The secret, in this environment variable.", default=None)
    algorithm: Literal["HS256", "HS384", "HS512"] = key("What the secret signs with.", default="HS256")


@section
class CertificateClientAuth(Section):
    """A client with a certificate (RFC 8705 §2.1, §2.2)."""

    method: Literal["tls_client_auth", "self_signed_tls_client_auth"] = key("How we authenticate.")
    client_id: Text = key("Our client identifier.")
    cert_file: ReadableFile = key("Our certificate chain, PEM.")
    key_file: ReadableFile = key("Its private key, PEM.")


@section
class JWTClientAuth(Section):
    """A client that presents a JWT which its platform made and rotates."""

    method: Literal["jwt_file", "spiffe_jwt"] = key(
        "jwt_file: for example a Kubernetes service account token (RFC 7523 §2.2); spiffe_jwt: a JWT-SVID."
    )
    client_id: Text | None = key("Our client identifier, where the server asks for it too.", default=None)
    jwt_file: ReadableFile = key("The JWT; its audience is the server.")


ClientAuth = Annotated[
    NoClientAuth | SecretClientAuth | SecretJWTClientAuth | KeyClientAuth | CertificateClientAuth | JWTClientAuth,
    OneOf("method"),
]


# The same as ``sidecar.exchange.dialects.DIALECTS`` and ``sidecar.exchange.grants.GRANTS``, which tests make sure of.
DialectName = Literal[
    "rfc8693",
    "keycloak",
    "spring",
    "zitadel",
    "authlete",
    "connect2id",
    "pingam",
    "pingfederate",
    "curity",
    "okta",
    "auth0",
    "wso2",
    "entra-obo",
]
GrantName = Literal["token-exchange", "jwt-bearer", "entra-obo"]


@section
class Introspection(Section):
    """How an issuer is asked about a token (RFC 7662)."""

    endpoint: URLText | None = key("Where it is asked, instead of discovery.", default=None)
    client_auth: ClientAuth = key("How we authenticate there.")
    max_age: Duration = key("How long an answer is believed; never past the token's exp.", default="30s")


@section
class TrustedIssuer(Section):
    """An issuer whose tokens callers may present."""

    issuer: Text | None = key("Its identifier, exactly as in the tokens' iss.", default=None)
    authorization_server: Name | None = key("Instead of issuer: take it from this authorization server.", default=None)
    audience: AtLeastOne[Text] = key("At least one of these must be in the token's audience.")
    token_profile: Literal["jwt", "at+jwt", "id_token", "opaque"] = key(
        "jwt: access tokens as most issue them; at+jwt: RFC 9068, strictly; opaque: what introspection vouches for.",
        default="jwt",
    )
    subject_token_type: TokenType | None = key(
        "What an exchange calls it: a short name or a URI; id_token for that profile, else access_token.", default=None
    )
    algorithms: AtLeastOne[Algorithm] = key(
        "Signatures that are accepted.", default=("RS256", "ES256", "PS256", "EdDSA")
    )
    scope_claim: AtLeastOne[Text] = key("Where scopes are; the first that is present counts.", default=("scope", "scp"))
    audience_claim: Text = key("Where the audience is.", default="aud")
    discovery_url: URLText | None = key("Metadata document, instead of discovery at the issuer.", default=None)
    jwks_uri: URLText | None = key("Key set, instead of discovery.", default=None)
    jwks_file: ReadableFile | None = key("Key set in a file, instead of discovery.", default=None)
    keys_stale: Duration = key("The last good keys serve this long when they can't be fetched.", default="24h")
    introspection: Introspection | None = key(
        "The issuer is asked about every token; required for opaque.", default=None
    )
    leeway: Duration = key("Allowed difference of clocks.", default="30s")
    probe: PositiveDuration | None = key(
        "How often its keys or metadata are looked at while nobody needs them; null: never.", default="30s"
    )
    bearer_file: ReadableFile | None = key(
        "A token that is asked for at its metadata, keys and introspection; sent to no origin but those named here.",
        default=None,
    )
    proxy_url: ProxyURL | None = key("HTTP proxy on the way to the issuer; CONNECT for https.", default=None)
    tls: PeerTLS | None = key("TLS to the issuer.", default=None)
    allow_plain_http: bool = key("The network encrypts: allow http URLs that are not loopback.", default=False)


@section
class AuthorizationServer(Section):
    """A server that we ask for exchanges."""

    issuer: URLText | None = key("Its identifier; everything else is discovered there.", default=None)
    discovery_url: URLText | None = key("Metadata document, instead of discovery at the issuer.", default=None)
    token_endpoint: URLText | None = key("Token endpoint, instead of discovery.", default=None)
    dialect: DialectName = key("How it departs from RFC 8693.", default="rfc8693")
    grant: GrantName | None = key("How a token is traded there; left out: as the dialect says.", default=None)
    client_auth: ClientAuth = key("How we authenticate there.")
    bearer_file: ReadableFile | None = key(
        "A token that is asked for at its metadata and keys; sent to no origin but those named here.", default=None
    )
    proxy_url: ProxyURL | None = key("HTTP proxy on the way to the server; CONNECT for https.", default=None)
    tls: PeerTLS | None = key("TLS to the server.", default=None)
    timeout: PositiveDuration = key("One deadline for a whole exchange.", default="5s")
    max_in_flight: Count = key("Exchanges at once; a queue as long again.", default=64)
    probe: PositiveDuration | None = key(
        "How often its metadata is looked at, where it is discovered; null: never.", default="30s"
    )
    default_lifetime: PositiveDuration = key(
        "Of an issued token where neither expires_in nor the token says.", default="60s"
    )
    verify_issued: Literal["auto", "introspection"] = key(
        "auto: a JWT by signature and claims, an opaque token is taken; introspection: an opaque one is asked about.",
        default="auto",
    )
    extra_params: Mapping[ExtraParameter, Text] = key(
        "Sent with every exchange; never what the grant itself sets.", default={}, secret=True
    )
    dialect_overrides: Mapping[Name, Any] = key("Single switches of the dialect.", default={})
    allow_plain_http: bool = key("The network encrypts: allow http URLs that are not loopback.", default=False)


@section
class ClientCredentials(Section):
    """A token that an authorization server gives us for ourselves (RFC 6749 §4.4)."""

    authorization_server: Name | None = key("Whom to ask; may be left out where only one is defined.", default=None)
    scope: Many[Scope] = key("Asked for; left out: as the server has it.", default=())


@section
class WorkloadToken(Section):
    """A token that is ours: in a file, from a server, or out of a field that a trusted hop sets."""

    file: ReadableFile | None = key("Where it is; read again when it changes.", default=None)
    client_credentials: ClientCredentials | None = key("Or the server that gives it to us.", default=None)
    header: TokenHeader | None = key("Or the field in which trusted_proxies hand it on.", default=None)
    issuer: Name | None = key("With header: the trusted issuer of the token.", default=None)
    type: TokenType | None = key(
        "What an exchange calls it: a short name or a URI. With client_credentials access_token where it is left out.",
        default=None,
    )
