"""The section about traces: where they go, and which requests have one."""

from typing import Annotated

from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.markers import Limit
from sidecar.config.schema.servers import PeerTLS
from sidecar.config.schema.types import ProxyURL, ReadableFile, URLText


@section
class Tracing(Section):
    """Traces of requests, for a collector that takes OTLP over HTTP."""

    otlp_endpoint: URLText = key("The collector, such as http://127.0.0.1:4318; /v1/traces is added.")
    sample_ratio: Annotated[float, Limit(ge=0, le=1)] = key(
        "Share of the requests without a trace of their own that get one.", default=0.01
    )
    bearer_file: ReadableFile | None = key("A token that the collector asks for.", default=None)
    proxy_url: ProxyURL | None = key("Proxy to the collector.", default=None)
    tls: PeerTLS | None = key("TLS to the collector.", default=None)
    allow_plain_http: bool = key("The network encrypts, so that plain http may leave this machine.", default=False)
