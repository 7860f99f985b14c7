"""Makes the page about errors: every kind of refusal, from the code that shows it and the code that says it."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from sidecar.exchange.dialects.errors import DEFAULT_ERRORS
from sidecar.exchange.dialects.errors import KINDS as OF_CAUSES
from sidecar.faces.problems import KINDS, OVERSIZE, PROBLEM_TYPE, Row
from sidecar.model.refusal import Kind
from tests.docs.pages import ROOT
from tests.docs.reference import Undescribed, _anchor
from tests.docs.refusals import ABOUT, About

PACKAGE: Final = ROOT / "sidecar"

HEAD: Final = f"""\
# Errors

A request that does not go on is answered with `application/problem+json` (RFC 9457):

```text
{{"type":"{PROBLEM_TYPE}invalid-token","title":"The token is not accepted","status":401,
"detail":"The token is not valid here.","error":"invalid_token","request_id":"4f1c…"}}
```

`type` ends in the *kind*, one word for one reason; the metric
[`token_sidecar_rejections_total`](metrics.md) has it as `reason` and the receipt as `decision`. `detail` is one of a
few constant sentences: nothing of a token, a header or an authorization server's text is ever in it. Operators
find more in the receipt of the same `request_id`: `finding` says what exactly was found, and often the key that
decided. `sidecar receipts FILE --story REQUEST_ID` tells it all; `sidecar explain` asks what would become of a request.

A response that has begun is never given such an answer: its connection is cut, so that nobody takes it for complete.
Statuses that are not here are the upstream's own.
"""


def page() -> str:
    """Return the page. Undescribed: a kind has no word about it, or a word is about none."""
    if unknown := [kind.value for kind in Kind if kind not in ABOUT]:
        raise Undescribed(f"no word about {', '.join(unknown)}: tests/docs/refusals has them")
    if gone := ABOUT.keys() - set(Kind):
        raise Undescribed(f"no such kind: {', '.join(sorted(gone))}")
    said = sentences()
    parts = [HEAD, "| kind | status | `error` | who can repair it |", "| --- | ---: | --- | --- |"]
    for kind, row in KINDS.items():
        error = f"`{row.error}`" if row.error is not None else ""
        who = ", ".join(ABOUT[kind].who)
        parts.append(f"| [{kind.value}](#{_anchor(kind.value)}) | {_status(kind, row)} | {error} | {who} |")
    parts.append("")
    for kind, row in KINDS.items():
        parts += _part(kind, row, ABOUT[kind], sorted(said.get(kind, ())))
    parts += _codes()
    return "\n".join(parts)


def _status(kind: Kind, row: Row) -> str:
    return ", ".join(map(str, sorted(set(OVERSIZE.values())))) if kind is Kind.TOO_LARGE else str(row.status)


def _part(kind: Kind, row: Row, about: About, said: list[str]) -> Iterator[str]:
    shown = [f"Status {_status(kind, row)}"]
    if row.error is not None:
        shown.append(f"`error` is `{row.error}`" + ("" if row.registered else ", in the body alone"))
    if row.status in (401, 403):
        shown.append("with a `WWW-Authenticate: Bearer` challenge")
    if row.status == 503:
        shown.append("with `Retry-After`")
    yield f"## {kind.value}\n"
    yield f"{row.title}. {', '.join(shown)}.\n"
    yield f"{about.meaning}\n"
    yield f"**Who can repair it:** {', '.join(about.who)}. {about.repair}\n"
    looks = [f"[`{heading}.{key}`](configuration.md#{_anchor(heading)})" for heading, key in about.keys]
    looks += [f"[`sidecar {name}`](commands.md#sidecar-{name})" for name in about.commands]
    if looks:
        yield f"**Look at:** {', '.join(looks)}.\n"
    if said:
        yield "`detail` is one of these:\n" if len(said) > 1 else "`detail` is:\n"
        yield "\n".join(f"- {sentence}" for sentence in said) + "\n"


def _codes() -> Iterator[str]:
    yield "## What an authorization server's errors become\n"
    yield (
        "The code decides, where its [dialect](authorization-servers.md) does not say otherwise. A token of the\n"
        "gateway's own in the caller's place is never the caller's fault: `exchange-misconfigured`. No answer in\n"
        "time is `exchange-timeout`; no connection, 429 and 5xx without a code are `exchange-unavailable`; everything\n"
        "else is `exchange-unusable`.\n"
    )
    yield "| `error` of the token endpoint | is about | kind |"
    yield "| --- | --- | --- |"
    for code, cause in DEFAULT_ERRORS.items():
        kind = OF_CAUSES[cause].value
        yield f"| `{code}` | {cause.value} | [{kind}](#{_anchor(kind)}) |"
    yield ""


@cache
def sentences() -> Mapping[Kind, frozenset[str]]:
    """Return what callers may be told with each kind, as the code says it; … stands for what differs."""
    found: dict[Kind, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for kind, sentence in _said_in(path):
            found.setdefault(kind, set()).add(sentence)
    return {kind: frozenset(told) for kind, told in found.items()}


def _said_in(path: Path) -> Iterator[tuple[Kind, str]]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("refuse", "Refusal") and len(node.args) > 1:
            pairs = [(node.args[0], node.args[1])]
        elif isinstance(node, ast.Dict):
            pairs = [pair for pair in zip(node.keys, node.values, strict=True) if not isinstance(pair[1], ast.Call)]
        for first, second in pairs:
            if isinstance(first, ast.Attribute) and getattr(first.value, "id", "") == "Kind":
                told = list(_texts(second, module, tree))
                if not told:
                    raise Undescribed(f"{module}:{second.lineno}: a refusal's sentence can't be read from the code")
                yield from ((Kind[first.attr], text) for text in told)


def _texts(node: ast.expr, module: str, tree: ast.Module) -> Iterator[str]:
    """What a text may be: itself, with … for parts that differ; for a name, the module's, or all it is ever set to."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.IfExp(body=body, orelse=other):
            yield from _texts(body, module, tree)
            yield from _texts(other, module, tree)
        case ast.Name(id=name) if isinstance(known := getattr(import_module(module), name, None), str):
            yield known
        case ast.Name(id=name):
            for each in ast.walk(tree):
                if isinstance(each, ast.Assign) and name in (getattr(target, "id", "") for target in each.targets):
                    yield from _texts(each.value, module, tree)
