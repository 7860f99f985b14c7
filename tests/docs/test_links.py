"""Every link between the pages leads somewhere: to a file that is there, and to a heading that it has."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

LINK = re.compile(r"""(?:\]\(|(?:src|srcset)=")([^)\s"]+)""")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
EVERY_PAGE = (*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")))


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What headings are called in links: small letters, hyphens for spaces, no other signs."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, link: str) -> bool:
    if link.startswith(("https://", "http://", "mailto:")):
        return False
    name, _, anchor = link.partition("#")
    leads_to = (page.parent / name).resolve() if name else page
    return not leads_to.exists() or (bool(anchor) and anchor not in anchors(leads_to))


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page: Path) -> None:
    assert [link for link in LINK.findall(prose(page)) if broken(page, link)] == []


def test_links_are_found() -> None:
    tutorial = ROOT / "docs" / "tutorial.md"
    assert "#8-your-own-authorization-server" in LINK.findall(prose(tutorial))
    assert not broken(tutorial, "#8-your-own-authorization-server")
    for link in ("#no-such-heading", "no-such-page.md", "sts.md#no-such-heading"):
        assert broken(tutorial, link)
