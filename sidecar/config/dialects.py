"""What a route may not ask of its authorization server, and switches of dialects that are none, told at their keys.

Works on the file's content, as ``rules`` does; what can't be read is passed over here. What a server can be asked for
is ``exchange.dialects.fit``'s, what a switch takes ``exchange.dialects.overrides``' (RFC 8693 §2.1).
"""

from collections.abc import Iterator
from dataclasses import replace

from sidecar.config import values
from sidecar.config.problems import Finding
from sidecar.config.tree import Part
from sidecar.exchange.dialects import DIALECTS, Dialect
from sidecar.exchange.dialects.fit import misfit_of_type, misfits
from sidecar.exchange.dialects.overrides import with_overrides
from sidecar.exchange.grants import GRANTS
from sidecar.model.route import Exchange
from sidecar.model.tokens import ACCESS_TOKEN


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
        named = route["exchange"]["authorization_server"].text or (next(iter(servers)) if len(servers) == 1 else "")
        if isinstance(route["exchange"].value, dict) and (dialect := dialects.get(named)) is not None:
            yield from _misfits(root, route, named, dialect)


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


def _misfits(root: Part, route: Part, server: str, dialect: Dialect) -> Iterator[Finding]:
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
    for name in _texts(route["subject"]["issuers"]) or tuple(name for name, _ in root["trusted_issuers"].members()):
        called = root["trusted_issuers"][name]["subject_token_type"].text
        try:
            token_type = ACCESS_TOKEN if called is None else values.token_type(called)
        except ValueError:
            continue
        if (why := misfit_of_type(dialect, token_type)) is not None:
            yield part["authorization_server"].finding(
                f"{why}, which trusted_issuers.{name}.subject_token_type calls them; "
                f"{overrides}.subject_token_types says otherwise"
            )


def _texts(part: Part) -> tuple[str, ...]:
    return tuple(item.text for item in part.items() if item.text is not None)
