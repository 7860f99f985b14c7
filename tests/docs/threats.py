"""The page about threats: what the gateway protects, from whom, and which tests hold each promise.

Tests say themselves which threats they are about, with the marker ``threat``. A threat that no test names needs a
reason here; without one, or with a marker that names no threat, the page can't be made.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Threat:
    """One attack, what comes of it here, and why no test shows that, where none does."""

    attack: str
    outcome: str
    untested: str = ""


#: Numbers stay: what is gone leaves a gap.
THREATS: Final[Mapping[str, Mapping[str, Threat]]] = {
    "The token": {
        "S1": Threat("the exchange fails, and the request goes on with the raw token or with none", "a refusal; the upstream is not even connected to"),
        "S2": Threat("two `Authorization` fields, of which the upstream reads the other one", "400"),
        "S3": Threat("the token in a second place: query, cookie, another field, a WebSocket's subprotocol", "400, or the field is removed; before a head is written it is searched once more"),
        "S4": Threat("an empty, blank, malformed or huge token, which a server might take for none and issue a token for the client", "401 or 400; no server is asked"),
        "S5": Threat("the authorization server answers with something that was not asked for: another type, a wider scope, another audience, another person", "502; nothing is used or kept"),
        "S6": Threat("the upstream sends the issued token back in a header field or reason phrase", "removed from the head; bodies are not read"),
        "S7": Threat("the caller sends a field that the gateway would set", "the gateway's value alone arrives, or none"),
        "S8": Threat("an error page repeats credentials", "error bodies are constant sentences"),
        "S9": Threat("a token in a log, at whatever level, in a traceback or in a `repr`", "every sink is searched for every secret, in several encodings"),
        "S10": Threat("a library quotes a secret in its error message", "messages of others are never passed on, only class names"),
        "S11": Threat("line breaks or quotes in a path, a field or a server's text forge a log line or receipt", "one line is one JSON object, whatever is in it"),
    },
    "The cache": {
        "S12": Threat("the key leaves out something that makes two tokens differ", "form and key are made from one list"),
        "S13": Threat("parts of a key run together: `a`+`bc` is `ab`+`c`", "each part is preceded by its length, then all are hashed"),
        "S14": Threat("a forged token with somebody's `sub` meets their entry", "only a verified token is looked up, by its whole text"),
        "S15": Threat("an issued token is used after the subject token's end", "the deadline is the earlier of both"),
        "S16": Threat("callers who wait for one exchange, or share a connection, get each other's token or answer", "one flight per key; a connection is used again only after a clean end"),
        "S17": Threat("the time of a look-up tells whether a token is known", "", "a key is the SHA-256 over the whole ask, token included, so a near miss is as far off as any other. That a hit is faster than an exchange can be seen by whoever holds the whole token, and is not hidden from them"),
        "S18": Threat("junk tokens push good entries out", "refusals are kept apart, and few"),
        "S19": Threat("under many keys at once, a lock is lost and exchanges double", "one exchange per key; how many run at once is bounded, and nothing under way is evicted"),
    },
    "Routing": {
        "S20": Threat("dot segments, encoded separators, `;`, `//`, double encoding: the path that was matched is not the one that is served", "400 for whatever has two readings; what is matched is forwarded byte for byte"),
        "S21": Threat("a fragment in the target", "400"),
        "S22": Threat("a field such as `X-Original-URL`, or the query, chooses the route", "neither is looked at; fields that a route names itself excepted"),
        "S23": Threat("an encoded line break gets by a pattern", "400 before any matching; patterns are no regular expressions"),
        "S24": Threat("`Host` in other case, with a dot, a port, an address form, twice", "one normal form, or 400; the upstream's `Host` is its own unless configured"),
        "S25": Threat("absolute, authority or asterisk form to reach somewhere else", "400 unless it says what `Host` says; connections go where the route says"),
        "S26": Threat("a token's `jku`, `x5u`, `iss` or `jwk` makes the gateway connect or believe", "keys come from the configured issuer alone; nothing that a token names is asked"),
        "S27": Threat("a name is made to resolve to another address after it was checked", "", "no address comes from a request, so there is none to check: peers and upstreams are named in the configuration, and https verifies who answers"),
        "S28": Threat("`CONNECT`, `TRACE`, unknown methods, `X-HTTP-Method-Override`", "501 for the first two; the method on the wire alone counts"),
        "S29": Threat("made-up `X-Forwarded-*` and `Forwarded`", "replaced, unless the peer is in `trusted_proxies`; by default nobody is"),
        "S30": Threat("the admin listener is reached through the data port, or by a page in a browser", "a listener of its own, for reading, that checks `Host` and `Origin`"),
    },
    "Framing": {
        "S31": Threat("`Content-Length` and `Transfer-Encoding` that two readers take differently", "refused, or exactly one request at the upstream"),
        "S32": Threat("chunk extensions, trailers, odd line ends and sizes in chunks", "refused or dropped; bodies are framed anew"),
        "S33": Threat("folded lines, bare line feeds, NUL and control bytes", "400, for every byte in every place that must not hold it"),
        "S34": Threat("HTTP/0.9, HTTP/2.0 in text, chunks in HTTP/1.0", "505 or 400"),
        "S35": Threat("an upgrade with a body, early bytes, h2c, a 101 nobody asked for", "only WebSocket, only where the route says so; nothing passes before a verified 101"),
        "S36": Threat("many pipelined requests", "one after the other, answered in order"),
        "S37": Threat("an upstream says something on an idle connection, for the next caller", "the connection is given up; the next request has another"),
        "S38": Threat("the answer comes before the request was sent to its end", "the upload stops and the connection is never used again"),
        "S39": Threat("a response with two lengths, control bytes, folded lines or an odd status", "502, and nothing of it passes"),
        "S40": Threat("huge heads, very many fields", "431 or 414 at the configured size"),
        "S41": Threat("silent and slow callers", "cut off after the configured silence; how many there are is bounded"),
        "S42": Threat("a small body that inflates", "nothing is inflated; from servers only identity coding is taken, up to 64 KiB"),
        "S43": Threat("a size limit that chunks get by", "bytes are counted as they come"),
    },
    "Header fields": {
        "S44": Threat("`Connection` names a field that the gateway sets", "what it names is removed first, then ours are added"),
        "S45": Threat("`_` for `-`: `X_Forwarded_For`", "400 where the name stands for one that counts"),
        "S46": Threat("one caller's cookies are sent for another", "nothing keeps cookies"),
        "S47": Threat("a redirect takes credentials elsewhere", "none is followed; an upstream's goes to the caller"),
        "S48": Threat("`Location` tells inner names, or is made from a request", "passes as it came; the gateway makes none"),
        "S49": Threat("the environment (proxies, netrc) has a say in where credentials go", "it has none"),
        "S50": Threat("fields that occur twice become one", "bytes and order stay"),
    },
    "WebSockets": {
        "S51": Threat("a page of another site opens one with the caller's cookies", "off unless configured; origins are checked"),
        "S52": Threat("frames that are huge, endless or interleaved", "passed on as they come, in bounded memory; only their heads are followed"),
        "S53": Threat("it outlives its token", "it ends with the issued token"),
    },
    "Approvals": {
        "S69": Threat("an approver is down, hangs, or answers with something else, and the request goes on", "503; only JSON's own `true` is a yes, and there is no switch"),
        "S70": Threat("a yes for one request is used for another: other token, agent, path, query, tool, arguments, claimed task or scope", "it is bound to all of them, and by default to the one request"),
        "S71": Threat("a yes that has ended, or was withdrawn, goes on counting by way of a kept token", "a monotonic clock; nothing got under it is kept longer; a no is never remembered"),
        "S72": Threat("the approver, or its log, learns a token", "it is told claims and names; what looks like a token in a path or claim is left out"),
        "S73": Threat("metadata of the upstream, or of ours that is not true, leads a caller to another authorization server", "an upstream's is replaced or removed; ours is held against the route, or the file is refused"),
    },
    "Signatures": {
        "S54": Threat("`alg: none`, a public key as shared secret", "one list of algorithms per issuer; a key has one algorithm"),
        "S55": Threat("unknown `crit`, `b64: false`, JSON serialization", "401"),
        "S56": Threat("embedded keys and hostile `kid`", "a `kid` is compared, and nothing else"),
        "S57": Threat("encrypted tokens as bombs", "five parts are no token here"),
        "S58": Threat("a flood of unknown `kid`, or a failing key set", "one look in 30 seconds; a failure takes no key away"),
        "S59": Threat("duplicate `kid`, mixed sets, weak keys, other curves", "what is no good key for one algorithm verifies nothing"),
        "S60": Threat("TLS without verification", "there is no such switch; nothing is sent before the handshake has ended well"),
    },
    "Process and configuration": {
        "S61": Threat("YAML that means two things or grows without end", "refused with its place"),
        "S62": Threat("a secret that is missing becomes an empty one", "the file is refused"),
        "S63": Threat("metrics grow with what callers send", "labels are names from the file and fixed lists"),
        "S64": Threat("each unknown path leaves something behind", "nothing is kept of it"),
        "S65": Threat("files are served that should not be", "no listener serves files"),
        "S66": Threat("checks that vanish under `python -O`", "no `assert` in the package"),
        "S67": Threat("input that takes quadratic time to judge", "linear; paths are matched without regular expressions"),
        "S68": Threat("a path that is exempt from limits", "no path of the data port is; probes have their own listener"),
    },
    "Tools": {
        "S69": Threat("a body that the tool server reads as another call than the gateway: members twice or in another case, batches, other encodings, text behind the end", "400 for whatever has two readings; what is judged goes on byte for byte"),
        "S70": Threat("a head that names another method or tool than the body", "400"),
        "S71": Threat("a tool's name in another case, with spaces or NUL, comes under a wider rule", "403"),
        "S72": Threat("a session's id, stolen or guessed, in place of a token", "401: every request carries a token, and is judged by that"),
        "S73": Threat("a page in a browser reaches a tool server on loopback", "403 for every origin that the file does not name"),
        "S74": Threat("a yes for one call is used for another", "it counts for the same token, tool and named arguments, and no longer than it says"),
    },
    "Proxies that ask": {
        "S80": Threat("a caller adds a field that names another request than the proxy holds", "400, or the field says nothing; the proxy's own decide"),
        "S81": Threat("a proxy asks in another form than is configured, or shows a body", "400; nothing is guessed"),
        "S82": Threat("the proxy goes on with the caller's token in a field that it was not told to clear", "the answer names every such field; the configurations shown are run against attackers"),
        "S83": Threat("the sidecar is gone, and the proxy forwards all the same", "the configurations shown refuse"),
        "S84": Threat("somebody else than the proxy asks, and is told issued tokens", "the listener is on loopback or a unix socket, or asks for certificates"),
    },
}  # fmt: skip

_PAGE = """# Threat model

What the gateway protects, whom it trusts, what it promises, and which tests hold the promises. Reports of what is
missing are welcome: [SECURITY.md](../SECURITY.md).

## What is worth having

| | lives | who could use it |
| --- | --- | --- |
| subject token | in the gateway's memory, so that it is verified once: to its end at most, and as one of a bounded number | whoever has it, at everything that trusts its issuer |
| issued token | in the gateway's memory to its deadline | whoever has it, at the upstream it was made for |
| credentials of the gateway at the authorization server | in files, and in memory | whoever has them can exchange any subject token as the gateway may |
| receipts | where `receipts.sink` says | whoever reads them knows who called what, when; no token is in them |

## Whom it trusts

![Between caller and gateway, gateway and upstream, gateway and authorization server, and around the pod are borders](trust.svg)

| border | across it | is trusted for |
| --- | --- | --- |
| 1, to the caller | requests, byte by byte | nothing. A token counts once it is verified |
| 2, to the upstream | responses, byte by byte | what it says to its own caller. Never for framing, nor for anything another caller gets |
| 3, to issuers and authorization servers | documents, keys, replies | what their configured place and TLS vouch for. A reply is still held against what was asked |
| 4, around the pod | the configuration, files with secrets, the admin port, the control socket | whoever can write the file decides everything. Team files ([includes](configuration.md)) may do what their include allows, and nothing else |

Somebody who can read the process' memory, or its files with secrets, has what it has. That is for the platform to
prevent: [Deployment](deployment.md) shows the confinement that our manifests ask for.

## What is promised

- A subject token goes to the authorization server that its route names and, where its issuer says whether it is active,
  to that issuer; nowhere else. What can't be exchanged is refused, never passed on.
- An issued token goes to the upstream that it was asked for, in one field, and only in requests of the caller it was
  issued for.
- One request becomes one request or none, and one answer belongs to it.
- What is matched is what is forwarded, byte for byte.
- An answer that broke off never looks complete.
- Nothing a caller sends can make memory, files, metrics or connections grow without a bound that the configuration sets.

## What is not

- **Bodies are not read.** An upstream can write the issued token into one, and a caller its own token.
- **Containers of a pod share a network.** On egress an application can go round the gateway; a network policy of the
  pod can't tell the two apart.
- **An issued token is a bearer token**, unless the upstream asks for more: whoever takes it from the upstream can use it
  there to its end. Narrow audiences and short lifetimes are the remedy, and the route's to ask for.
- **A withdrawn token** that is verified by its signature is good to its end; issuers that are asked about each token
  (`introspection`) say sooner.
- **Who asks can be seen from outside**: a first request takes an exchange longer than the next one.
- **Many honest callers are still many.** Limits keep the process alive; they don't tell an attacker from a crowd.
- The embedded authorization server and the demo are for development.

## Threats, and what holds against them

Every row names the tests that fail if it no longer holds, or says why there is none. The tests name the row too:
`@pytest.mark.threat("S20")`.

What agents do that were talked into something is attacked as a whole in [tests/redteam](../tests/redteam): other tools,
wider scopes, somebody else's approval, forged actors, approvers that lie. `python -m tests.redteam.mutate` takes out the
checks one at a time, and ends with an error if nobody misses one.
{tables}"""


def page() -> str:
    """Return the page. ValueError: a marker names no threat, or a threat has neither test nor reason."""
    named = marked(TESTS)
    known = {number for group in THREATS.values() for number in group}
    if strangers := named.keys() - known:
        raise ValueError(f"markers name threats that are none: {', '.join(sorted(strangers))}")
    tables = []
    for title, group in THREATS.items():
        tables.append(f"\n### {title}\n\n| | attack | what comes of it | held by |\n| --- | --- | --- | --- |\n")
        tables.extend(_row(number, threat, named.get(number, {})) for number, threat in group.items())
    return _PAGE.format(tables="".join(tables))


def _row(number: str, threat: Threat, tests: Mapping[str, list[str]]) -> str:
    if not tests and not threat.untested:
        raise ValueError(f"{number} has neither a test nor a reason why it has none")
    held = "<br>".join(
        f"[{file.removesuffix('.py').replace('test_', '')}](../tests/{file}): {', '.join(names)}"
        for file, names in tests.items()
    )
    outcome = "; ".join(filter(None, (threat.outcome, threat.untested)))
    return f"| {number} | {threat.attack} | {outcome} | {held or 'no test'} |\n"


def marked(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return which tests name a threat: its number, then their files, then the names of the tests in words."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.threat(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for number in _numbers(node):
                    tests = found.setdefault(number, {}).setdefault(path.relative_to(folder).as_posix(), [])
                    tests.append(node.name.removeprefix("test_").replace("_", " "))
    return found


def _numbers(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.threat":
            yield from (ast.literal_eval(argument) for argument in decorator.args)
