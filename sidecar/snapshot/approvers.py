"""Compiles the approvers section: who is asked for a yes, by which client. Nobody is asked here."""

from functools import partial

from sidecar.approval.approver import AT_ONCE, Approver
from sidecar.config import schema
from sidecar.config.loaded import Loaded
from sidecar.config.problems import Path
from sidecar.model.clock import Clock
from sidecar.observe.metrics import Metrics
from sidecar.rotation import Rotation
from sidecar.snapshot.parts import Parts
from sidecar.snapshot.peers import Peers
from sidecar.snapshot.routes import peer_tls
from sidecar.snapshot.ways import NoProof, Way, Ways
from sidecar.tls import TLSError


def compile_approvers(
    loaded: Loaded, peers: Peers, clock: Clock, metrics: Metrics, rotation: Rotation, parts: Parts
) -> dict[str, Approver]:
    """Return all approvers that could be made, by name; the problems of the others go to the peers.

    parts: where they have their connections, and the yeses that still count.
    """
    ways, approvers = Ways(clock, rotation, parts), dict[str, Approver]()
    for name, section in loaded.config.approvers.items():
        path: Path = ("approvers", name)
        try:
            approvers[name] = _approver(name, path, section, ways, clock, metrics, parts)
        except NoProof as error:
            peers.problems.append(loaded.problem(error.path, str(error)))
        except TLSError as error:
            peers.problems.append(loaded.problem((*path, "tls"), str(error)))
    return approvers


def _approver(
    name: str, path: Path, section: schema.Approver, ways: Ways, clock: Clock, metrics: Metrics, parts: Parts
) -> Approver:
    form, url, token_file = _form(section)
    bearer = None if token_file is None else ways.bearer((*path, form, "token_file"), token_file, [url])
    way = Way(".".join(map(str, path)), peer_tls(section.tls), None, bearer)
    client = ways.client(way, "questions", section.timeout, AT_ONCE)
    return parts.keep(
        ("approver", name),
        (form, url, client),
        lambda: Approver(
            name,
            form=form,
            url=url,
            client=client,
            timeout=section.timeout,
            observed=partial(metrics.approval, name),
            clock=clock,
        ),
        Approver.close,
    )


def _form(section: schema.Approver) -> tuple[str, str, str | None]:
    """How an approver is spoken to, where, and with which token's file."""
    if section.authzen is not None:
        return "authzen", section.authzen.url, section.authzen.token_file
    return "opa", section.opa.url if section.opa is not None else "", None
