"""Forgetting what was issued or verified before its time, because somebody revoked it: everywhere where it is kept.

What is meant is named as people name it and looked up in the configuration in use. A name that it does not have is an
error and not nothing to do: whoever revokes in a hurry must not take a slip of the pen for success.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from sidecar.exchange.exchanger import Exchanger
from sidecar.exchange.plan import Plan
from sidecar.exchange.workload.client_credentials import ClientCredentials
from sidecar.faces.control import Meant, UnknownName
from sidecar.model.flush import Flushed, Selection
from sidecar.snapshot import Snapshot

T = TypeVar("T")


def selection(meant: Meant, snapshot: Snapshot) -> Selection:
    """Return what is meant as the memories know it. UnknownName."""
    if meant.subject is not None:
        iss, sub = meant.subject
        return Selection(iss=_iss(iss, snapshot), sub=sub)
    if meant.issuer is not None:
        return Selection(iss=_iss(meant.issuer, snapshot))
    if meant.route is not None:
        if meant.route not in snapshot.routes:
            raise UnknownName("There is no route of this name.")
        asked = frozenset(plan.asker.asked for plan in _plans(snapshot, meant.route))
        return Selection(route=meant.route, asked=asked)
    if meant.server is not None and meant.server not in snapshot.servers:
        raise UnknownName("There is no authorization server of this name.")
    return Selection(server=meant.server)


def flush(selected: Selection, snapshot: Snapshot, exchanger: Exchanger) -> Flushed:
    """Forget what is selected. It is one step: no request sees a part of it.

    A route's tokens are those that it may be served: another route that asks for the same loses them, too.
    """
    tokens, refusals, exchanges = exchanger.flush(selected.takes)
    return Flushed(
        issued_tokens=tokens,
        refusals=refusals,
        exchanges=exchanges,
        verified_tokens=snapshot.verifier.forget(selected.names),
        introspections=_introspections(selected, snapshot),
        workload_tokens=_workload_tokens(selected, snapshot),
        approvals=_approvals(selected, snapshot),
    )


def _iss(issuer: str, snapshot: Snapshot) -> str:
    """An issuer's ``iss``, where it is given by that or by its name in the file."""
    for known in snapshot.verifier.issuers:
        if issuer in (known.name, known.iss):
            return known.iss
    raise UnknownName("There is no trusted issuer of this name, or with this iss.")


def _introspections(selected: Selection, snapshot: Snapshot) -> int:
    # What was said of issued tokens is needed only while they are issued: forgetting it all costs nothing.
    forgotten = sum(each.forget() for each in _once(plan.introspection for plan in _plans(snapshot)))
    if selected.iss is None and not selected.everything:
        return forgotten
    for issuer in snapshot.verifier.issuers:
        if issuer.introspection is not None:
            forgotten += issuer.introspection.forget(_about(selected, issuer.iss))
    return forgotten


def _about(selected: Selection, iss: str) -> Callable[[Mapping[str, Any]], bool]:
    """Tell claims of selected subjects. iss: whose claims they are where they don't say it."""
    return lambda claims: selected.names(str(claims.get("iss", iss)), str(claims.get("sub", "")))


def _workload_tokens(selected: Selection, snapshot: Snapshot) -> int:
    """Those of the selected server, or all: they belong to no caller and no route."""
    if selected.server is None and not selected.everything:
        return 0
    sources = _once(source for plan in _plans(snapshot) for source in (plan.subject, plan.actor))
    return sum(source.forget(selected.server) for source in sources if isinstance(source, ClientCredentials))


def _approvals(selected: Selection, snapshot: Snapshot) -> int:
    """Those of the selected subjects or route; a yes is no authorization server's."""
    if selected.server is not None:
        return 0

    def takes(iss: str, sub: str, route: str) -> bool:
        return selected.names(iss, sub) or route == selected.route

    return sum(approver.forget(takes) for approver in snapshot.approvers.values())


def _plans(snapshot: Snapshot, route: str | None = None) -> Iterator[Plan]:
    """Yield the plans of a route, or of all."""
    yield from (plan for name, plan in snapshot.plans.items() if route in (None, name))
    yield from (plan for (name, _), plan in snapshot.plans_by_issuer.items() if route in (None, name))


def _once(values: Iterable[T | None]) -> list[T]:
    """Each thing once, however many share it."""
    return list({id(value): value for value in values if value is not None}.values())
