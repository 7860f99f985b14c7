"""The sections about ourselves: where we listen, how much we take, what we remember and what we account for."""

from collections.abc import Mapping
from typing import Literal

from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.tracing import Tracing
from sidecar.config.schema.types import (
    ControlSocket,
    Count,
    Duration,
    Listen,
    Many,
    Name,
    PositiveDuration,
    ReadableFile,
    Share,
    Sink,
    Size,
    TrustedNetwork,
)

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_ADMIN_LISTEN = "127.0.0.1:9090"


@section
class ListenerTLS(Section):
    """TLS on a listener."""

    cert_file: ReadableFile = key("Certificate chain, PEM.")
    key_file: ReadableFile = key("Its private key, PEM.")
    client_ca_file: ReadableFile | None = key("Callers must show a certificate of this authority.", default=None)


@section
class Listener(Section):
    """One place where requests come in."""

    listen: Listen = key("host:port, [v6]:port or unix:/path.")
    direction: Literal["ingress", "egress"] = key(
        "In front of an application, or out of one; egress is loopback or unix only, or asks for certificates.",
        default="ingress",
    )
    tls: ListenerTLS | None = key("Serve https.", default=None)


@section
class Drain(Section):
    """How a stop goes."""

    delay: Duration = key("From not ready to no new connections.", default="5s")
    grace: Duration = key("For requests that run, after that.", default="20s")


@section
class Gateway(Section):
    """The gateway's listeners and limits."""

    listen: Listen | None = key(
        f"Short for one ingress listener called default; {DEFAULT_LISTEN} by default.", default=None
    )
    listeners: Mapping[Name, Listener] | None = key(
        "Several listeners by name; then every route names one.", default=None
    )
    trusted_proxies: Many[TrustedNetwork] = key("Networks whose Forwarded and X-Forwarded-* are extended.", default=())
    max_in_flight: Count = key("Requests at once, until their response head.", default=1024)
    max_streams: Count = key("Responses at once that are on their way, after their head.", default=4096)
    max_connections: Count = key(
        "Connections at once, over all listeners; fewer where the process may not open two files for each.",
        default=4096,
    )
    max_header_bytes: Size = key("A request's head.", default="64KiB")
    max_body_bytes: Size | None = key("A request's body; null: no limit.", default=None)
    header_timeout: PositiveDuration = key(
        "For a whole head: from its first byte, or on a new connection from the start.", default="10s"
    )
    keepalive_timeout: PositiveDuration = key("A connection without a request is closed after this.", default="75s")
    drain: Drain = key("How a stop goes.", default={})
    tracing: Tracing | None = key("Traces of requests; null: none, at no cost.", default=None)


@section
class Decision(Section):
    """The listener where proxies ask for decisions."""

    listen: Listen = key("host:port, [v6]:port or unix:/path; loopback or unix only, or asks for certificates.")
    form: Literal["forwarded", "envoy"] = key(
        "How a request is named: by X-Forwarded-Method, -Proto, -Host and -Uri, or as Envoy's ext_authz does."
    )
    tls: ListenerTLS | None = key("Serve https.", default=None)


@section
class Admin(Section):
    """The listener for probes, metrics and the status, and the socket for what changes something."""

    listen: Listen = key("host:port, [v6]:port or unix:/path.", default=DEFAULT_ADMIN_LISTEN)
    pages: Literal["loopback", "any"] = key("Who sees / and /status; the rest is for all.", default="loopback")
    control: ControlSocket | None = key(
        "unix:/path of a socket for `sidecar flush`, for this user and root alone; null: none.", default=None
    )


@section
class Receipts(Section):
    """Where the account of exchanges goes."""

    sink: Sink = key("stdout, none, or the path of a file.", default="stdout")
    subject: Literal["plain", "hashed"] = key("Write the subject as it is, or as HMAC-SHA-256.", default="plain")
    subject_key_file: ReadableFile | None = key("The key for hashed subjects.", default=None)
    uses: Literal["all", "none"] = key("A line per request too, or exchanges and refusals only.", default="all")
    on_failure: Literal["continue", "refuse"] = key(
        "What happens to traffic when none can be written.", default="continue"
    )
    chain: bool = key("Each line carries the digest of the one before it; the file has one writer.", default=False)


@section
class Cache(Section):
    """How long issued tokens are kept, and how many."""

    max_entries: Count = key("Issued tokens at most.", default=10000)
    max_bytes: Size = key("Memory for them at most.", default="64MiB")
    early_expiry: Duration = key(
        "Not used any more this long before it expires, or the last fifth of its life.", default="30s"
    )
    refresh_ahead: Share = key(
        "Share of its time after which a use fetches the next one in the background.", default=0.8
    )
    max_lifetime: PositiveDuration = key("Kept this long at most.", default="1h")
    negative_lifetime: Duration = key("How long a refused subject token stays refused at most.", default="10s")
