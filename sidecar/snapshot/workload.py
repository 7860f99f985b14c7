"""Compiles the workload tokens: from what file, from which server, or out of which field of a request they come."""

from collections.abc import Callable, Sequence
from functools import partial

from sidecar.caller.take import take
from sidecar.caller.verify import Verifier
from sidecar.config.loaded import Loaded
from sidecar.exchange.dialects import Dialect
from sidecar.exchange.schedule import Lifetimes
from sidecar.exchange.workload.borne import BorneToken
from sidecar.exchange.workload.client_credentials import ClientCredentials
from sidecar.exchange.workload.file import WorkloadTokenFile, workload_token_file
from sidecar.exchange.workload.source import WorkloadSource
from sidecar.model.clock import Clock
from sidecar.model.request import RequestHead
from sidecar.model.tokens import ACCESS_TOKEN, Subject
from sidecar.oauth.server import AuthorizationServer
from sidecar.rotation import FileError, Rotation
from sidecar.snapshot.parts import Parts
from sidecar.snapshot.peers import Peers


def compile_workload_tokens(
    loaded: Loaded,
    peers: Peers,
    verifier: Verifier,
    trusts: Callable[[str | None], bool],
    rotation: Rotation,
    parts: Parts,
    clock: Clock,
) -> dict[str, WorkloadSource]:
    """Return all of them that could be made, by name; the problems of the others go to the peers.

    trusts: whether a peer is a trusted hop. parts: where they have what they hold.
    """
    sources: dict[str, WorkloadSource] = {}
    for name, section in loaded.config.workload_tokens.items():
        key, token_type = ("workload_token", name), section.type or ACCESS_TOKEN
        if section.header is not None:
            header, issuer = section.header.lower(), section.issuer or ""
            sources[name] = BorneToken(name, partial(_borne, verifier, trusts, header, issuer))
        elif (asked := section.client_credentials) is not None:
            if (server := peers.servers.get(loaded.config.server_of(asked))) is None:
                continue  # its own problem is told
            made_of = server, peers.dialects[server.name], asked.scope, lifetimes_of(loaded, server.name)
            make = partial(_client_credentials, name, token_type, *made_of, clock)
            sources[name] = parts.keep(key, (token_type, made_of), make, ClientCredentials.close)
        elif section.file is not None:
            try:
                sources[name] = parts.keep(key, section, partial(_file, name, token_type, section.file, rotation))
            except FileError as error:
                peers.problems.append(loaded.problem(("workload_tokens", name, "file"), str(error)))
    return sources


def lifetimes_of(loaded: Loaded, server: str) -> Lifetimes:
    """Return what the file says about the time that a server's tokens are used."""
    cache = loaded.config.cache
    return Lifetimes(
        early_expiry=cache.early_expiry,
        refresh_ahead=cache.refresh_ahead,
        max_lifetime=cache.max_lifetime,
        default_lifetime=loaded.config.authorization_servers[server].default_lifetime,
    )


async def _borne(
    verifier: Verifier, trusts: Callable[[str | None], bool], header: str, issuer: str, request: RequestHead
) -> Subject:
    """Take a token out of the field where a trusted hop puts it, and verify it as one of this issuer."""
    credential = take(request, header, trusted_peer=trusts(request.peer), ingress=False, drop_cookies=False)
    return await verifier.verify(credential, frozenset({issuer}))


def _file(name: str, token_type: str, path: str, rotation: Rotation) -> WorkloadTokenFile:
    token = workload_token_file(name, token_type, path)
    rotation.watch(token.file)
    return token


def _client_credentials(
    name: str,
    token_type: str,
    server: AuthorizationServer,
    dialect: Dialect,
    scope: Sequence[str],
    lifetimes: Lifetimes,
    clock: Clock,
) -> ClientCredentials:
    return ClientCredentials(
        name, token_type, server=server, dialect=dialect, scope=scope, lifetimes=lifetimes, clock=clock
    )
