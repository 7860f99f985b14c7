"""The dialects that ``dialect`` may name: one value for each authorization server, with where it is known from.

What is left out is as RFC 8693 has it. ``docs/authorization-servers.md`` tells which of it was seen on a running server
and which is only documented; a server that is set up otherwise has its switches changed by ``dialect_overrides``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sidecar.exchange.dialects.dialect import Dialect
from sidecar.exchange.dialects.errors import Cause, DescribedError
from sidecar.model.tokens import ACCESS_TOKEN, JWT, TOKEN_TYPES

_ID_TOKEN: Final = TOKEN_TYPES["id_token"]
_REFRESH_TOKEN: Final = TOKEN_TYPES["refresh_token"]

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        "rfc8693": Dialect(),
        # Keycloak 26.7, standard token exchange; every line was seen on a stock realm.
        # Source: keycloak/keycloak, StandardTokenExchangeProvider.java, docs/guides/securing-apps/token-exchange.adoc.
        "keycloak": Dialect(
            resource="none",
            subject_token_types=(ACCESS_TOKEN,),
            actor_token=False,
            extra_scope=("openid", "profile", "email"),
            errors={"unauthorized_client": Cause.CREDENTIALS},
            described_errors=(
                DescribedError("invalid_request", "Invalid token", Cause.SUBJECT_TOKEN),
                # A client scope's audience that this user's roles do not give: policy, not our route.
                DescribedError("invalid_request", "Requested audience not available", Cause.POLICY),
                DescribedError("invalid_client", "Audience not found", Cause.TARGET),
            ),
        ),
        # Spring Authorization Server 1.3 to 1.5, Spring Security 7. Audience and resource are read, but the stock
        # JwtGenerator writes the client id into aud; an OAuth2TokenCustomizer that applies them wants
        # expect_audience: asked. Source: spring-projects/spring-authorization-server,
        # OAuth2TokenExchangeAuthenticationConverter.java, OAuth2TokenExchangeAuthenticationProvider.java.
        "spring": Dialect(subject_token_types=(ACCESS_TOKEN, JWT), expect_audience="client_id"),
        # ZITADEL. Audiences can only be narrowed; what isn't in the subject token is invalid_target.
        # Source: zitadel/zitadel, internal/api/oidc/token_exchange.go.
        "zitadel": Dialect(
            resource="none",
            subject_token_types=(ACCESS_TOKEN, _ID_TOKEN, JWT, "urn:zitadel:params:oauth:token-type:user_id"),
            described_errors=(DescribedError("invalid_request", "subject_token invalid", Cause.SUBJECT_TOKEN),),
        ),
        # Authlete's java-oauth-server. It passes audience over, and says invalid_request for every fault of the subject
        # token, in a member that is not error_description. Source: authlete/java-oauth-server, TokenExchanger.java.
        "authlete": Dialect(
            audience="none",
            subject_token_types=(ACCESS_TOKEN, _REFRESH_TOKEN, JWT, _ID_TOKEN),
            errors={"invalid_request": Cause.SUBJECT_TOKEN},
        ),
        # Connect2id server. A TokenExchangeGrantHandler plugin decides about types, targets and policy; what frames it
        # is the RFC's. Source: connect2id.com, server documentation, token exchange grant handler.
        "connect2id": Dialect(),
        # PingAM 8, Advanced Identity Cloud. Whoever exchanges must be named in the subject token's may_act, also for
        # impersonation. Source: docs.pingidentity.com, PingAM, OAuth 2.0 guide, token exchange.
        "pingam": Dialect(subject_token_types=(ACCESS_TOKEN, _ID_TOKEN)),
        # PingFederate 13. A token exchange processor policy decides about types; resource names an access token
        # manager, audience a client. Source: docs.pingidentity.com, PingFederate, token exchange grant.
        "pingfederate": Dialect(),
        # Curity Identity Server. A token procedure decides, and issues what it likes; actor and subject tokens are
        # introspected before it where they are access tokens. Source: curity.io, scripting OAuth token exchange.
        "curity": Dialect(),
        # Okta, custom authorization servers. audience is the server's own. Sources: developer.okta.com, set up token
        # exchange; build a JWT for client authentication.
        "okta": Dialect(
            audience="one",
            resource="none",
            scope="required",
            subject_token_types=(ACCESS_TOKEN,),
            actor_token=False,
            assertion_audience="token_endpoint",
        ),
        # Auth0, on-behalf-of token exchange. The client becomes the actor, at most five deep. 401 is said of a bad
        # subject token and of bad credentials alike; wrong credentials are access_denied, "Unauthorized", an
        # unknown API "Service not found".
        # Sources: auth0/docs-v2, on-behalf-of-token-exchange/get-token.mdx; the texts are those of its other grants.
        "auth0": Dialect(
            audience="one",
            resource="none",
            subject_token_types=(ACCESS_TOKEN,),
            actor_token=False,
            requested_token_type=ACCESS_TOKEN,
            described_errors=(
                DescribedError("access_denied", "Unauthorized", Cause.CREDENTIALS),
                DescribedError("access_denied", "Service not found", Cause.TARGET),
                DescribedError("invalid_request", "Delegation chain", Cause.POLICY),
            ),
        ),
        # WSO2 Identity Server, Asgardeo. Exactly one audience, registered at the application; a bad subject token is
        # invalid_request. Source: wso2-extensions/identity-oauth2-grant-token-exchange, TokenExchangeGrantHandler.java.
        "wso2": Dialect(
            audience="one",
            resource="none",
            subject_token_types=(JWT, ACCESS_TOKEN),
            described_errors=(
                DescribedError("invalid_request", "Signature or Message Authentication", Cause.SUBJECT_TOKEN),
                DescribedError("invalid_request", "JSON Web Token is expired", Cause.SUBJECT_TOKEN),
            ),
        ),
        # Microsoft Entra ID, on-behalf-of flow. The scope names the target; sub differs from one client to the next,
        # oid does not. AADSTS65001: nobody consented yet. Sources: MicrosoftDocs/entra-docs,
        # docs/identity-platform/v2-oauth2-on-behalf-of-flow.md, certificate-credentials.md, reference-error-codes.md.
        "entra-obo": Dialect(
            grant="entra-obo",
            audience="none",
            resource="none",
            scope="required",
            assertion_audience="token_endpoint",
            expect_audience="listed",
            qualified_scope=True,
            subject_claim="oid",
            relay_claims=True,
            errors={"invalid_resource": Cause.TARGET},
            described_errors=(DescribedError("invalid_grant", "AADSTS65001", Cause.STEP_UP),),
        ),
    }
)
