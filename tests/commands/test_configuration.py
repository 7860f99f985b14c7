import argparse
from pathlib import Path

import pytest

from sidecar.commands.configuration import add_config, first_key, load_or_explain
from sidecar.config.schema.servers import PeerTLS

GOOD = """
version: 1
routes:
  - name: health
    match: {path: /healthz}
    upstream: {url: 'http://127.0.0.1:9000'}
    exchange: none
"""


def test_the_option_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_config(parser)
    assert parser.parse_args(["-c", "a.yaml"]).config == parser.parse_args(["--config", "a.yaml"]).config == "a.yaml"
    with pytest.raises(SystemExit) as caught:
        parser.parse_args([])
    assert caught.value.code == 2


def test_a_good_file_is_loaded_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD)
    loaded = load_or_explain(str(path))
    assert loaded is not None
    assert [route.name for route in loaded.config.routes] == ["health"]
    assert capsys.readouterr() == ("", "")


def test_a_broken_file_is_told_with_all_its_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD.replace("version: 1", "version: 2").replace("none", "nothing").replace("name:", "nam:"))
    assert load_or_explain(str(path)) is None
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert (out, len(lines) >= 3) == ("", True)
    assert all(line.startswith(f"{path}:") for line in lines)
    assert lines == sorted(lines, key=lambda line: int(line.removeprefix(f"{path}:").split(":")[0]))


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "routes.yaml"
    assert load_or_explain(str(path)) is None
    assert capsys.readouterr().err == f"{path}:1:1: there is no such file\n"


def test_the_first_key_that_a_section_has_is_to_blame() -> None:
    section = PeerTLS(cert_file="c", key_file="k")
    assert first_key(("tls",), section, ("ca_file", "key_file", "cert_file")) == ("tls", "key_file")
    assert first_key(("tls",), section, ("ca_file", "another")) == ("tls",)
