"""The part of a route about the Model Context Protocol: which operations it takes, and what each one asks for."""

from collections.abc import Mapping
from typing import Literal

from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.types import (
    AuthenticationContext,
    Duration,
    Many,
    Name,
    Origin,
    RPCMethod,
    Scope,
    Text,
    ToolPattern,
    WholeSeconds,
)

Verdict = Literal["allow", "refuse"]


@section
class OperationApproval(Section):
    """Somebody else's yes to an operation."""

    by: Name = key("Whom to ask: one of approvers.")
    max_age: Duration = key("A yes counts again so long for the same; 0s: every request is asked about.", default="0s")
    arguments: Many[Text] = key(
        "The tool's arguments that the approver is told; a yes counts for their values.", default=()
    )


@section
class Operation(Section):
    """What is asked for one operation, besides what its route asks for all."""

    scope: Many[Scope] = key("Asked for besides exchange.scope.", default=())
    acr_values: Many[AuthenticationContext] = key(
        "The login was one of these (acr), or else: step-up. Instead of subject.acr_values, and some of them.",
        default=(),
    )
    max_age: WholeSeconds | None = key(
        "The login is no older (auth_time), or else: step-up. No longer than subject.max_age.", default=None
    )
    approval: OperationApproval | None = key(
        "Whose yes is needed before the exchange; instead of the route's approval.", default=None
    )


@section
class Operations(Section):
    """The Model Context Protocol over HTTP: the message's method and the tool's name decide."""

    default: Verdict = key("Requests whose method is not among methods; tools have to be named.", default="refuse")
    get: Verdict = key("GET, which opens a stream of the server's messages.", default="allow")
    delete: Verdict = key("DELETE, which ends a session.", default="allow")
    responses: Verdict = key("The caller's answers to the server's requests.", default="allow")
    notifications: Verdict = key("The caller's notifications.", default="allow")
    allowed_origins: Many[Origin] = key(
        "Web pages that may call, besides those of cors; who sends no Origin is no page.", default=()
    )
    tools: Mapping[ToolPattern, Operation] = key(
        "Tools that may be called: names, or beginnings of names and *; the longest that fits counts.", default={}
    )
    methods: Mapping[RPCMethod, Operation] = key("Other methods that may be used, by name.", default={})
