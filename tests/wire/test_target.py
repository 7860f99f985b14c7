import posixpath
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.wire.grammar import GrammarError
from sidecar.wire.target import EMPTY_SEGMENT, ENCODED_SLASH, PATH_PARAMETERS, Target, canonical, readings, split

SLASH, EMPTY, PARAMETERS = {ENCODED_SLASH}, {EMPTY_SEGMENT}, {PATH_PARAMETERS}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", None),
        (b"/a/b", b"/a/b", None),
        (b"/a?", b"/a", b""),
        (b"/a??", b"/a", b"?"),
        (b"/a?x=1&y=/b?c", b"/a", b"x=1&y=/b?c"),
        (b"/a?%zz=%&[x]", b"/a", b"%zz=%&[x]"),
        (b'/?"<>{}|^`\\', b"/", b'"<>{}|^`\\'),
        (b"/%61%2F%2e", b"/%61%2F%2e", None),
        (b"/-._~!$&'()*+,;=:@", b"/-._~!$&'()*+,;=:@", None),
        (b"//evil.example/x", b"//evil.example/x", None),
        (b"/http://evil.example/", b"/http://evil.example/", None),
        (b"/caf%c3%a9", b"/caf%c3%a9", None),
    ],
)
def test_origin_form(target: bytes, path: bytes, query: bytes | None) -> None:
    assert split(target) == Target(None, None, path, query)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"http://a.example/x?y", Target("http", b"a.example", b"/x", b"y")),
        (b"HTTPS://A.example:8443/", Target("https", b"A.example:8443", b"/", None)),
        (b"http://a", Target("http", b"a", b"/", None)),
        (b"http://a?", Target("http", b"a", b"/", b"")),
        (b"http://a?/b", Target("http", b"a", b"/", b"/b")),
        (b"http://[::1]:80//x", Target("http", b"[::1]:80", b"//x", None)),
    ],
)
def test_absolute_form(target: bytes, parts: Target) -> None:
    assert split(target) == parts


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (b"", "neither"),
        (b"*", "neither"),
        (b"a", "neither"),
        (b"?x", "neither"),
        (b"a.example:443", "neither"),
        (b"ftp://a/", "neither"),
        (b"ws://a/", "neither"),
        (b"http:/a", "neither"),
        (b"http:a", "neither"),
        (b"xhttp://a/", "neither"),
        (b"http://", "the host"),
        (b"http:///x", "the host"),
        (b"http://u@a/", "the host"),
        (b"http://u:p@a/", "the host"),
        (b"http://a\\@b/", "the host"),
        (b"http://a:99999/", "the host"),
        (b"/a#b", "fragment"),
        (b"/#", "fragment"),
        (b"#", "fragment"),
        (b"/a?b#c", "fragment"),
        (b"http://a/#x", "fragment"),
        (b"/a b", "control"),
        (b" /a", "control"),
        (b"/a ", "control"),
        (b"/a?b c", "control"),
        (b"/a\n", "control"),
        (b"/a?b\n", "control"),
        (b"/a?b\r", "control"),
        (b"/a\x00", "control"),
        (b"/a\x7f", "control"),
        (b"/a?\x7f", "control"),
        (b"/caf\xc3\xa9", "control"),
        (b"/a?\xff", "control"),
        (b"http://a/\x85", "control"),
        (b"/a\\b", "RFC 3986"),
        (b"\\a", "neither"),
        (b"/a[b]", "RFC 3986"),
        (b"/{a}", "RFC 3986"),
        (b"/a|b", "RFC 3986"),
        (b"/a^b", "RFC 3986"),
        (b"/a`b", "RFC 3986"),
        (b'/a"b', "RFC 3986"),
        (b"/<a>", "RFC 3986"),
        (b"/%", "RFC 3986"),
        (b"/%4", "RFC 3986"),
        (b"/%zz", "RFC 3986"),
        (b"/%u002e", "RFC 3986"),
        (b"http://a/%4", "RFC 3986"),
    ],
)
@pytest.mark.threat("S21")
def test_refused_targets(target: bytes, why: str) -> None:
    with pytest.raises(GrammarError, match=why):
        split(target)


@settings(deadline=None)
@given(st.binary(max_size=20) | st.text(alphabet="/?#%a4:@.\\ [http", max_size=20).map(str.encode))
@pytest.mark.fuzz
def test_the_parts_make_up_the_target_and_hold_only_what_they_may(target: bytes) -> None:
    try:
        parts = split(target)
    except GrammarError:
        return
    assert parts.path.startswith(b"/")
    assert not re.search(rb"[^!-~]|[#?\\]", parts.path)
    assert parts.query is None or not re.search(rb"[^!-~]|#", parts.query)
    query = b"" if parts.query is None else b"?" + parts.query
    if parts.scheme is None:
        assert parts.authority is None
        assert target == parts.path + query
    else:
        assert target.endswith((parts.authority or b"") + parts.path + query) or parts.path == b"/"


def test_a_target_shows_nothing_in_its_repr() -> None:
    assert repr(split(b"http://canary/canary?canary")) == "Target(scheme='http')"


@pytest.mark.parametrize(
    ("path", "same_as", "features"),
    [
        (b"/", b"/", set()),
        (b"/a", b"/a", set()),
        (b"/a/", b"/a/", set()),
        (b"/a/b/c", b"/a/b/c", set()),
        (b"/A", b"/A", set()),
        (b"/.well-known/x", b"/.well-known/x", set()),
        (b"/...", b"/...", set()),
        (b"/..a/.a/a..", b"/..a/.a/a..", set()),
        (b"/orders/%61dmin", b"/orders/admin", set()),
        (b"/%7E%2D%5f%2Ex", b"/~-_.x", set()),
        (b"/caf%c3%a9", b"/caf%C3%A9", set()),
        (b"/%20%3f%23%25", b"/%20%3F%23%25", set()),
        (b"/%7b%22%3c", b"/%7B%22%3C", set()),
        (b"/%252e%252e/%252fx", b"/%252e%252e/%252fx", set()),
        (b"/%2541", b"/%2541", set()),
        (b"/%25%34%31", b"/%2541", set()),
        (b"/-._~!$&'()*+,=:@", b"/-._~!$&'()*+,=:@", set()),
        (b"/a%2fb", b"/a%2Fb", SLASH),
        (b"/a%2F", b"/a%2F", SLASH),
        (b"/a%2F/b", b"/a%2F/b", SLASH | EMPTY),
        (b"/a/%2Fb", b"/a/%2Fb", SLASH | EMPTY),
        (b"/%2F", b"/%2F", SLASH | EMPTY),
        (b"/a%2f%2Fb", b"/a%2F%2Fb", SLASH | EMPTY),
        (b"//", b"//", EMPTY),
        (b"//a", b"//a", EMPTY),
        (b"/a//b", b"/a//b", EMPTY),
        (b"/a//", b"/a//", EMPTY),
        (b"/a;x", b"/a;x", PARAMETERS),
        (b"/a;x=1;y/b", b"/a;x=1;y/b", PARAMETERS),
        (b"/a%3bx", b"/a%3Bx", PARAMETERS),
        (b"/;", b"/;", PARAMETERS),
        (b"/a/;x", b"/a/;x", PARAMETERS),
        (b"/;x/a", b"/;x/a", PARAMETERS | EMPTY),
        (b"/%3B/a", b"/%3B/a", PARAMETERS | EMPTY),
        (b"/a;x%2Fb", b"/a;x%2Fb", PARAMETERS | SLASH),
        (b"/a/...;x", b"/a/...;x", PARAMETERS),
    ],
)
def test_canonical(path: bytes, same_as: bytes, features: set[str]) -> None:
    assert canonical(path) == (same_as, frozenset(features))


@pytest.mark.parametrize(
    "path",
    [
        *(b"/a/" + dots for dots in (b".", b"..", b"%2e", b"%2E.", b".%2e", b"%2e%2E")),
        *(b"/" + dots + b"/b" for dots in (b".", b"..", b"%2e", b".%2E", b"%2e%2e")),
        *(b"/a/" + dots for dots in (b"..;", b".;", b"..;x=1/b", b"%2e%2e;/b", b"..%3b", b".%3B/", b"..;/..;/")),
        *(b"/a" + dots for dots in (b"%2f..", b"..%2f..", b"%2F..%2Fb", b"%2f%2e%2e%2fb", b"%2f.", b"%2F./b")),
        *(b"/" + dots for dots in (b"..%2f", b"..%2fa", b".%2Fa", b"..;%2Fa", b"..%3B%2fa", b"a;%2f..", b"a;x/../b")),
        *(b"/" + dots for dots in (b"a;%2f../b", b"a;x=%2f..%2fb", b"a;x%2f..;y", b"a%2f..;", b";/..", b"//..")),
    ],
)
@pytest.mark.threat("S20")
def test_dot_segments_in_any_form_are_refused(path: bytes) -> None:
    with pytest.raises(GrammarError, match="dot segment"):
        canonical(path)


@pytest.mark.parametrize("byte", [*range(0x20), 0x7F, 0x5C])
@pytest.mark.threat("S23")
def test_encoded_control_bytes_and_the_backslash_are_refused(byte: int) -> None:
    for path in (b"/a%%%02x" % byte, b"/%%%02X/b" % byte):
        with pytest.raises(GrammarError, match="encoded control byte or backslash"):
            canonical(path)


@pytest.mark.parametrize("byte", [*range(0x21), 0x7F, 0x80, 0xC3, 0xFF, *b'\\?#[]{}|^`"<>'])
@pytest.mark.threat("S23")
def test_bytes_that_no_path_has_are_refused(byte: int) -> None:
    for path in (b"/a" + bytes([byte]), b"/%61" + bytes([byte]) + b"b"):
        with pytest.raises(GrammarError, match="RFC 3986"):
            canonical(path)


@pytest.mark.parametrize(
    "path", [b"", b"a", b"a/b", b"*", b"%2Fa", b"/%", b"/%4", b"/%zz", b"/a%", b"/%%34%31", b"/%-1"]
)
def test_what_is_no_absolute_path_is_refused(path: bytes) -> None:
    with pytest.raises(GrammarError, match="RFC 3986"):
        canonical(path)


@pytest.mark.parametrize(
    ("path", "others"),
    [
        (b"/a/b", set()),
        (b"/a%2Fb", {b"/a/b"}),
        (b"//a", {b"/a"}),
        (b"/a;x", {b"/a"}),
        (b"/a%3Bx/b", {b"/a/b"}),
        (b"/a;x%2Fb", {b"/a", b"/a;x/b", b"/a/b"}),
        (b"/;x/a", {b"//a", b"/a"}),
        (b"/%2Fa", {b"//a", b"/a"}),
    ],
)
def test_readings(path: bytes, others: set[bytes]) -> None:
    assert readings(path) == others


PIECES = [
    *(
        b"a",
        b"b",
        b"/",
        b"/",
        b"//",
        b".",
        b"..",
        b"...",
        b"%2e",
        b"%2E%2e",
        b";",
        b"..;",
        b"%3b",
        b"%3B",
        b"%2f",
        b"%2F",
    ),
    *(
        b"\\",
        b"%5c",
        b"%5C",
        b"%00",
        b"%0a",
        b"%61",
        b"\xc3\xa9",
        b"%C3%A9",
        b"%c0%ae",
        b"%c0%af",
        b"%20",
        b"%zz",
        b"%",
    ),
    *(b"%25", b"%252e", b"%252f", b"#", b"?", b"\n", b" ", b"%2541", b"~", b"x=1"),
]
PATHS = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: b"/" + b"".join(pieces))


def posix_reading(path: bytes) -> bytes:
    """Decode until nothing changes (once where a percent sign is itself encoded: that is data), then normalise."""
    decoded = unquote_to_bytes(path)
    while b"%25" not in path and decoded != (again := unquote_to_bytes(decoded)):
        decoded = again
    return posixpath.normpath(b"/" + decoded.lstrip(b"/"))


def tomcat_reading(path: bytes) -> bytes:
    """Cut parameters, decode, take backslashes for slashes, merge slashes, walk the dot segments."""
    decoded = unquote_to_bytes(re.sub(rb"(?:;|%3[bB])[^/]*", b"", path)).replace(b"\\", b"/")
    done: list[bytes] = []
    for segment in re.split(rb"/+", decoded):
        if segment == b"..":
            done = done[:-1]
        elif segment not in (b"", b"."):
            done.append(segment)
    return b"/" + b"/".join(done)


@settings(deadline=None)
@given(PATHS)
@example(b"/a/b")
@pytest.mark.threat("S20")
@pytest.mark.fuzz
def test_other_normalisers_agree_with_an_accepted_path(path: bytes) -> None:
    try:
        same_as, features = canonical(path)
    except GrammarError:
        return
    if not features:
        plain = unquote_to_bytes(same_as)
        without_slash = plain.rstrip(b"/") or b"/"
        assert posix_reading(path) == without_slash
        assert tomcat_reading(path) == without_slash


@settings(deadline=None)
@given(PATHS)
@example(b"/a;x%2Fb")
@example(b"/;x%2F/a//b%2F")
@pytest.mark.threat("S20")
@pytest.mark.fuzz
def test_no_normaliser_climbs_in_an_accepted_path_whatever_it_has(path: bytes) -> None:
    """Both take every reading to where it says: no step is undone, only slashes are merged."""
    try:
        same_as, _ = canonical(path)
    except GrammarError:
        return
    for way in (path, same_as, *readings(same_as)):
        decoded = unquote_to_bytes(way)
        assert posixpath.normpath(b"/" + decoded.lstrip(b"/")) == (re.sub(rb"/+", b"/", decoded).rstrip(b"/") or b"/")
        cut = unquote_to_bytes(re.sub(rb"(?:;|%3[bB])[^/]*", b"", way))
        assert tomcat_reading(way) == (re.sub(rb"/+", b"/", cut).rstrip(b"/") or b"/")


@settings(deadline=None)
@given(PATHS)
def test_a_canonical_path_is_its_own(path: bytes) -> None:
    try:
        same_as, features = canonical(path)
    except GrammarError:
        return
    assert canonical(same_as) == (same_as, features)
    assert unquote_to_bytes(same_as) == unquote_to_bytes(path)
    for reading in readings(same_as):
        assert readings(reading) < readings(same_as)
        assert canonical(reading)[0] == reading


@settings(deadline=None)
@given(PATHS)
@pytest.mark.fuzz
def test_every_feature_of_a_path_is_found(path: bytes) -> None:
    try:
        _, features = canonical(path)
    except GrammarError:
        return
    assert (ENCODED_SLASH in features) == (b"%2f" in path.lower())
    assert (PATH_PARAMETERS in features) == (b";" in path or b"%3b" in path.lower())
    assert EMPTY_SEGMENT in features or b"//" not in path


@settings(deadline=None)
@given(PATHS)
def test_split_refuses_what_no_path_can_be(path: bytes) -> None:
    try:
        canonical(path)
    except GrammarError:
        return
    assert split(path).path == path


@pytest.mark.threat("S67")
def test_a_long_hostile_path_is_judged_in_linear_steps() -> None:
    assert canonical(b"/a" * 30_000)[1] == frozenset()
    for piece in (b"/;", b"%2F", b";%2F", b"//", b"/%3B%2F"):
        path = b"/a" + piece * (60_000 // len(piece))
        assert canonical(path)[1]
        assert len(readings(path)) < 12
