import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observe import chain
from sidecar.observe.chain import Chain, digest, last_line, named


def test_each_line_names_the_one_before() -> None:
    links = Chain()
    first, second = (links.link(text).encode() for text in ('{"a":1}\n', '{"b":2}\n'))
    assert first == b'{"prev":"' + b"0" * 64 + b'","a":1}\n'
    assert named(second) == digest(first) == hashlib.sha256(first).hexdigest()
    assert Chain(second).link('{"c":3}\n') == links.link('{"c":3}\n')


@pytest.mark.parametrize("line", [b"", b"{}\n", b'{"a":1,"prev":"' + b"0" * 64 + b'"}\n', b'{"prev":"0","a":1}\n'])
def test_other_lines_name_none(line: bytes) -> None:
    assert named(line) is None


@given(
    lines=st.lists(st.sampled_from([0, 1, 50, chain._BLOCK - 1, chain._BLOCK, 2 * chain._BLOCK]), max_size=4),
    whole=st.booleans(),
)
def test_the_last_line(lines: list[int], whole: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = [b"x" * size + b"\n" for size in lines]
    if made and not whole:
        made[-1] = made[-1][:-1] or b"y"
    path = tmp_path_factory.mktemp("chain") / "lines"
    path.write_bytes(b"".join(made))
    assert last_line(str(path)) == (made[-1] if made else None)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        last_line(str(tmp_path / "none"))
