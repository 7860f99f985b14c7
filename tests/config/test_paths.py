import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import paths


@pytest.mark.parametrize(
    "text", ["/", "/orders", "/orders/", "/orders/{id}", "/{a}/{b}", "/a%20b", "/caf%C3%A9", "/a:b@c!$&'()*+,=~"]
)
def test_exact_paths(text: str) -> None:
    assert paths.exact_path(text) == text


@pytest.mark.parametrize("text", ["/", "/orders", "/orders/v1"])
def test_prefixes(text: str) -> None:
    assert paths.path_prefix(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "orders",
        "*",
        "/%61",
        "/%7E",
        "/%2e%2e",
        "/.",
        "/..",
        "/a/../b",
        "/a/.",
        "/..;x",
        "/{id}/{id}",
        "/a{id}",
        "/{id}b",
        "/{}",
        "/{1}",
        "/{a",
        "/a}",
        "/{a/b}",
        "/a?b",
        "/a#b",
        "/a b",
        "/é",
        "/a\\b",
        "/%zz",
        "/%2",
        "/%c3",
        "/%00",
        "/%7F",
        "/a\n",
    ],
)
def test_what_no_canonical_request_could_meet(text: str) -> None:
    with pytest.raises(ValueError, match="should"):
        paths.exact_path(text)


@pytest.mark.parametrize("text", ["", "orders", "/orders/", "/{id}", "/a/{id}/b", "/%61", "/..", "//"])
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="should"):
        paths.path_prefix(text)


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("/orders/{id}", []),
        ("/a%2Fb", ["encoded-slash"]),
        ("/a%5Cb", ["encoded-slash"]),
        ("/a//b", ["empty-segment"]),
        ("/a;v=1", ["path-parameters"]),
        ("//%2F;", ["encoded-slash", "empty-segment", "path-parameters"]),
    ],
)
def test_what_a_path_needs_to_be_let_in(text: str, needed: list[str]) -> None:
    assert [name for name, _ in paths.needed_relaxations(text)] == needed


@given(st.text() | st.from_regex(r"/[a-z{}%.;/0-9A-F]{0,12}"))
def test_no_text_raises_anything_else_and_what_is_taken_is_kept(text: str) -> None:
    for check in (paths.exact_path, paths.path_prefix):
        try:
            assert check(text) == text
        except ValueError:
            continue
