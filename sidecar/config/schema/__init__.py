"""Which keys a configuration file has: version 1, as frozen dataclasses with a line about each key.

A key is here only when its function exists. What a single key can't tell, because it takes two, is in
``sidecar.config.rules`` and ``sidecar.config.references``.
"""

from sidecar.config.schema.approvers import OPA, Approver, AuthZEN
from sidecar.config.schema.gateway import Admin, Cache, Decision, Drain, Gateway, Listener, ListenerTLS, Receipts
from sidecar.config.schema.root import Config
from sidecar.config.schema.routes import Approval, Cors, Exchange, Expect, Match, Route, Subject, Upstream
from sidecar.config.schema.servers import (
    AuthorizationServer,
    CertificateClientAuth,
    ClientAuth,
    ClientCredentials,
    Introspection,
    JWTClientAuth,
    KeyClientAuth,
    NoClientAuth,
    PeerTLS,
    SecretClientAuth,
    SecretJWTClientAuth,
    TrustedIssuer,
    WorkloadToken,
)
from sidecar.config.schema.tracing import Tracing

__all__ = [
    "OPA",
    "Admin",
    "Approval",
    "Approver",
    "AuthZEN",
    "AuthorizationServer",
    "Cache",
    "CertificateClientAuth",
    "ClientAuth",
    "ClientCredentials",
    "Config",
    "Cors",
    "Decision",
    "Drain",
    "Exchange",
    "Expect",
    "Gateway",
    "Introspection",
    "JWTClientAuth",
    "KeyClientAuth",
    "Listener",
    "ListenerTLS",
    "Match",
    "NoClientAuth",
    "PeerTLS",
    "Receipts",
    "Route",
    "SecretClientAuth",
    "SecretJWTClientAuth",
    "Subject",
    "Tracing",
    "TrustedIssuer",
    "Upstream",
    "WorkloadToken",
]
