"""Names that must refer to something: routes to listeners, issuers, servers and workload tokens; names given once.

Where only one is defined it need not be named; where there are several it must be. Works on the file's content, as
``rules`` does.
"""

from collections.abc import Iterator, Sequence

from sidecar.config import listeners
from sidecar.config.problems import Finding
from sidecar.config.tree import Part
from sidecar.config.wording import nearest
from sidecar.config.workload import is_ours


def findings(root: Part) -> Iterator[Finding]:
    """Return which names of a file refer to nothing, are missing, or are given twice."""
    servers = root["authorization_servers"]
    for _, issuer in root["trusted_issuers"].members():
        named = issuer["authorization_server"]
        yield from _known(named, servers, "authorization server")
        server = servers[named.text or ""]
        if isinstance(server.value, dict) and "issuer" not in server:
            yield named.finding("this authorization server has no issuer to take")
    for _, token in root["workload_tokens"].members():
        yield from _workload_token(root, token)
    seen: set[str] = set()
    for route in root["routes"].items():
        name = route["name"].text
        if name is not None:
            if name in seen:
                yield route["name"].finding("another route has this name")
            seen.add(name)
        yield from _listener(root, route)
        if isinstance(route["exchange"].value, dict):
            yield from _exchange(root, route)


def _listener(root: Part, route: Part) -> Iterator[Finding]:
    known = Part({name: {} for name in listeners.named(root)}, root["gateway"]["listeners"].path)
    yield from _known(route["listener"], known, "listener")
    if "listener" not in route and len(known.members()) > 1:
        yield route["listener"].finding(f"missing; one of {_names(known)}")


def _exchange(root: Part, route: Part) -> Iterator[Finding]:
    exchange, issuers, servers = route["exchange"], root["trusted_issuers"], root["authorization_servers"]
    named = list(route["subject"]["issuers"].items())
    for part in named:
        yield from _known(part, issuers, "trusted issuer")
    ours = is_ours(exchange["subject_token"])
    if not ours and not named and len(issuers.members()) != 1 and _lists(issuers):
        yield route["subject"]["issuers"].finding(_which(issuers, "a trusted issuer"))
    opaque = [part for part in named if issuers[part.text or ""]["token_profile"].value == "opaque"]
    for part in opaque[1:]:
        yield part.finding(f"should not stand beside {opaque[0].text}: nothing in an opaque token says whose it is")
    chosen = exchange["authorization_server"]["by_issuer"]
    yield from _known(exchange["authorization_server"], servers, "authorization server")
    if isinstance(exchange["authorization_server"].value, dict):
        taken = [part.text or "" for part in named] or [name for name, _ in issuers.members()]
        yield from _chosen(chosen, taken, servers)
    if "authorization_server" not in exchange and len(servers.members()) != 1 and _lists(servers):
        yield exchange["authorization_server"].finding(_which(servers, "an authorization server"))
    yield from _known(exchange["actor_token"], root["workload_tokens"], "workload token")
    if ours:
        yield from _known(exchange["subject_token"], root["workload_tokens"], "workload token")


def _workload_token(root: Part, token: Part) -> Iterator[Finding]:
    asked, servers = token["client_credentials"], root["authorization_servers"]
    yield from _known(token["issuer"], root["trusted_issuers"], "trusted issuer")
    yield from _known(asked["authorization_server"], servers, "authorization server")
    if isinstance(asked.value, dict) and "authorization_server" not in asked and len(servers.members()) != 1:
        yield asked["authorization_server"].finding(_which(servers, "an authorization server"))


def _chosen(chosen: Part, taken: Sequence[str], servers: Part) -> Iterator[Finding]:
    """Every issuer of a route has a server, and nobody else: what is left open would be found by a request."""
    for name, server in chosen.members():
        yield from _known(server, servers, "authorization server")
        if name not in taken:
            yield Finding(server.path, "the route takes no tokens of this trusted issuer", at_key=True)
    for name in taken:
        if name not in chosen:
            yield chosen[name].finding("missing; the authorization server for this trusted issuer of the route")


def _known(part: Part, defined: Part, what: str) -> Iterator[Finding]:
    if part.text is not None and part.text not in defined and _lists(defined):
        near = nearest(part.text, [name for name, _ in defined.members()])
        yield part.finding(f"no {what} of this name is defined{near}")


def _lists(defined: Part) -> bool:
    """Whether names are defined here, or none are; false where something else stands, which the schema reports."""
    return defined.value is None or isinstance(defined.value, dict)


def _which(defined: Part, what: str) -> str:
    names = _names(defined)
    return f"missing; one of {names}" if names else f"an exchange needs {what}, and none is defined"


def _names(defined: Part) -> str:
    return ", ".join(name for name, _ in defined.members())
