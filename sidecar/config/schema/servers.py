"""The sections about others: whose tokens callers may present, whom we ask for exchanges, which tokens are ours."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from sidecar.config.schema.base import Section, key
from sidecar.config.schema.types import (
    AtLeastOne,
    Count,
    Duration,
    ExtraParameter,
    Name,
    PositiveDuration,
    ReadableFile,
    SecretVariable,
    ServerName,
    Text,
    TokenType,
    URLText,
)

# The same as ``sidecar.oauth.jwt.ALGORITHMS``, which a test makes sure of.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


class PeerTLS(Section):
    """TLS to a peer. Verification can't be turned off."""

    ca_file: ReadableFile | None = key(None, "Authorities to trust instead of the system's, PEM.")
    cert_file: ReadableFile | None = key(None, "Our certificate chain, PEM.")
    key_file: ReadableFile | None = key(None, "Its private key, PEM.")
    server_name: ServerName | None = key(None, "Name to ask for and to verify instead of the URL's host.")


class TrustedIssuer(Section):
    """An issuer whose tokens callers may present."""

    issuer: Text | None = key(None, "Its identifier, exactly as in the tokens' iss.")
    authorization_server: Name | None = key(None, "Instead of issuer: take it from this authorization server.")
    audience: AtLeastOne[Text] = Field(description="At least one of these must be in the token's audience.")
    token_profile: Literal["jwt", "at+jwt"] = key("jwt", "at+jwt: RFC 9068, strictly.")
    subject_token_type: TokenType = key("access_token", "What an exchange calls it: a short name or a URI.")
    algorithms: AtLeastOne[Algorithm] = key(("RS256", "ES256", "PS256", "EdDSA"), "Signatures that are accepted.")
    scope_claim: AtLeastOne[Text] = key(("scope", "scp"), "Where scopes are; the first that is present counts.")
    audience_claim: Text = key("aud", "Where the audience is.")
    discovery_url: URLText | None = key(None, "Metadata document, instead of discovery at the issuer.")
    jwks_uri: URLText | None = key(None, "Key set, instead of discovery.")
    jwks_file: ReadableFile | None = key(None, "Key set in a file, instead of discovery.")
    keys_stale: Duration = key("24h", "The last good keys serve this long when they can't be fetched.")
    leeway: Duration = key("30s", "Allowed difference of clocks.")
    tls: PeerTLS | None = key(None, "TLS to the issuer.")
    allow_plain_http: bool = key(False, "The network encrypts: allow http URLs that are not loopback.")


class NoClientAuth(Section):
    """A public client."""

    method: Literal["none"] = Field(description="How we authenticate.")
    client_id: Text | None = key(None, "Our client identifier.")


class SecretClientAuth(Section):
    """A client with a secret (RFC 6749 §2.3.1)."""

    method: Literal["client_secret_basic", "client_secret_post"] = Field(description="How we authenticate.")
    client_id: Text = Field(description="Our client identifier.")
    client_secret_file: ReadableFile | None = key(None, "The secret, in a file.")
    client_secret_env: SecretVariable | None = key(None, "The secret, in this environment variable.")


class KeyClientAuth(Section):
    """A client that signs assertions (RFC 7523 §2.2)."""

    method: Literal["private_key_jwt"] = Field(description="How we authenticate.")
    client_id: Text = Field(description="Our client identifier.")
    key_file: ReadableFile = Field(description="Private key, PEM or JWK.")
    algorithm: Algorithm = Field(description="What the key signs with.")
    key_id: Text | None = key(None, "The assertion's kid.")


ClientAuth = Annotated[NoClientAuth | SecretClientAuth | KeyClientAuth, Field(discriminator="method")]


class AuthorizationServer(Section):
    """A server that we ask for exchanges."""

    issuer: URLText | None = key(None, "Its identifier; everything else is discovered there.")
    discovery_url: URLText | None = key(None, "Metadata document, instead of discovery at the issuer.")
    token_endpoint: URLText | None = key(None, "Token endpoint, instead of discovery.")
    dialect: Literal["rfc8693", "keycloak"] = key("rfc8693", "How it departs from RFC 8693.")
    client_auth: ClientAuth = Field(description="How we authenticate there.")
    tls: PeerTLS | None = key(None, "TLS to the server.")
    timeout: PositiveDuration = key("5s", "One deadline for a whole exchange.")
    max_in_flight: Count = key(64, "Exchanges at once; a queue as long again.")
    default_lifetime: PositiveDuration = key("60s", "Of an issued token where neither expires_in nor the token says.")
    extra_params: Mapping[ExtraParameter, Text] = Field(
        default={}, repr=False, description="Sent with every exchange; never what the grant itself sets."
    )
    dialect_overrides: Mapping[Name, Any] = key({}, "Single switches of the dialect.")
    allow_plain_http: bool = key(False, "The network encrypts: allow http URLs that are not loopback.")


class WorkloadToken(Section):
    """A token that is ours."""

    file: ReadableFile = Field(description="Where it is; read again when it changes.")
    type: TokenType = Field(description="What an exchange calls it: a short name or a URI.")
