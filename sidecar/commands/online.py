"""``sidecar check --online``: asks every issuer and authorization server of a file what can be asked without a caller.

Of each its metadata, its keys and its time; of an authorization server one exchange of a subject token that
nobody issued, of an introspecting issuer what it says of a token that nobody knows. Whoever judges these has accepted
us first (RFC 6749 §5.2, RFC 7662 §2.3), and issues nothing. The ways to ask are the gateway's own.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final, NamedTuple

import sidecar
from sidecar.caller.verify import TrustedIssuer
from sidecar.commands.configuration import first_key
from sidecar.commands.lint.verdict import Lint
from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigProblem, Path
from sidecar.exchange.dialects import Dialect
from sidecar.exchange.dialects.errors import Cause
from sidecar.exchange.grants import GRANTS
from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.tokens import ACCESS_TOKEN
from sidecar.oauth.introspection import IntrospectionUnavailable
from sidecar.oauth.jwks import IssuerUnavailable, KeySource
from sidecar.oauth.jwt import generate_key, sign
from sidecar.oauth.server import ErrorReply, ServerError, ServerTimeout, TokenReply
from sidecar.observe.metrics import Metrics
from sidecar.rotation import Rotation
from sidecar.snapshot.client_auth import source_of
from sidecar.snapshot.parts import Parts
from sidecar.snapshot.peers import Peers, compile_peers

RULE: Final = "online"
#: Seconds that a server's clock may differ, where no ``leeway`` says: our assertions live no longer than twice that.
CLOCKS: Final = 30.0
_KEYS: Final = ("jwks_file", "jwks_uri", "discovery_url", "issuer", "authorization_server")
_ENDPOINT: Final = ("token_endpoint", "discovery_url", "issuer")
_NOT_ACCEPTED: Final = "it does not accept who we say we are: have the same there and here"
#: A part of why a peer gave no answer, the key of its section that counts (else the address's), and what to do.
_ADVICE: Final = (
    ("proxy", "proxy_url", "see whether it is up, and lets us through to that host"),
    ("certificate is not trusted", "tls", "name its authority in ca_file, or the name it has in server_name"),
    ("TLS", "tls", "see whether that port speaks TLS, and wants a certificate of ours"),
    ("names another issuer", "", "write issuer as that document does, to the last character"),
    ("does not resolve", "", "see whether the name is right, and known from here"),
    ("connection", "", "see whether it is up, and may be reached from here"),
    ("in time", "", "see whether it is up, and may be reached from here"),
    ("redirect", "", "give the address that it leads to: redirects are not followed"),
)


class Answers(NamedTuple):
    """What there is to tell. errors: what would fail requests. lints: what may. asked: how many were asked."""

    errors: tuple[ConfigProblem, ...] = ()
    lints: tuple[Lint, ...] = ()
    asked: int = 0


class _Found(NamedTuple):
    path: Path
    message: str
    fails: bool = True


def ask(loaded: Loaded, clock: Clock = SYSTEM_CLOCK) -> Answers:
    """Ask all of them at once; each has the time that the gateway would give it. Nothing is left open."""
    return asyncio.run(_ask(loaded, clock))


async def _ask(loaded: Loaded, clock: Clock) -> Answers:
    parts = Parts()
    peers = compile_peers(loaded, clock, Metrics(sidecar.__version__), Rotation(), parts)
    asked = _Asked(loaded, peers)
    try:
        told = await asyncio.gather(*map(_all, [*map(asked.issuer, peers.issuers), *map(asked.server, peers.servers)]))
    finally:
        for close in parts.closers():
            await close()
    errors, lints = [], []
    for found in (found for each in told for found in each):
        problem = loaded.problem(found.path, found.message)
        if found.fails:
            errors.append(problem)
        else:
            lints.append(Lint(problem, RULE))
    return Answers(tuple(sorted(errors)), tuple(sorted(lints)), len(told))


async def _all(findings: AsyncIterator[_Found]) -> list[_Found]:
    return [finding async for finding in findings]


class _Asked:
    """Those of one file, asked one by one; each method tells what it found."""

    def __init__(self, loaded: Loaded, peers: Peers) -> None:
        self._config = loaded.config
        self._peers = peers

    async def issuer(self, name: str) -> AsyncIterator[_Found]:
        """Ask a trusted issuer for its keys, and about a token that it never issued."""
        issuer, section = self._peers.issuers[name], self._config.trusted_issuers[name]
        path: Path = ("trusted_issuers", name)
        if issuer.keys is not None and (reason := await _without_keys(issuer.keys)) is not None:
            yield _unreachable(path, first_key(path, section, _KEYS), reason)
        async for found in self._introspection(path, issuer):
            yield found
        for found in self._skew(path, (*path, "leeway"), issuer.leeway):
            yield found

    async def _introspection(self, path: Path, issuer: TrustedIssuer) -> AsyncIterator[_Found]:
        section = self._config.trusted_issuers[issuer.name].introspection
        if issuer.introspection is None or section is None:
            return
        path = (*path, "introspection")
        try:
            claims = await issuer.introspection.introspect(secrets.token_urlsafe(32))
        except IntrospectionUnavailable as error:
            if "invalid_client" in error.reason:
                said = f"{error.reason}; {_NOT_ACCEPTED}"
                yield _Found((*path, "client_auth", source_of(section.client_auth)), said)
            else:
                yield _unreachable(path[:2], first_key(path, section, ("endpoint", "client_auth")), error.reason)
        else:
            if claims is not None:
                yield _Found(path, "it says that a token which nobody issued is active; ask another endpoint")

    async def server(self, name: str) -> AsyncIterator[_Found]:
        """Ask a server for its keys, and for an exchange of a void subject token."""
        section = self._config.authorization_servers[name]
        path: Path = ("authorization_servers", name)
        endpoint = first_key(path, section, _ENDPOINT)
        try:
            form = _void(self._peers.dialects[name], section.extra_params)
            answer = await self._peers.servers[name].token_request(form, b"")
        except ServerTimeout:
            yield _Found((*path, "timeout"), "no answer in time; see whether it is up, or give it longer")
        except ServerError as error:
            yield _unreachable(path, endpoint, error.reason)
        else:
            for found in self._judged(path, endpoint, name, answer):
                yield found
            async for found in self._own_keys(path, section.issuer):
                yield found
        for found in self._skew(path, path, CLOCKS):
            yield found

    def _judged(self, path: Path, endpoint: Path, name: str, answer: TokenReply | ErrorReply) -> Iterator[_Found]:
        """What an answer to a void subject token says about us; of most refusals, that we were accepted."""
        if isinstance(answer, TokenReply):
            yield _Found(endpoint, "it issued a token for a subject token that nobody issued; ask another endpoint")
            return
        section = self._config.authorization_servers[name]
        code = answer.error
        cause = self._peers.dialects[name].cause_of(code, answer.description) if code is not None else None
        known = code if cause is not None else "without an OAuth error code that is known"
        said = f"the server said {answer.status} {known}"
        if cause is Cause.CREDENTIALS:
            yield _Found((*path, "client_auth", source_of(section.client_auth)), f"{said}; {_NOT_ACCEPTED}")
        elif cause is Cause.CLIENT:
            advice = "this client may not exchange: allow it the grant there"
            yield _Found((*path, "client_auth", "client_id"), f"{said}; {advice}")
        elif code == "unsupported_grant_type":
            grant = "grant" if section.grant is not None else "dialect"
            yield _Found(
                (*path, grant), f"{said}; this server has no such grant: turn it on there, or name its dialect"
            )
        elif cause is None or cause is Cause.SERVER:
            yield _Found(endpoint, f"{said}, so nobody can tell whether it accepts us", fails=False)

    async def _own_keys(self, path: Path, iss: str | None) -> AsyncIterator[_Found]:
        """Ask for the keys that verify what a server issues, where no trusted issuer has them."""
        issued = self._peers.issued_keys.get(iss or "")
        if issued is None or any(issuer.keys is issued.source for issuer in self._peers.issuers.values()):
            return
        if (reason := await _without_keys(issued.source)) is not None:
            yield _unreachable(path, (*path, "issuer"), reason)

    def _skew(self, path: Path, at: Path, allowed: float) -> Iterator[_Found]:
        """Hold a peer's clock against ours. Its Date tells whole seconds."""
        known = [client.ahead for client in self._peers.clients.get(".".join(map(str, path)), ())]
        ahead = max((seconds for seconds in known if seconds is not None), key=abs, default=0.0)
        if abs(ahead) > allowed + 1:
            differs = f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
            yield _Found(at, f"{differs}, more than {allowed:.0f} s; set them both by a time server", fails=False)


def _void(dialect: Dialect, extra: Mapping[str, str]) -> list[tuple[str, str]]:
    """The form of an exchange that nobody may grant: a JWT of nobody, long expired, by a key that nobody has."""
    claims = {"iss": "urn:sidecar:check", "sub": "nobody", "iat": 0, "exp": 1, "jti": secrets.token_urlsafe()}
    grant = GRANTS[dialect.grant]
    form = [("grant_type", grant.grant_type), *grant.constants, *extra.items()]
    form.append((grant.subject_token, sign(claims, generate_key("ES256", "check"), "ES256")))
    if grant.names_types:
        form.append(("subject_token_type", next(iter(dialect.subject_token_types), ACCESS_TOKEN)))
    return form


async def _without_keys(source: KeySource) -> str | None:
    """Why there are no keys; None where there are."""
    try:
        await source.keys()
    except IssuerUnavailable as error:
        return error.reason
    return None


def _unreachable(peer: Path, where: Path, reason: str) -> _Found:
    """A peer that gives no usable answer, with the key that leads there and what may be wrong with it."""
    for word, key, advice in _ADVICE:
        if word in reason:
            return _Found((*peer, key) if key else where, f"{reason}; {advice}")
    return _Found(where, f"{reason}; see what is at this address")
