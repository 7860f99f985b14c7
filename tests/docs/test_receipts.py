"""The table of a receipt's members leaves none out, and refuses to be made where it would."""

import json

import pytest

from sidecar.model.receipt import Event
from tests.docs import receipts
from tests.docs.reference import Undescribed


def test_every_event_is_among_the_examples() -> None:
    assert {json.loads(line)["event"] for line in receipts.lines()} == set(Event)


def test_members_of_members_have_rows_of_their_own() -> None:
    found = receipts.paths({"a": {"b": 1}, "c": [{"d": 2}, "e"], "authorization_details": [{"f": 3}]})
    assert list(found) == ["a", "a.b", "c", "c[].d", "authorization_details"]


def test_a_member_without_a_word_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {path: says for path, says in receipts.MEANING.items() if path != "step_up.max_age"}
    monkeypatch.setattr(receipts, "MEANING", without)
    with pytest.raises(Undescribed, match="no word for step_up"):
        receipts.page()


def test_a_word_about_what_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "MEANING", {**receipts.MEANING, "colour": "It was here once."})
    with pytest.raises(Undescribed, match="no such member: colour"):
        receipts.page()


def test_a_member_that_no_example_has_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [line for line in receipts.lines() if '"status"' not in line]
    monkeypatch.setattr(receipts, "lines", lambda: shown)
    with pytest.raises(Undescribed, match=r"no example of .*status\b"):
        receipts.page()
