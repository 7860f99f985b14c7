import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import paths
from sidecar.model.route import Match, PathRelaxation
from sidecar.routing.conditions import path_pattern, segments_of
from sidecar.wire.target import canonical

TEXTS = st.text() | st.from_regex(r"/[a-z{}%.;/0-9A-F]{0,12}", fullmatch=True)


@pytest.mark.parametrize(
    "text", ["/", "/orders", "/orders/", "/orders/{id}", "/{a}/{b}", "/a%20b", "/caf%C3%A9", "/a:b@c!$&'()*+,=~"]
)
def test_exact_paths(text: str) -> None:
    assert paths.exact_path(text) == text


@pytest.mark.parametrize("text", ["/", "/orders", "/orders/v1", "/a%2Fb", "/a;v=1"])
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
        "/..%3Bx",
        "/a%2F..",
        "/a%2F..%2Fb",
        "/;x/..",
        "/{id}/{id}",
        "/{id}/../b",
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
        "/\ud800",
        "/a\\b",
        "/a%5Cb",
        "/%zz",
        "/%2",
        "/%c3",
        "/%2f",
        "/%00",
        "/%7F",
        "/a\n",
    ],
)
def test_what_no_canonical_request_could_meet(text: str) -> None:
    with pytest.raises(ValueError, match="should") as caught:
        paths.exact_path(text)
    assert type(caught.value) is ValueError
    assert len(text) < 3 or text not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "orders", "/orders/", "/{id}", "/a/{id}/b", "/%61", "/..", "//", "/a%5Cb", "/..%3Bx", "/a%2F.."]
)
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="should"):
        paths.path_prefix(text)


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("/orders/{id}", []),
        ("/a%2Fb", ["encoded-slash"]),
        ("/a%2F/b", ["encoded-slash", "empty-segment"]),
        ("/a//b", ["empty-segment"]),
        ("/a;v=1", ["path-parameters"]),
        ("/a%3Bv=1", ["path-parameters"]),
        ("/;x/a", ["empty-segment", "path-parameters"]),
        ("//%2F;", ["encoded-slash", "empty-segment", "path-parameters"]),
        ("/..", []),
        ("orders", []),
        ("", []),
    ],
)
def test_what_a_path_needs_to_be_let_in(text: str, needed: list[str]) -> None:
    assert [name for name, _ in paths.needed_relaxations(text)] == needed


@given(TEXTS)
def test_no_text_raises_anything_else_and_what_is_taken_is_kept(text: str) -> None:
    for check in (paths.exact_path, paths.path_prefix):
        refusal: ValueError | None = None
        try:
            assert check(text) == text
        except ValueError as error:
            refusal = error
        assert refusal is None or (type(refusal) is ValueError and "should" in str(refusal))


@given(TEXTS)
def test_a_request_can_meet_whatever_is_taken(text: str) -> None:
    """The rule, asked of those who match: some canonical path is taken by the pattern, with the features it needs."""
    for check, match in (
        (paths.exact_path, Match(path=text)),
        (paths.path_prefix, Match(path_prefix=text)),
    ):
        try:
            check(text)
        except ValueError:
            continue
        pattern = path_pattern(match)
        example = pattern.example() if match.path is not None else text.encode()
        path, features = canonical(example)
        assert pattern.takes(segments_of(path))
        assert features == {PathRelaxation(name) for name, _ in paths.needed_relaxations(text)}
