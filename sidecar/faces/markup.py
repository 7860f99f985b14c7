"""HTML elements as values: whatever is not one already is text, and is escaped.

Nothing else in the package writes markup, so there is one place where a hostile name could get out of its cell.
"""

from html import escape
from typing import Final


class Html(str):
    """Markup; made by `element` and `join` alone."""

    __slots__ = ()


Content = str | Html | None

_VOID: Final = frozenset({"br", "link", "meta"})


def element(tag: str, /, *contents: Content, **attributes: str | None) -> Html:
    """Return an element. None, as content or attribute, is left out; ``class_`` is ``class``, ``a_b`` is ``a-b``."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    end = "" if tag in _VOID else f"</{tag}>"
    return Html(f"<{tag}{written}>{join(*contents)}{end}")


def join(*contents: Content) -> Html:
    """Return contents one after another."""
    return Html("".join(content if isinstance(content, Html) else text(content) for content in contents if content))


def text(value: str) -> Html:
    """Return text as markup. What can't be seen, or turns the direction of writing, is shown by its number."""
    visible = "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in value)
    return Html(escape(visible))
