"""The sections about ourselves: where we listen, how much we take, what we remember and what we account for."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from sidecar.config.addresses import Address, listen_address
from sidecar.config.schema.base import Section, key
from sidecar.config.schema.types import (
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


class ListenerTLS(Section):
    """TLS on a listener."""

    cert_file: ReadableFile = Field(description="Certificate chain, PEM.")
    key_file: ReadableFile = Field(description="Its private key, PEM.")
    client_ca_file: ReadableFile | None = key(None, "Callers must show a certificate of this authority.")


class Listener(Section):
    """One place where requests come in."""

    listen: Listen = Field(description="host:port, [v6]:port or unix:/path.")
    direction: Literal["ingress", "egress"] = key(
        "ingress",
        "In front of an application, or out of one; egress is loopback or unix only, or asks for certificates.",
    )
    tls: ListenerTLS | None = key(None, "Serve https.")


class Drain(Section):
    """How a stop goes."""

    delay: Duration = key("5s", "From not ready to no new connections.")
    grace: Duration = key("20s", "For requests that run, after that.")


class Gateway(Section):
    """The gateway's listeners and limits."""

    listen: Listen | None = key(None, f"Short for one ingress listener called default; {DEFAULT_LISTEN} by default.")
    listeners: Mapping[Name, Listener] | None = key(None, "Several listeners by name; then every route names one.")
    trusted_proxies: Many[TrustedNetwork] = key((), "Networks whose Forwarded and X-Forwarded-* are extended.")
    max_in_flight: Count = key(1024, "Requests at once, until their response head.")
    max_header_bytes: Size = key("64KiB", "A request's head.")
    max_body_bytes: Size | None = key(None, "A request's body; null: no limit.")
    keepalive_timeout: PositiveDuration = key("75s", "A connection without a request is closed after this.")
    drain: Drain = key({}, "How a stop goes.")

    @property
    def all_listeners(self) -> Mapping[str, Listener]:
        """The listeners by name, whichever way they were given; never empty."""
        if self.listeners:
            return self.listeners
        address: Address = self.listen or listen_address(DEFAULT_LISTEN)
        return {"default": Listener.model_construct(listen=address, direction="ingress", tls=None)}


class Admin(Section):
    """The listener for probes and metrics."""

    listen: Listen = key(DEFAULT_ADMIN_LISTEN, "host:port, [v6]:port or unix:/path.")
    pages: Literal["loopback", "any"] = key("loopback", "Who sees / and /status; probes and metrics are for all.")


class Receipts(Section):
    """Where the account of exchanges goes."""

    sink: Sink = key("stdout", "stdout, none, or the path of a file.")
    subject: Literal["plain", "hashed"] = key("plain", "Write the subject as it is, or as HMAC-SHA-256.")
    subject_key_file: ReadableFile | None = key(None, "The key for hashed subjects.")
    uses: Literal["all", "none"] = key("all", "A line per request too, or exchanges and refusals only.")
    on_failure: Literal["continue", "refuse"] = key("continue", "What happens to traffic when none can be written.")


class Cache(Section):
    """How long issued tokens are kept, and how many."""

    max_entries: Count = key(10000, "Issued tokens at most.")
    max_bytes: Size = key("64MiB", "Memory for them at most.")
    early_expiry: Duration = key("30s", "Not used any more this long before it expires, or the last fifth of its life.")
    refresh_ahead: Share = key(0.8, "Share of its time after which a use fetches the next one in the background.")
    max_lifetime: PositiveDuration = key("1h", "Kept this long at most.")
    negative_lifetime: Duration = key("10s", "How long a refused subject token stays refused at most.")
