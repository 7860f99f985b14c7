"""What an approver is asked about one request, and for which other requests its yes counts.

Pure. An approver is told who, through whom, what and for what; never a token, a body, or a header field but the one in
which the caller claims its task. The two forms are those of AuthZEN 1.0 (Access Evaluation) and of OPA's data API.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sidecar.model.approval import ApprovalPolicy, cut
from sidecar.model.operation import Operation
from sidecar.model.request import RequestHead
from sidecar.model.route import Exchange, Expect, Route
from sidecar.model.tokens import Subject, WorkloadToken
from sidecar.wire.tokens import shown_path


@dataclass(frozen=True, slots=True)
class Question:
    """One request that needs a yes.

    exchange: what the subject token would be exchanged for. actor: the token of ours that would show who acts, or None.
    operation: what a tool server is asked to do; None: the HTTP method says it.
    """

    policy: ApprovalPolicy
    route: Route
    exchange: Exchange
    subject: Subject
    actor: WorkloadToken | None
    request: RequestHead
    operation: Operation | None = None

    @property
    def claimed_task(self) -> str | None:
        """What the caller claims to be at, cut; None where it says nothing."""
        name = self.policy.reason_header
        said = self.request.values(name.encode()) if name is not None else []
        task = shown_path(b", ".join(said)).decode("utf-8", "replace")
        return cut(task) or None

    @property
    def arguments(self) -> str | None:
        """A digest of what a tool is called with, as far as the route names it; None where it names nothing."""
        if self.operation is None or not self.operation.arguments:
            return None
        return f"sha256:{sha256(_canonical(dict(self.operation.arguments))).hexdigest()[:16]}"

    @property
    def key(self) -> bytes:
        """What a yes counts for: one subject token, actor, route, operation, claim and exchange, and what is bound."""
        request, bound = self.request, None
        if self.policy.bind_path:
            query = request.query.decode("latin-1") if request.query is not None else None  # `/a?` is not `/a`
            bound = [request.host, request.path.decode("latin-1"), query]
        return sha256(
            _canonical(
                [
                    self.route.name,
                    self.subject.digest.hex(),
                    self.actor.identity.hex() if self.actor is not None else None,
                    request.method,
                    self._action(),
                    self.claimed_task,
                    repr(replace(self.exchange, expect=Expect())),
                    bound,
                ]
            )
        ).digest()

    def members(self, now: float) -> dict[str, Any]:
        """Return everything that is told, as OPA gets it for its input. now: wall-clock seconds."""
        subject, exchange = self.subject, self.exchange
        return {
            "subject": _present(
                {
                    "iss": subject.iss,
                    "sub": subject.sub,
                    "acr": subject.acr,
                    "auth_time": subject.auth_time,
                    "client": subject.client_id,
                }
            ),
            "actor": self._actors(),
            "action": self._action(),
            "resource": {
                "route": self.route.name,
                "path": shown_path(self.request.path).decode("latin-1"),
                "audience": list(exchange.audience),
                "resource": list(exchange.resource),
                "scope": list(exchange.scope),
            },
            "context": _present(
                {
                    "claimed_task": self.claimed_task,
                    "request_id": self.request.request_id,
                    "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                }
            ),
        }

    def _action(self) -> dict[str, Any]:
        if self.operation is None:
            return {"method": self.request.method}
        return _present(
            {
                "method": self.operation.method,
                "tool": self.operation.tool,
                "arguments": dict(self.operation.arguments) or None,
            }
        )

    def _actors(self) -> list[dict[str, Any]]:
        """Who would act, the outermost first: whom a token of ours shows, then the subject token's own chain."""
        claims = self.actor.claims if self.actor is not None else {}
        ours = [_present({name: claims.get(name) for name in ("iss", "sub")})] if claims.get("sub") else []
        return [*ours, *(_present({"iss": actor.iss, "sub": actor.sub}) for actor in self.subject.actors)]


def authzen(members: Mapping[str, Any]) -> dict[str, Any]:
    """Put what is told into the form of an AuthZEN evaluation request: types, ids and properties."""
    subject, action, resource = dict(members["subject"]), dict(members["action"]), dict(members["resource"])
    return {
        "subject": {"type": "identity", "id": subject.pop("sub"), "properties": subject},
        "action": {"name": action.pop("method"), "properties": action},
        "resource": {"type": "route", "id": resource.pop("route"), "properties": resource},
        "context": {**members["context"], "actor": members["actor"]},
    }


def opa(members: Mapping[str, Any]) -> dict[str, Any]:
    """Put what is told into the form of OPA's data API."""
    return {"input": dict(members)}


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
