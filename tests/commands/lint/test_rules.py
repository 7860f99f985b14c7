from typing import get_args

import pytest

from sidecar.commands.lint.rules import RULES, UNUSED_ACCEPT, Rule
from sidecar.config.schema.accept import FileRule, RouteRule


def test_what_a_file_may_accept_is_what_can_be_found() -> None:
    assert RULES.keys() == {*get_args(RouteRule), *get_args(FileRule)}
    assert UNUSED_ACCEPT not in RULES
    assert list(RULES) == sorted(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_says_what_it_finds_why_and_what_to_do(rule: Rule) -> None:
    assert rule.checks
    for sentence in (rule.finds, rule.why, rule.instead):
        assert sentence.endswith(".")
        assert "  " not in sentence
