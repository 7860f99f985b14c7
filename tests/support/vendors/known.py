"""The vendors, each with what its documentation or source says that differs from a strict server."""

from typing import Any, ClassVar

from sidecar.oauth.jwt import peek
from tests.support.vendors.server import ACCESS_TOKEN, CLIENT_ID, ID_TOKEN, JWT, Vendor, VendorError


class NoResource(Vendor):
    """A server that refuses the parameter, so that nobody relies on it in vain."""

    def audience(self, form: dict[str, list[str]]) -> list[str]:
        if "resource" in form:
            raise VendorError(400, "invalid_target", "resource parameter not supported")
        return super().audience(form)


class OneAudience(NoResource):
    """A server that wants exactly one."""

    def audience(self, form: dict[str, list[str]]) -> list[str]:
        if len(form.get("audience", ())) != 1:
            raise self.unknown_target()
        return super().audience(form)


class Keycloak(NoResource):
    name = "keycloak"
    subject_types = (ACCESS_TOKEN,)

    def scope_claims(self, scope: list[str]) -> dict[str, Any]:
        return {"scope": " ".join([*scope, "openid", "profile", "email"])}

    def members(self, form: dict[str, list[str]]) -> dict[str, Any]:
        scope = " ".join([*form.get("scope", ()), "openid profile email"])
        return {"scope": scope, "session_state": "s", "refresh_expires_in": 0, "not-before-policy": 0}

    def actor(self, _form: dict[str, list[str]]) -> None:
        return None  # no notice is taken of one

    def audience(self, form: dict[str, list[str]]) -> list[str]:
        if self.state.unusual == "audience":
            raise VendorError(400, "invalid_request", "Requested audience not available: orders-api")
        if self.state.unusual == "requester":
            raise VendorError(403, "access_denied", "Client is not within the token audience")
        return super().audience(form)

    def bad_credentials(self) -> VendorError:
        return VendorError(401, "unauthorized_client", "Invalid client or Invalid client credentials")

    def dead_token(self) -> VendorError:
        return VendorError(400, "invalid_request", "Invalid token")

    def unknown_target(self) -> VendorError:
        return VendorError(400, "invalid_client", "Audience not found")


class Spring(Vendor):
    name = "spring"
    subject_types = (ACCESS_TOKEN, JWT)
    #: It knows every audience, so a route has to say that it wants to see it.
    unknown: ClassVar[dict[str, Any]] = {**Vendor.unknown, "expect": {"audience": "asked"}}

    def audience(self, _form: dict[str, list[str]]) -> list[str]:
        return [CLIENT_ID]

    def unknown_type(self, token_type: str) -> VendorError:
        return VendorError(400, "unsupported_token_type", f"OAuth 2.0 Token Exchange parameter: {token_type}")

    def dead_token(self) -> VendorError:
        return VendorError(400, "invalid_grant")


class Zitadel(NoResource):
    name = "zitadel"
    subject_types = (ACCESS_TOKEN, ID_TOKEN, JWT, "urn:zitadel:params:oauth:token-type:user_id")
    usual: ClassVar[dict[str, Any]] = {**Vendor.usual, "requested_token_type": "jwt"}

    def token(self, claims: dict[str, Any], form: dict[str, list[str]]) -> str:
        opaque = form.get("requested_token_type", [ACCESS_TOKEN]) == [ACCESS_TOKEN]
        return f"opaque-{claims['jti']}" if opaque else super().token(claims, form)

    def members(self, form: dict[str, list[str]]) -> dict[str, Any]:
        return {"scope": " ".join(form.get("scope", ()))}

    def dead_token(self) -> VendorError:
        return VendorError(400, "invalid_request", "subject_token invalid")


class Authlete(Vendor):
    name = "authlete"
    subject_types = (ACCESS_TOKEN, JWT, ID_TOKEN, "urn:ietf:params:oauth:token-type:refresh_token")
    usual: ClassVar[dict[str, Any]] = {"resource": ["https://orders.example/v1"], "scope": ["orders.read"]}
    unknown: ClassVar[dict[str, Any]] = {"resource": ["https://nobody.example/"], "scope": ["orders.read"]}
    too_much: ClassVar[dict[str, Any]] = {**usual, "scope": ["orders.delete"]}

    def audience(self, form: dict[str, list[str]]) -> list[str]:
        return super().audience({"resource": form.get("resource", [])})  # audience is passed over

    def members(self, form: dict[str, list[str]]) -> dict[str, Any]:
        return {"scope": " ".join(form.get("scope", ())), "refresh_token": "null"}

    def dead_token(self) -> VendorError:
        message = "Could not determine the subject from the given subject token."
        return VendorError(400, "invalid_request", error_message=message)


class Connect2id(Vendor):
    name = "connect2id"


class PingAM(Vendor):
    name = "pingam"
    subject_types = (ACCESS_TOKEN, ID_TOKEN)

    def subject(self, form: dict[str, list[str]]) -> Any:
        claims = super().subject(form)
        actor = self.actor(form)
        if claims.get("may_act", {}).get("sub") != (actor["sub"] if actor else CLIENT_ID):
            raise VendorError(400, "invalid_request", "The client may not act on the subject token")
        return claims

    def members(self, form: dict[str, list[str]]) -> dict[str, Any]:
        return {"scope": " ".join(form.get("scope", ())), "refresh_token": "long-lived"}


class PingFederate(Vendor):
    name = "pingfederate"


class Curity(Vendor):
    name = "curity"


class Okta(OneAudience):
    name = "okta"
    subject_types = (ACCESS_TOKEN,)
    assertion_for_issuer = False

    def scope_claims(self, scope: list[str]) -> dict[str, Any]:
        return {"scp": scope, "cid": CLIENT_ID, "client_id": None}

    def scope(self, form: dict[str, list[str]]) -> list[str]:
        if "scope" not in form:
            raise VendorError(400, "invalid_scope", "The scope parameter is required")
        return super().scope(form)

    def members(self, form: dict[str, list[str]]) -> dict[str, Any]:
        return {"scope": " ".join(form.get("scope", ()))}

    def actor(self, _form: dict[str, list[str]]) -> None:
        return None

    def dead_token(self) -> VendorError:
        return VendorError(400, "invalid_grant", "subject token is invalid")


class Auth0(OneAudience):
    name = "auth0"
    subject_types = (ACCESS_TOKEN,)

    def issued_type(self, form: dict[str, list[str]]) -> str:
        if form.get("requested_token_type") != [ACCESS_TOKEN]:
            raise VendorError(400, "invalid_request", "requested_token_type is required")
        return ACCESS_TOKEN

    def subject(self, form: dict[str, list[str]]) -> Any:
        if self.state.unusual == "chain":
            raise VendorError(
                400, "invalid_request", "Delegation chain (`act` claim) depth exceeds the maximum allowed limit of 5"
            )
        return super().subject(form)

    def actor(self, _form: dict[str, list[str]]) -> Any:
        return {"sub": CLIENT_ID}  # always the client

    def bad_credentials(self) -> VendorError:
        return VendorError(401, "access_denied", "Unauthorized")

    def dead_token(self) -> VendorError:
        return VendorError(401, "invalid_grant", "Invalid subject token")

    def unknown_target(self) -> VendorError:
        return VendorError(403, "access_denied", "Service not found: nobody-api")


class WSO2(OneAudience):
    name = "wso2"
    subject_types = (JWT, ACCESS_TOKEN)

    def issued_type(self, form: dict[str, list[str]]) -> str:
        return super().issued_type({"requested_token_type": form.get("requested_token_type", [JWT])})

    def members(self, form: dict[str, list[str]]) -> dict[str, Any]:
        return {"scope": " ".join(form.get("scope", ())), "refresh_token": "long-lived"}

    def dead_token(self) -> VendorError:
        if self.state.dead == "forged":
            return VendorError(400, "invalid_request", "Signature or Message Authentication invalid")
        return VendorError(400, "invalid_request", "JSON Web Token is expired., Expiration Time(ms) : 1")


class EntraID(Vendor):
    name = "entra-obo"
    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion_for_issuer = False
    scopes = ("Orders.Read", ".default")
    usual: ClassVar[dict[str, Any]] = {"scope": ["api://orders/Orders.Read"], "expect": {"audience": ["api://orders"]}}
    unknown: ClassVar[dict[str, Any]] = {**usual, "scope": ["api://nobody/Orders.Read"]}
    too_much: ClassVar[dict[str, Any]] = {**usual, "scope": ["api://orders/Orders.Delete"]}

    def subject(self, form: dict[str, list[str]]) -> Any:
        if form.get("requested_token_use") != ["on_behalf_of"] or "assertion" not in form:
            raise VendorError(400, "invalid_request", "AADSTS900144: a parameter is missing")
        if self.state.dead:
            raise VendorError(400, "invalid_grant", "AADSTS500133: Assertion is not within its valid time range.")
        if self.state.unusual == "consent":
            raise VendorError(400, "invalid_grant", "AADSTS65001: The user or administrator has not consented")
        return peek(form["assertion"][0]).claims

    def issued_type(self, _form: dict[str, list[str]]) -> str:
        return ""

    def audience(self, form: dict[str, list[str]]) -> list[str]:
        if {"audience", "resource"} & form.keys():
            raise VendorError(400, "invalid_request", "AADSTS901002: the parameter is not supported")
        [scope] = form.get("scope") or [""]
        if not scope.startswith("api://orders/"):
            raise VendorError(400, "invalid_resource", "AADSTS500011: The resource principal was not found")
        return ["api://orders"]

    def scope(self, form: dict[str, list[str]]) -> list[str]:
        asked = [scope.rpartition("/")[2] for scope in form["scope"][0].split()]
        if not set(asked) <= set(self.scopes):
            raise VendorError(400, "invalid_scope", "AADSTS70011: The provided value for scope is not valid")
        return ["Orders.Read", "Orders.List"] if ".default" in asked else asked

    def scope_claims(self, scope: list[str]) -> dict[str, Any]:
        return {"scp": " ".join(scope), "azp": CLIENT_ID, "client_id": None}

    def claims(self, subject: Any) -> dict[str, Any]:
        return {"sub": "pairwise-for-orders", "oid": subject["oid"]}

    def members(self, form: dict[str, list[str]]) -> dict[str, Any]:
        return {"scope": form["scope"][0], "ext_expires_in": 300}

    def _issue(self, asked: Any) -> dict[str, Any]:
        members = super()._issue(asked)
        del members["issued_token_type"]
        return members

    def bad_credentials(self) -> VendorError:
        return VendorError(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")


VENDORS: dict[str, type[Vendor]] = {
    vendor.name: vendor
    for vendor in (
        Vendor,
        Keycloak,
        Spring,
        Zitadel,
        Authlete,
        Connect2id,
        PingAM,
        PingFederate,
        Curity,
        Okta,
        Auth0,
        WSO2,
        EntraID,
    )
}
