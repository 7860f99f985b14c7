"""What a route may not ask of its authorization server, and switches of dialects that are none, told at their keys.

Works on the file's content, as ``rules`` does; what can't be read is passed over here. What a server can be asked for
is ``exchange.dialects.fit``'s, what a switch takes ``exchange.dialects.overrides``' (RFC 8693 §2.1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sidecar.config import values
from sidecar.config.problems import Finding
from sidecar.config.tree import Part
from sidecar.config.workload import is_ours
from sidecar.exchange.dialects import DIALECTS, Dialect
from sidecar.exchange.dialects.fit import misfit_of_type, misfits
from sidecar.exchange.dialects.overrides import with_overrides
from sidecar.exchange.grants import GRANTS
from sidecar.model.route import Exchange


def findings(root: Part) -> Iterator[Finding]:
    """Return which switches are none, and which routes don't fit the dialect of their server."""
    servers = dict(root["authorization_servers"].members())
    for server in servers.values():
        for name, switch in server["dialect_overrides"].members():
            try:
                with_overrides(Dialect(), {name: switch.value})
            except ValueError as error:
                yield switch.finding(error.args[1])
    dialects = {name: _dialect(server) for name, server in servers.items()}
    for route in root["routes"].items():
        if isinstance(route["exchange"].value, dict):
            for named, issuers in _asked(root, route).items():
                if (dialect := dialects.get(named)) is not None:
                    yield from _misfits(root, route, named, dialect, issuers)


def _asked(root: Part, route: Part) -> dict[str, list[str]]:
    """The servers that a route asks, each with the trusted issuers whose tokens are exchanged there."""
    issuers, servers = root["trusted_issuers"].members(), root["authorization_servers"].members()
    named = route["exchange"]["authorization_server"]
    if is_ours(route["exchange"]["subject_token"]):
        return {named.text or (servers[0][0] if len(servers) == 1 else ""): []}
    taken = _texts(route["subject"]["issuers"]) or tuple(name for name, _ in issuers)
    asked: dict[str, list[str]] = {}
    for issuer in taken:
        chosen = named["by_issuer"][issuer] if isinstance(named.value, dict) else named
        server = chosen.text or (servers[0][0] if len(servers) == 1 else "")
        asked.setdefault(server, []).append(issuer)
    return asked


def _dialect(server: Part) -> Dialect | None:
    """The dialect a server is said to speak, with those switches that are some; None where its name is none."""
    dialect = DIALECTS.get(server["dialect"].text or "rfc8693")
    if dialect is None or (server["grant"].text or dialect.grant) not in GRANTS:
        return None
    for name, switch in server["dialect_overrides"].members():
        try:
            dialect = with_overrides(dialect, {name: switch.value})
        except ValueError:
            continue
    return replace(dialect, grant=server["grant"].text or dialect.grant)


def _misfits(root: Part, route: Part, server: str, dialect: Dialect, issuers: Sequence[str]) -> Iterator[Finding]:
    part = route["exchange"]
    exchange = Exchange(
        authorization_server=server,
        audience=_texts(part["audience"]),
        resource=_texts(part["resource"]),
        scope=_texts(part["scope"]),
        requested_token_type=part["requested_token_type"].text,
        actor_token=part["actor_token"].text,
    )
    overrides = f"authorization_servers.{server}.dialect_overrides"
    expected = part["expect"]["audience"].value not in (None, "asked")
    for misfit in misfits(dialect, exchange, audience_expected=expected):
        at = part
        for key in misfit.key:
            at = at[key]
        other = f"; {overrides}.{misfit.switch} says otherwise" if misfit.switch is not None else ""
        yield at.finding(misfit.why + other)
    for name in issuers:
        issuer = root["trusted_issuers"][name]
        default = "id_token" if issuer["token_profile"].text == "id_token" else "access_token"
        try:
            token_type = values.token_type(issuer["subject_token_type"].text or default)
        except ValueError:
            continue
        if (why := misfit_of_type(dialect, token_type)) is not None:
            yield part["authorization_server"].finding(
                f"{why}, which trusted_issuers.{name}.subject_token_type calls them; "
                f"{overrides}.subject_token_types says otherwise"
            )


def _texts(part: Part) -> tuple[str, ...]:
    return tuple(item.text for item in part.items() if item.text is not None)
