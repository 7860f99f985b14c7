"""The section about approvers: who is asked whether a request may go on, and how."""

from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.servers import PeerTLS
from sidecar.config.schema.types import PositiveDuration, ReadableFile, URLText


@section
class AuthZEN(Section):
    """A decision point that speaks AuthZEN 1.0."""

    url: URLText = key("Where it is; asked at /access/v1/evaluation below it.")
    token_file: ReadableFile | None = key("A bearer token that it asks for; read again when it changes.", default=None)


@section
class OPA(Section):
    """An Open Policy Agent."""

    url: URLText = key("The rule's document in its data API, such as http://127.0.0.1:8181/v1/data/sidecar/approve.")


@section
class Approver(Section):
    """Who is asked for a yes; exactly one of authzen and opa."""

    authzen: AuthZEN | None = key("A decision point that speaks AuthZEN 1.0.", default=None)
    opa: OPA | None = key("Or an Open Policy Agent.", default=None)
    timeout: PositiveDuration = key("One deadline for a whole question.", default="2s")
    tls: PeerTLS | None = key("TLS to the approver.", default=None)
    allow_plain_http: bool = key("The network encrypts: allow an http URL that is not loopback.", default=False)
