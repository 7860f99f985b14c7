"""The retry budget: how many requests a server sees beyond those that were asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.oauth.retries import EARNED, FIRST, MOST, RetryBudget


def spent(budget: RetryBudget) -> int:
    count = 0
    while budget.spend():
        count += 1
    return count


def test_a_few_before_anything_was_answered() -> None:
    assert spent(RetryBudget()) == FIRST


@pytest.mark.parametrize(("answers", "retries"), [(4, 0), (5, 1), (9, 1), (10, 2), (1000, MOST)])
def test_five_answers_earn_one(answers: int, retries: float) -> None:
    budget = RetryBudget()
    spent(budget)
    for _ in range(answers):
        budget.earn()
    assert spent(budget) == retries


@given(st.lists(st.booleans(), max_size=400))
def test_retries_are_at_most_a_fifth_of_the_answers_and_a_few(answered: list[bool]) -> None:
    budget, retries = RetryBudget(), 0
    for number, good in enumerate(answered, 1):
        if good:
            budget.earn()
        else:
            retries += budget.spend()
        assert retries <= FIRST + EARNED * answered[:number].count(True) + 1e-6
