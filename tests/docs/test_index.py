"""Every page is in the index, so that somebody finds it."""

from tests.docs.pages import ROOT


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md")
    assert [name for name in pages if f"({name}" not in index] == []
