import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.approval import Approval, Verdict, cut
from sidecar.model.refusal import Kind, Refusal


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (None, Verdict.APPROVED),
        (Kind.APPROVAL_DENIED, Verdict.DENIED),
        (Kind.APPROVAL_UNAVAILABLE, Verdict.UNAVAILABLE),
        (Kind.EXCHANGE_DENIED, Verdict.UNAVAILABLE),  # whatever else it may be, it is no yes
    ],
)
def test_only_what_is_not_refused_is_approved(kind: Kind | None, verdict: Verdict) -> None:
    assert Approval("desk", Refusal(kind, "No.") if kind is not None else None).verdict is verdict


@given(st.text())
def test_what_others_wrote_is_short_and_can_be_printed(text: str) -> None:
    told = cut(text)
    assert len(told) <= 128
    assert told.isprintable()
    kept = [char for char in text if char.isprintable()]
    assert list(told) == kept[:128]


@pytest.mark.parametrize("control", ["\x00", "\x1b", "\n", "\x7f", "\u202e", "\u2028", "\ufeff", "\ud800"])
def test_what_moves_a_cursor_or_turns_a_line_is_left_out(control: str) -> None:
    assert cut(f"pay{control} 10") == "pay 10"
