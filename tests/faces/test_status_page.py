import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.faces.status_page import MOST_MATTERS, MOST_ROUTES, POLICY, SCRIPT, STYLE, page
from sidecar.model.refusal import Kind
from sidecar.model.status import CacheStatus, ConfigStatus, IssuerStatus, RouteLately, Status
from tests.support.status import LATELY, ROUTE, SERVER, status

VOID = {"meta", "link", "br"}
HOSTILE = st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</td></table></main><script src=//evil.example/x.js></script>",
        '"><img src=x onerror=alert(1)>',
        "' style='position:fixed' onmouseover='alert(1)",
        "javascript:alert(1)",
        "{{7*7}}${7*7}",
        "<!--",
        "<style>*{display:none}</style>",
        "\u202eorders",
        "\ud800",
        "a\x00b\nc",
    ]
) | st.text(max_size=20)


class Read(HTMLParser):
    """The page as a tree is read: its tags, text, cells; and that whatever opens is closed in order."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row[0].startswith(name))

    @property
    def named(self) -> list[str]:
        return [tag for tag, _ in self.tags]


def read(**members: Any) -> Read:
    return Read(page(status(**members)).decode())


def shape(it: Read) -> list[tuple[str, frozenset[str]]]:
    return [(tag, frozenset(attributes)) for tag, attributes in it.tags]


def with_every_text(value: Any, text: str) -> Any:
    """The same value with another text wherever a configuration, a server or a file could have put one."""
    if isinstance(value, Status):
        kept = {"time", "recent_refusals", "last_minute"}
        members = {
            field.name: getattr(value, field.name)
            if field.name in kept
            else with_every_text(getattr(value, field.name), text)
            for field in fields(value)
        }
        return Status(**members)
    if isinstance(value, RouteLately):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: with_every_text(getattr(value, field.name), text) for field in fields(value)}
        return replace(value, **members)
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(with_every_text(each, text) for each in value)
    if isinstance(value, dict):
        return {f"{text}{index}": with_every_text(each, text) for index, each in enumerate(value.values())}
    return value


FULL = status(
    config=ConfigStatus("f.yaml", "then", ("f.yaml:1:1: wrong",), {"shop": ("s.yaml:1:1: wrong",)}),
    trusted_issuers={"corp": IssuerStatus(False, None, None)},
    authorization_servers={"corp": replace(SERVER, breaker="open", queued=1)},
)


@given(HOSTILE)
def test_no_name_and_no_error_makes_an_element_or_an_attribute(text: str) -> None:
    harmless = Read(page(with_every_text(FULL, "harmless")).decode())
    assert shape(Read(page(with_every_text(FULL, text)).decode())) == shape(harmless)


def test_the_page_asks_for_its_own_style_and_script_alone() -> None:
    it = Read(page(FULL).decode())
    assert [attributes for tag, attributes in it.tags if tag in ("script", "link")] == [
        {"rel": "stylesheet", "href": "status.css"},
        {"src": "status.js", "defer": ""},
    ]
    links = [attributes for _, attributes in it.tags if {"href", "src"} & attributes.keys()]
    assert len(links) == 2
    assert not [attributes for _, attributes in it.tags if "style" in attributes]
    assert not re.search(rb"url\(|@import|https?:", STYLE)
    assert not re.search(rb"innerHTML|eval|Function\(|https?:", SCRIPT)
    assert b"unsafe" not in POLICY
    assert POLICY.startswith(b"default-src 'none'; ")


def test_a_route_s_row() -> None:
    row = read().row("orders")
    assert row == [
        "ordershttp://127.0.0.1:9000",
        "0.12",
        "2xx 65xx 1",
        "missing-token 2",
        "50%",
        "250 ms",
        "702 refused",
    ]


def test_where_there_are_several_listeners_a_route_names_its_own() -> None:
    it = read(routes=(ROUTE, replace(ROUTE, name="inner", listener="mesh")))
    assert it.row("inner")[0] == "innerhttp://127.0.0.1:9000, on mesh"


def test_a_server_s_row() -> None:
    assert read().row("corp") == ["corp", "answered", "closed", "1", "0", "success 2", "50 ms", "100 ms"]
    troubled = replace(SERVER, available=False, breaker="half-open", pause_seconds=4.0, queued=7)
    row = read(authorization_servers={"corp": troubled}).row("corp")
    assert row[1:5] == ["did not answer", "half-openleft alone for 4 s", "1", "7"]


def test_an_issuer_s_row() -> None:
    assert read(authorization_servers={}).row("corp") == ["corp", "answered", "12 s ago", "23 h 59 min"]
    row = read(authorization_servers={}, trusted_issuers={"corp": IssuerStatus(None, None, None)}).row("corp")
    assert row == ["corp", "not asked yet", "–", "–"]


def test_every_kind_of_refusal_has_its_row() -> None:
    it = read(recent_refusals={kind.value: number for number, kind in enumerate(Kind)})
    for number, kind in enumerate(Kind):
        row = it.row(kind.value)
        assert row[0] == kind.value
        assert row[2].isdigit()
        assert row[3] == str(number)


def test_the_configuration_tells_what_is_wrong_and_where() -> None:
    it = read(config=ConfigStatus("f.yaml", "then", ("f.yaml:1:1: a <b>",), {"good": ()}))
    assert it.row("f.yaml") == ["f.yaml", "refusedf.yaml:1:1: a <b>"]
    assert it.row("include good") == ["include good", "in use"]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, "1 matter to look at."),
        ({"routes": ()}, "Nothing needs attention."),
        ({"ready": False}, "2 matters to look at."),
    ],
)
def test_the_title_and_the_head_say_whether_there_is_anything_to_do(members: dict[str, Any], told: str) -> None:
    text = page(status(**members)).decode()
    assert f'role="status">{told}</p>' in text
    title = re.search("<title>(.*)</title>", text)
    assert title is not None
    assert title[1].startswith("Not ready, 2" if "ready" in members else "Ready")


def test_the_slowest_are_told_as_such() -> None:
    slow = replace(ROUTE, last_minute=replace(LATELY, p95_seconds=None))
    idle = replace(ROUTE, name="idle", last_minute=RouteLately(0.0, {}, {}, None, None))
    it = read(routes=(slow, idle))
    assert it.row("orders")[5] == "over 10 s"
    assert it.row("idle")[1:6] == ["0", "–", "–", "–", "–"]


def test_nothing_at_all_is_a_page_too() -> None:
    it = read(
        routes=(),
        authorization_servers={},
        trusted_issuers={},
        recent_refusals={},
        cache=CacheStatus(0, 0, 1, 1, None),
    )
    assert it.rows.count(["None."]) == 4


def test_of_very_many_routes_those_with_failures_and_traffic_are_shown_in_their_order() -> None:
    quiet = replace(LATELY, answers={"2xx": 1}, refusals={}, requests_per_second=0.0)
    routes = [replace(ROUTE, name=f"r{number}-", last_minute=quiet) for number in range(1000)]
    routes[990] = replace(routes[990], last_minute=replace(quiet, answers={"5xx": 1}))
    routes[991] = replace(routes[991], last_minute=replace(quiet, refusals={"overloaded": 1}))
    routes[5] = replace(routes[5], last_minute=replace(quiet, requests_per_second=3.0))
    it = read(routes=tuple(routes))
    shown = [int(row[0][1:].split("-")[0]) for row in it.rows if re.match(r"r\d", row[0])]
    assert len(shown) == MOST_ROUTES
    assert {5, 990, 991} <= set(shown)
    assert shown == sorted(shown)
    assert b"900 quieter routes are left out" in page(status(routes=tuple(routes)))


def test_very_many_matters_are_counted() -> None:
    it = page(status(routes=tuple(replace(ROUTE, name=f"r{number}") for number in range(50))))
    assert it.count(b"ErrorBudgetBurnsFast") == MOST_MATTERS
    assert b"50 matters to look at." in it
    assert b"And 30 more." in it


def test_tables_are_tables_to_those_who_hear_them() -> None:
    it = Read(page(FULL).decode())
    assert it.named.count("table") == it.named.count("caption") == 5
    heads = [attributes for tag, attributes in it.tags if tag == "th"]
    assert {attributes["scope"] for attributes in heads} == {"row", "col"}
    assert [name for name in ("header", "main", "h1") if it.named.count(name) != 1] == []
    ids = [attributes["id"] for _, attributes in it.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = [attributes["aria-labelledby"] for tag, attributes in it.tags if tag == "section"]
    assert set(labels) <= set(ids)
