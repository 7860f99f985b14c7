from sidecar.config.problems import ConfigProblem
from sidecar.config.schema import Config, WorkloadToken
from sidecar.config.validation import first_of_each, validate, validator
from tests.config.conftest import NOWHERE


def test_what_is_right_is_read() -> None:
    config, found = validate(validator(Config), {"version": 1}, NOWHERE)
    assert isinstance(config, Config)
    assert found == []


def test_what_is_wrong_is_told_in_our_words() -> None:
    config, found = validate(validator(Config), {"version": 2, "admin": {"x": 1}}, NOWHERE)
    assert config is None
    assert {finding.path: finding.at_key for finding in found} == {("version",): False, ("admin", "x"): True}


def test_without_surroundings_no_file_is_looked_at() -> None:
    content = {"file": "/nonexistent", "type": "jwt"}
    assert validate(validator(WorkloadToken), content, None)[0].file == "/nonexistent"
    assert validate(validator(WorkloadToken), content, NOWHERE)[0] is None


def test_the_first_of_several_problems_explains_the_rest() -> None:
    one = ConfigProblem("a.yaml", 1, 2, "x", "first")
    same_place = ConfigProblem("a.yaml", 1, 2, "x", "second")
    others = [ConfigProblem("b.yaml", 1, 2, "x", "y"), ConfigProblem("a.yaml", 1, 2, "z", "y")]
    assert first_of_each([one, same_place, *others]) == [one, *others]
