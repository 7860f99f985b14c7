"""The page about errors has every kind as callers are shown it, and refuses to be made where it would not."""

import json
import re
from pathlib import Path

import pytest

from sidecar.faces.problems import problem
from sidecar.model.refusal import Kind, Refusal
from tests.docs import errors, reference
from tests.docs.pages import ROOT
from tests.docs.reference import Undescribed
from tests.docs.refusals import ABOUT


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_is_told_as_it_is_answered(kind: Kind) -> None:
    part = errors.page().split(f"\n## {kind.value}\n")[1].split("\n## ")[0]
    answer = problem(Refusal(kind, "A sentence."), "r")
    body = json.loads(answer.body)
    assert re.search(rf"Status [0-9, ]*{answer.status}\b", part)
    assert body["title"] in part
    assert (f"`{body.get('error')}`" in part) is ("error" in body)
    assert ("challenge" in part) is (b"WWW-Authenticate" in dict(answer.headers))
    assert ("Retry-After`." in part.split("**Who")[0]) is (answer.status == 503)
    assert "`detail` is" in part


@pytest.mark.parametrize("kind", Kind)
def test_the_keys_that_it_names_are_keys(kind: Kind) -> None:
    page = reference.configuration()
    for heading, key in ABOUT[kind].keys:
        section = page.split(f"\n## `{heading}`\n")[1].split("\n## ")[0]
        while (same := re.search(r"The same keys as \[`(.+?)`\]", section)) is not None:
            section = page.split(f"\n## `{same[1]}`\n")[1].split("\n## ")[0]
        assert f"| `{key}` |" in section, (heading, key)


def test_what_the_code_says_is_found_however_it_is_written() -> None:
    said = errors.sentences()
    assert "The client may not use this route." in said[Kind.POLICY_DENIED]  # a Refusal
    assert "A bearer token is needed." in said[Kind.MISSING_TOKEN]  # raised
    assert "Bad request: …." in said[Kind.INVALID_REQUEST]  # with a part that differs
    assert "The authorization server is not available." in said[Kind.EXCHANGE_UNAVAILABLE]  # imported
    assert "The authorization server denies the exchange." in said[Kind.EXCHANGE_DENIED]  # from a mapping
    assert "The token does not let this gateway act for its subject." in said[Kind.POLICY_DENIED]  # a local name
    assert said.keys() == set(Kind)


def test_a_sentence_that_can_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "ROOT", tmp_path)
    module = tmp_path / "strange.py"
    module.write_text("raise refuse(Kind.LOOP, text())\n", encoding="utf-8")
    with pytest.raises(Undescribed, match="strange:1"):
        list(errors._said_in(module))


def test_a_kind_without_a_word_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "ABOUT", {kind: about for kind, about in ABOUT.items() if kind != Kind.LOOP})
    with pytest.raises(Undescribed, match="loop"):
        errors.page()


def test_a_word_about_what_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "ABOUT", {**ABOUT, "gone": ABOUT[Kind.LOOP]})
    with pytest.raises(Undescribed, match="no such kind: gone"):
        errors.page()


def test_runbooks_that_it_names_are_there() -> None:
    for name in re.findall(r"\(runbooks/(\w+)\.md\)", errors.page()):
        assert (ROOT / "docs" / "runbooks" / f"{name}.md").is_file()
