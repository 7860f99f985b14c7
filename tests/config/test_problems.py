from sidecar.config.problems import ConfigError, ConfigProblem, Mark, Positions, show

POSITIONS = Positions(
    "f.yaml",
    keys={("a",): Mark(2, 1), ("a", "b"): Mark(3, 3)},
    values={(): Mark(1, 1), ("a",): Mark(3, 3), ("a", "b"): Mark(3, 6), ("a", "b", 0): Mark(4, 5)},
)


def test_a_problem_is_one_line() -> None:
    problem = POSITIONS.problem(("a", "b", 0), "should be text")
    assert str(problem) == "f.yaml:4:5: a.b.0: should be text"


def test_a_problem_of_the_whole_file_has_no_path() -> None:
    assert str(ConfigProblem("f.yaml", 1, 1, "", "the file is empty")) == "f.yaml:1:1: the file is empty"


def test_a_key_has_a_place_of_its_own() -> None:
    assert POSITIONS.problem(("a", "b"), "x", at_key=True).column == 3
    assert POSITIONS.problem(("a", "b"), "x").column == 6


def test_what_is_missing_is_placed_at_its_parents_key_or_value() -> None:
    assert str(POSITIONS.problem(("a", "missing"), "x")).startswith("f.yaml:2:1: a.missing")
    assert str(POSITIONS.problem(("a", "b", 0, "deep", "missing"), "x")).startswith("f.yaml:4:5: a.b.0.deep.missing")
    assert str(POSITIONS.problem(("missing",), "x")).startswith("f.yaml:1:1: missing")
    assert Positions("f.yaml", {}, {}).place(("a",)) == "f.yaml:1"


def test_a_place_is_file_and_line() -> None:
    assert POSITIONS.place(("a", "b", 0)) == "f.yaml:4"


def test_an_error_has_all_problems_sorted() -> None:
    late, early = POSITIONS.problem(("a", "b", 0), "late"), POSITIONS.problem((), "early")
    error = ConfigError(iter([late, early]))
    assert error.problems == (early, late)
    assert str(error).splitlines() == [str(early), str(late)]


def test_odd_keys_are_quoted_and_cut() -> None:
    assert show(("a", 0, "b/c-d_e")) == "a.0.b/c-d_e"
    assert show(("a.b",)) == '"a.b"'
    assert show(("\x1b[31m\n",)) == '"\\u001b[31m\\n"'
    assert len(show(("x" * 1000,))) < 100
