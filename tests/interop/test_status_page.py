"""The status page in a real Chromium: what it shows with scripts and without, to the keyboard, and to the eye."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.status_scene import Scene, scene
from tests.support.browser import Page, browser, chromium

pytestmark = pytest.mark.interop

PROGRAM = chromium()
#: Contrast of every visible text with what is behind it, as WCAG 2.2 reckons it; returns what is below AA.
CONTRAST = """(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  let looked = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    if (!node.data.trim()) continue;
    looked += 1;
    const style = getComputedStyle(node.parentElement);
    const [a, b] = [light(rgb(style.color)), light(behind(node.parentElement))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push([node.data, style.color]);
  }
  return looked > 50 ? low : ["too little to look at"];
})()"""
OVERFLOWS = """[...document.querySelectorAll("body *")].filter((node) => {
  if (node.closest("thead")) return false;  // a narrow screen hides it from the eye
  const box = node.getBoundingClientRect();
  return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1);
}).map((node) => node.outerHTML.slice(0, 100))"""


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[tuple[Scene, Page]]:
    if PROGRAM is None:
        pytest.skip("no Chromium here (Debian: chromium)")
    async with scene(tmp_path) as stage, browser(PROGRAM, tmp_path) as page:
        yield stage, page


async def cells(page: Page, table: str, row: str) -> list[str]:
    found: list[str] = await page.evaluate(
        f"[...document.querySelectorAll('section[aria-labelledby={table}] tbody tr')]"
        f".find((row) => row.innerText.trim().startsWith('{row}'))?.innerText.split('\\t').map((text) => text.trim())"
    )
    return found


async def test_it_follows_what_happens_and_nothing_is_complained_of(it: tuple[Scene, Page]) -> None:
    stage, page = it
    await page.look(1280)
    await page.open(stage.url)
    assert "BreakerOpen" not in await page.evaluate("document.querySelector('main').innerText")
    await stage.day()
    await stage.bad_day()
    await page.until("document.querySelector('main').innerText.includes('BreakerOpen')")
    await page.until("document.querySelector('.errors') !== null")
    _, answered, breaker, *_ = await cells(page, "servers", "partner")
    assert answered == "did not answer"
    assert breaker in ("open", "half-open")
    assert (await cells(page, "refusals", "missing-token"))[2:] == ["401", "12"]
    assert "did you mean" in await page.evaluate("document.querySelector('.errors').innerText")
    assert await page.evaluate("document.title.startsWith('Ready, ')")
    assert page.complaints == []
    assert {url.removeprefix(stage.url) for url in page.requests} <= {"", "status.css", "status.js"}


async def test_without_scripts_it_shows_the_same(it: tuple[Scene, Page]) -> None:
    stage, page = it
    await stage.bad_day()
    await page.look(1280)
    await page.scripts(allowed=False)
    await page.open(stage.url)
    assert await page.evaluate("document.querySelectorAll('.matters li').length >= 4")
    assert (await cells(page, "refusals", "missing-token"))[2:] == ["401", "12"]
    assert await page.evaluate("document.querySelectorAll('button').length") == 0
    assert page.complaints == []


async def test_the_keyboard_reaches_the_one_control_and_keeps_it(it: tuple[Scene, Page]) -> None:
    stage, page = it
    await page.open(stage.url)
    await page.press("Tab")
    assert await page.evaluate("document.activeElement.innerText") == "Hold updates"
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await stage.ask("/orders/1", 3)
    await page.until("document.body.innerText.includes('missing-token')")
    assert await page.evaluate("document.activeElement.innerText") == "Hold updates"
    await page.press("Enter")
    assert await page.evaluate("document.activeElement.innerText") == "Go on updating"
    assert "Held at" in await page.evaluate("document.querySelector('#updates').innerText")
    asked = len(page.requests)
    await stage.ask("/nowhere", 3)
    await asyncio.sleep(4)
    assert len(page.requests) == asked
    assert not await page.evaluate("document.body.innerText.includes('no-route')")
    await page.press("Enter")
    await page.until("document.body.innerText.includes('no-route')")


async def test_a_selection_outlives_updates(it: tuple[Scene, Page]) -> None:
    stage, page = it
    await page.open(stage.url)
    await page.evaluate(
        "getSelection().selectAllChildren(document.querySelector('section[aria-labelledby=routes] tbody b'))"
    )
    await stage.ask("/orders/1", 3)
    await page.until("document.body.innerText.includes('missing-token')")
    assert await page.evaluate("getSelection().toString()") == "orders"


async def test_a_gateway_that_is_gone_is_not_taken_for_a_well_one(it: tuple[Scene, Page]) -> None:
    stage, page = it
    await page.open(stage.url)
    await stage.gateway.app.close()
    await page.until("document.querySelector('#updates').innerText.includes('No answer')")
    assert await page.evaluate("document.querySelector('#updates span').getAttribute('role')") == "status"


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("dark", [False, True])
async def test_it_can_be_read(it: tuple[Scene, Page], width: int, dark: bool) -> None:
    stage, page = it
    await stage.bad_day()
    await page.look(width, dark=dark)
    await page.open(stage.url)
    await page.until("document.querySelectorAll('.matters li').length >= 4")
    assert await page.evaluate(CONTRAST) == []
    assert await page.evaluate(OVERFLOWS) == []
    ground: str = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(ground[4:].split(",", maxsplit=1)[0]) < 128) is dark


async def test_what_is_heard_is_what_is_seen_also_on_a_phone(it: tuple[Scene, Page]) -> None:
    stage, page = it
    await stage.bad_day()
    await page.look(390)
    await page.open(stage.url)
    nodes: list[dict[str, Any]] = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    assert roles.count("table") == 5
    assert roles.count("main") == roles.count("banner") == 1
    assert roles.count("columnheader") == 7 + 8 + 4 + 4 + 2
    assert roles.count("rowheader") >= 5 + 2 + 2 + 4 + 2
    names = {node["name"]["value"] for node in nodes if not node["ignored"] and node["role"]["value"] == "region"}
    assert {"Attention", "Routes", "Authorization servers", "Trusted issuers", "Refusals", "Configuration"} <= names
