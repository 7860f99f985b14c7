"""Which listeners a file has, by name, and what is wrong between them and with the routes on them.

Works on the file's content, as ``rules`` does. The decision listener is one of them, by a name of its own; it forwards
nothing, so that what a route says of the way to its upstream means nothing there.
"""

from collections.abc import Iterator
from typing import Final

from sidecar.config import addresses
from sidecar.config.problems import Finding
from sidecar.config.schema.gateway import DEFAULT_ADMIN_LISTEN, DEFAULT_LISTEN
from sidecar.config.tree import Part
from sidecar.model.listener import DECISION

#: What is of the connection to the upstream, of bodies and of paths on their way there: all of it the proxy's.
_PROXYS: Final = (
    "strip_prefix",
    "preserve_host",
    "connect_timeout",
    "response_timeout",
    "send_idle",
    "read_idle",
    "max_connections",
    "max_connection_age",
    "max_body_bytes",
    "websocket_max_lifetime",
    "tls",
)


def named(root: Part) -> dict[str, Part]:
    """Return the listeners that routes may name; the gateway has one of its own accord where no other is named."""
    gateway = root["gateway"]
    found = dict(gateway["listeners"].members())
    if "listeners" not in gateway and ("listen" in gateway or DECISION not in root):
        found["default"] = Part({"listen": gateway["listen"].value or DEFAULT_LISTEN}, gateway.path)
    if DECISION in root:
        found[DECISION] = root[DECISION]
    return found


def listener_of(root: Part, route: Part) -> str:
    """Return the name of the listener that a route exists on, as far as that can be told."""
    names = list(named(root))
    return route["listener"].text or (names[0] if len(names) == 1 else "")


def findings(root: Part) -> Iterator[Finding]:
    """Return what is wrong between listeners, and with routes where they are."""
    gateway, decision = root["gateway"], root[DECISION]
    if "listen" in gateway and "listeners" in gateway:
        yield gateway["listeners"].finding("should not stand beside listen; give one of them")
    if "listeners" in gateway and not gateway["listeners"].members():
        yield gateway["listeners"].finding("should name at least one listener")
    if DECISION in gateway["listeners"]:
        yield Finding((*gateway["listeners"].path, DECISION), "is the name of the decision listener", at_key=True)
    yield from _addresses(root)
    for _, listener in gateway["listeners"].members():
        if listener["direction"].value == "egress" and _open_to_others(listener):
            yield listener["listen"].finding(
                "egress should listen on loopback or a unix socket, or have tls.client_ca_file"
            )
    if _open_to_others(decision):
        yield decision["listen"].finding(
            "whoever asks here is told issued tokens: listen on loopback or a unix socket, or have tls.client_ca_file"
        )
    for route in root["routes"].items():
        if listener_of(root, route) == DECISION:
            yield from _decided(route, decision)


def _addresses(root: Part) -> Iterator[Finding]:
    """Each listener has an address of its own."""
    taken: list[addresses.Address] = []
    admin = root["admin"]["listen"]
    if admin.value is None:
        admin = Part(DEFAULT_ADMIN_LISTEN, admin.path)
    control = root["admin"]["control"]
    for part in [*(listener["listen"] for listener in named(root).values()), admin, control]:
        address = part.read(addresses.listen_address)
        if address is not None and any(address.overlaps(other) for other in taken):
            yield part.finding("should not be the address of another listener")
        taken += [address] if address else []


def _open_to_others(listener: Part) -> bool:
    """Whether callers that are neither on this machine nor known by a certificate reach a listener."""
    address = listener["listen"].read(addresses.listen_address)
    return address is not None and not address.is_local and "client_ca_file" not in listener["tls"]


def _decided(route: Part, decision: Part) -> Iterator[Finding]:
    """What a route on the decision listener says of things that are up to the proxy."""
    upstream = route["upstream"]
    for name in _PROXYS:
        if name in upstream:
            yield upstream[name].finding("has no effect on the decision listener, where the proxy forwards")
    if upstream["drop_cookies"].value is True and decision["form"].text == "forwarded":
        yield upstream["drop_cookies"].finding("has no effect with decision.form: forwarded; have the proxy drop them")
    if "resource_metadata" in route:
        yield route["resource_metadata"].finding("has no effect on the decision listener, which serves no documents")
    if route["preflight"].text == "answer":
        yield route["preflight"].finding(
            "should be refuse or forward on the decision listener, which can't answer in the upstream's place"
        )
