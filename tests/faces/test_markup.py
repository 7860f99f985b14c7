from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from sidecar.faces.markup import Html, element, join, text


class Read(HTMLParser):
    """What a parser makes of markup."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = st.text() | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "&lt;b&gt;",
        "' onload='x",
        "]]>",
        "<!--",
        "\u202egnp",
    ]
)


@given(HOSTILE, HOSTILE)
def test_no_text_gets_out_of_its_place(content: str, value: str) -> None:
    read = Read(element("td", content, title=value))
    assert [tag for tag, _ in read.tags] == ["td"]
    assert read.tags[0][1] == {"title": shown(value)}
    assert read.text == shown(content)


def shown(value: str) -> str:
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in value)


@given(HOSTILE)
def test_whatever_is_shown_can_be_seen_and_sent(value: str) -> None:
    markup = text(value)
    assert markup.isprintable()
    markup.encode()


def test_elements_hold_elements() -> None:
    made = element("p", "a & ", element("b", "c"), None, " ", "", class_="x", aria_label="y", id=None)
    assert made == '<p class="x" aria-label="y">a &amp; <b>c</b> </p>'
    assert isinstance(made, Html)
    assert join("<", element("br")) == "&lt;<br>"
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert element("script", src="a.js", defer="") == '<script src="a.js" defer=""></script>'
