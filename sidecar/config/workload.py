"""What is wrong with tokens of ours: where they come from, and where one is exchanged instead of the caller's.

Works on the file's content, as ``rules`` does. Names that must refer to something are in ``references``.
"""

from collections.abc import Iterator
from typing import Final

from sidecar.config import listeners
from sidecar.config.problems import Finding
from sidecar.config.tree import Part

CALLER: Final = "caller"
_SOURCES: Final = ("file", "client_credentials", "header")


def findings(root: Part) -> Iterator[Finding]:
    """Return what is wrong with the workload tokens of a file, and with the routes that exchange one."""
    for name, token in root["workload_tokens"].members():
        if name == CALLER:
            yield Finding(token.path, "should have another name: this one stands for the caller's token", at_key=True)
        if isinstance(token.value, dict):
            yield from _token(root, token)
    for route in root["routes"].items():
        if is_ours(route["exchange"]["subject_token"]):
            yield from _exchanged(root, route)


def is_ours(subject_token: Part) -> bool:
    """Whether a route exchanges a token of ours."""
    return subject_token.text not in (None, CALLER)


def _token(root: Part, token: Part) -> Iterator[Finding]:
    sources = [name for name in _SOURCES if name in token]
    if not sources:
        yield token["file"].finding("missing; or else client_credentials or header")
    for name in sources[1:]:
        yield token[name].finding(f"should not stand beside {sources[0]}; give one of them")
    if sources == ["file"] and "type" not in token:
        yield token["type"].finding("missing; what an exchange calls the token")
    if "header" in token:
        yield from _header(root, token)
    elif "issuer" in token:
        yield token["issuer"].finding("has no effect without header")


def _header(root: Part, token: Part) -> Iterator[Finding]:
    header, name = token["header"], (token["header"].text or "").lower()
    if "issuer" not in token:
        yield token["issuer"].finding("missing; the trusted issuer of the token in the header")
    if "type" in token:
        yield token["type"].finding("has no effect with header: the trusted issuer's subject_token_type counts")
    if not list(root["gateway"]["trusted_proxies"].items()):
        yield header.finding("is taken from gateway.trusted_proxies only, and none is named there")
    for route in root["routes"].items():
        if (route["subject"]["header"].text or "authorization").lower() == name:
            yield header.finding(f"route {route['name'].text} looks for the caller's token there")
            return


def _exchanged(root: Part, route: Part) -> Iterator[Finding]:
    exchange, asks = route["exchange"], "issuers" in route["subject"]
    if isinstance(exchange["authorization_server"].value, dict):
        yield exchange["authorization_server"].finding("should be one server where a token of ours is exchanged")
    if not asks and not _is_egress(root, route):
        yield exchange["subject_token"].finding(
            "whoever reaches this ingress listener would call as us; name the callers' issuers in subject.issuers"
        )
    elif not asks and "subject" in route:
        yield route["subject"].finding("has no effect without issuers, where no token is asked for")


def _is_egress(root: Part, route: Part) -> bool:
    listener = listeners.named(root).get(listeners.listener_of(root, route))
    return listener is not None and listener["direction"].text == "egress"
