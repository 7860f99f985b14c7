"""The page at ``/`` of the admin listener: the status for people, as one HTML document without a script's help.

The script beside it asks for this same document again and takes over what is different, so that rows are made here
alone. Only constant text and the status get in, and ``markup`` escapes all of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from sidecar.faces.attention import Concern, concerns
from sidecar.faces.figures import NOTHING, count, duration, rate, share, size
from sidecar.faces.markup import Content, Html, element, join
from sidecar.faces.problems import KINDS
from sidecar.model.refusal import Kind
from sidecar.model.status import IssuerStatus, RouteLately, RouteStatus, ServerStatus, Status

STYLE: Final = files("sidecar.faces").joinpath("status.css").read_bytes()
SCRIPT: Final = files("sidecar.faces").joinpath("status.js").read_bytes()
#: Its own style sheet, its own script, and what that asks for; no element of the page may make any other request.
POLICY: Final = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
#: Rows; more would hold up the event loop, and nobody reads them.
MOST_ROUTES: Final = 100
MOST_MATTERS: Final = 20


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    number: bool = False


def page(status: Status) -> bytes:
    """Return the document, UTF-8."""
    word = "Ready" if status.ready else "Not ready"
    matters = concerns(status)
    title = f"{word}, {len(matters)} to look at" if matters else word
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · token-exchange sidecar"),
        element("link", rel="stylesheet", href="status.css"),
        element("script", src="status.js", defer=""),
    )
    body = element(
        "body",
        element(
            "header",
            element("h1", "Token-exchange sidecar"),
            _about(status, word),
            element("p", class_="updates", id="updates"),
        ),
        element(
            "main",
            _attention(matters),
            _figures(status),
            _routes(status),
            _servers(status.authorization_servers),
            _issuers(status.trusted_issuers),
            _refusals(status.recent_refusals),
            _configuration(status),
        ),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n".encode()


def _about(status: Status, word: str) -> Html:
    return element(
        "p",
        _state(word, "good" if status.ready else "bad"),
        element("span", "as of ", _clock(status.time)),
        element("span", f"up {duration(status.uptime_seconds)}"),
        element("span", f"version {status.version}"),
        class_="about",
        id="about",
    )


def _attention(matters: Sequence[Concern]) -> Html:
    number = len(matters)
    told = {0: "Nothing needs attention.", 1: "1 matter to look at."}.get(number, f"{number} matters to look at.")
    rows = [
        element(
            "li",
            _state("Urgent" if matter.urgent else "Note", "bad" if matter.urgent else "warn"),
            element("span", matter.text),
            element("span", "runbook ", element("code", matter.runbook), class_="runbook") if matter.runbook else None,
        )
        for matter in matters[:MOST_MATTERS]
    ]
    if number > MOST_MATTERS:
        rows.append(element("li", f"And {count(number - MOST_MATTERS)} more."))
    listed = element("ul", *rows, class_="matters") if rows else None
    return _section("attention", "Attention", element("p", told, role="status"), listed)


def _figures(status: Status) -> Html:
    lately, cache = status.last_minute, status.cache
    queued = sum(server.queued for server in status.authorization_servers.values())
    shown = (
        ("Requests a second", rate(lately.requests_per_second), "last minute"),
        ("Answers 5xx", count(lately.answers.get("5xx", 0)), "last minute"),
        ("95 % answered within", _within(lately), "last minute"),
        ("In flight", count(status.requests_in_flight), "requests, now"),
        ("Exchanges waiting", count(queued), "for their turn, now"),
        ("Found in the cache", share(lately.hit_ratio), "of lookups, last minute"),
        (
            "Tokens cached",
            count(cache.entries),
            f"of {count(cache.max_entries)}; {size(cache.bytes)} of {size(cache.max_bytes)}",
        ),
        ("Oldest token served", duration(cache.oldest_token_seconds), "since it was asked for"),
        ("Event loop lag", duration(status.event_loop_lag_seconds), "worst of the last 15 s"),
        ("Receipts dropped", count(status.receipts_dropped), "since the start"),
    )
    figures = [
        element("div", element("dt", name), element("dd", value, " ", element("small", what)))
        for name, value, what in shown
    ]
    return _section("figures", "At a glance", element("dl", *figures, class_="figures"))


def _routes(status: Status) -> Html:
    columns = (
        _Column("Route"),
        _Column("A second", number=True),
        _Column("Answers"),
        _Column("Refused here"),
        _Column("From cache", number=True),
        _Column("95 % within", number=True),
        _Column("Since start", number=True),
    )
    shown, more = _most_telling(status.routes)
    several = len({route.listener for route in status.routes}) > 1
    rows = [
        (
            join(
                element("b", route.name),
                element("small", route.upstream + (f", on {route.listener}" if several else ""), class_="under"),
            ),
            rate(route.last_minute.requests_per_second),
            _counts(route.last_minute.answers, _class_tone),
            _counts(route.last_minute.refusals, lambda _: "warn"),
            share(route.last_minute.hit_ratio),
            _within(route.last_minute),
            join(
                count(route.requests),
                element("small", f"{count(route.refusals)} refused", class_="under"),
            ),
        )
        for route in shown
    ]
    caption = "Last minute, unless it says otherwise."
    if more:
        caption += f" {count(more)} quieter routes are left out; /status has all."
    return _section("routes", "Routes", _table(caption, columns, rows))


def _servers(servers: Mapping[str, ServerStatus]) -> Html:
    columns = (
        _Column("Server"),
        _Column("Last asked"),
        _Column("Breaker"),
        _Column("In flight", number=True),
        _Column("Waiting", number=True),
        _Column("Exchanges"),
        _Column("Mean", number=True),
        _Column("95 % within", number=True),
    )
    rows = [
        (
            element("b", name),
            _availability(server.available, "answered", "did not answer"),
            join(
                _state(server.breaker, {"closed": "good", "half-open": "warn"}.get(server.breaker, "bad")),
                element("small", f"left alone for {duration(server.pause_seconds)}", class_="under")
                if server.pause_seconds
                else None,
            ),
            count(server.in_flight),
            count(server.queued),
            _counts(server.last_minute.exchanges, lambda outcome: "" if outcome == "success" else "bad"),
            duration(server.last_minute.mean_seconds),
            _longest(server.last_minute.p95_seconds, measured=server.last_minute.mean_seconds is not None),
        )
        for name, server in servers.items()
    ]
    caption = "Exchanges and times are the last minute's."
    return _section("servers", "Authorization servers", _table(caption, columns, rows))


def _issuers(issuers: Mapping[str, IssuerStatus]) -> Html:
    columns = (
        _Column("Issuer"),
        _Column("Last asked"),
        _Column("Keys read", number=True),
        _Column("Serve on for", number=True),
    )
    rows = [
        (
            element("b", name),
            _availability(issuer.available, "answered", "did not answer"),
            _ago(issuer.keys_age_seconds),
            duration(issuer.keys_serve_seconds),
        )
        for name, issuer in issuers.items()
    ]
    caption = "How long the keys that are held serve on, should no newer ones be had."
    return _section("issuers", "Trusted issuers", _table(caption, columns, rows))


def _refusals(refusals: Mapping[str, int]) -> Html:
    columns = (_Column("Reason"), _Column("Told to callers"), _Column("Status"), _Column("Requests", number=True))
    rows = [
        (element("b", name), KINDS[Kind(name)].title, str(KINDS[Kind(name)].status), count(number))
        for name, number in refusals.items()
    ]
    return _section("refusals", "Refusals", _table("The last 15 minutes, on all routes.", columns, rows))


def _configuration(status: Status) -> Html:
    config = status.config
    good = _state("in use", "good")
    files = {config.file: config.errors, **{f"include {name}": errors for name, errors in config.includes.items()}}
    rows = [
        (
            element("b", name),
            join(
                _state("refused", "bad"),
                element("ul", *(element("li", element("code", error)) for error in errors), class_="errors"),
            )
            if errors
            else good,
        )
        for name, errors in files.items()
    ]
    caption = f"What serves was taken at {config.last_reload}."
    return _section("configuration", "Configuration", _table(caption, (_Column("File"), _Column("Present")), rows))


def _section(name: str, heading: str, *contents: Content) -> Html:
    return element("section", element("h2", heading, id=name), *contents, aria_labelledby=name)


def _table(caption: str, columns: Iterable[_Column], rows: Iterable[Iterable[Content]]) -> Html:
    """A table whose first column names its rows. Roles are said, since a narrow screen lays its cells out as blocks."""
    columns = tuple(columns)
    cells = [
        [
            element(
                "td" if index else "th",
                content,
                scope=None if index else "row",
                role="cell" if index else "rowheader",
                class_="number" if column.number else None,
                data_label=column.name if index else None,
            )
            for index, (column, content) in enumerate(zip(columns, row, strict=True))
        ]
        for row in rows
    ]
    head = [
        element("th", column.name, scope="col", role="columnheader", class_="number" if column.number else None)
        for column in columns
    ]
    body = [element("tr", *row, role="row") for row in cells]
    none = element("tr", element("td", "None.", role="cell", colspan=str(len(columns))), role="row")
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head, role="row"), role="rowgroup"),
        element("tbody", *(body or [none]), role="rowgroup"),
        role="table",
    )


def _state(word: str, tone: str) -> Html:
    """A state by word and, for the quick look, by shape and colour."""
    return element("span", word, class_=f"state {tone}")


def _availability(available: bool | None, yes: str, no: str) -> Html:
    if available is None:
        return _state("not asked yet", "unknown")
    return _state(yes, "good") if available else _state(no, "bad")


def _counts(counts: Mapping[str, int], tone: Callable[[str], str]) -> Html:
    """Numbers by name."""
    if not counts:
        return Html(NOTHING)
    listed = [
        element("li", name, " ", element("b", count(number)), class_=tone(name) or None)
        for name, number in counts.items()
    ]
    return element("ul", *listed, class_="counts")


def _class_tone(name: str) -> str:
    return {"4": "warn", "5": "bad"}.get(name[0], "")


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def _within(lately: RouteLately) -> str:
    return _longest(lately.p95_seconds, measured=bool(lately.answers))


def _longest(seconds: float | None, *, measured: bool) -> str:
    return "over 10 s" if seconds is None and measured else duration(seconds)


def _most_telling(routes: tuple[RouteStatus, ...]) -> tuple[tuple[RouteStatus, ...], int]:
    """Those with failures and traffic where there are too many to show, in the file's order; how many are left out."""
    if len(routes) <= MOST_ROUTES:
        return routes, 0

    def telling(index: int) -> tuple[int, int, float]:
        lately = routes[index].last_minute
        return lately.answers.get("5xx", 0), sum(lately.refusals.values()), lately.requests_per_second

    kept = sorted(sorted(range(len(routes)), key=telling, reverse=True)[:MOST_ROUTES])
    return tuple(routes[index] for index in kept), len(routes) - MOST_ROUTES


def _clock(time: str) -> Html:
    return element("time", f"{time[11:19]} UTC", datetime=time)
