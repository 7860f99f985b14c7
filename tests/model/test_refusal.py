import copy
import pickle
import re

import pytest

from sidecar.model.refusal import Kind, Oversize, Refusal, Refused, refuse


def test_kinds_are_names_for_problem_types_and_labels() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.value) for kind in Kind)
    assert all(kind.name == kind.value.upper().replace("-", "_") for kind in Kind)


def test_refuse_hands_everything_on() -> None:
    refused = refuse(
        Kind.TOO_LARGE,
        "Too much.",
        scope=("a",),
        retry_after=1.5,
        oversize=Oversize.BODY,
        finding="found",
        close=True,
    )
    assert refused.refusal == Refusal(Kind.TOO_LARGE, "Too much.", ("a",), 1.5, Oversize.BODY, "found", True)
    assert refuse(Kind.NO_ROUTE, "None.").refusal == Refusal(Kind.NO_ROUTE, "None.", (), None, None, "", False)


def test_the_exception_says_the_kind_and_nothing_else() -> None:
    refused = refuse(Kind.INVALID_TOKEN, "reason-canary", finding="finding-canary")
    assert (str(refused), refused.args) == ("invalid-token", ("invalid-token",))
    assert "canary" not in repr(refused)


def test_it_is_raised_and_caught_as_any_other() -> None:
    with pytest.raises(Refused) as caught:
        raise refuse(Kind.LOOP, "Round and round.")
    assert copy.copy(caught.value.refusal) == pickle.loads(pickle.dumps(caught.value.refusal))
