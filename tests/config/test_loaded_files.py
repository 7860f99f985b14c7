import pickle

from sidecar.config.loaded import Included, Loaded, Source, TeamFile, locate
from sidecar.config.problems import Mark, Path, Positions
from tests.config.conftest import Workshop


def team_file(name: str, first: int, *lines: int) -> TeamFile:
    marks: dict[Path, Mark] = {("routes", number): Mark(line, 5) for number, line in enumerate(lines)}
    return TeamFile(Positions(name, {}, marks), first)


FILES = (team_file("x.yaml", 1, 3, 9), team_file("empty.yaml", 3), team_file("y.yaml", 3, 7))


def test_each_route_stands_in_its_own_file(workshop: Workshop) -> None:
    one = workshop.load()
    loaded = Loaded(one.config, one.positions, FILES)
    assert loaded.place(("routes", 0)) == one.place(("routes", 0))
    assert [loaded.place(("routes", number)) for number in (1, 2, 3)] == ["x.yaml:3", "x.yaml:9", "y.yaml:7"]
    assert str(loaded.problem(("routes", 2, "match"), "why")) == "x.yaml:9:5: routes.1.match: why"
    assert loaded.problem(("version",), "why").file == one.positions.file
    assert loaded.problem(("routes",), "why").file == one.positions.file


def test_what_is_no_route_of_theirs_is_in_none() -> None:
    assert locate(FILES, ("routes", 0)) is None
    assert locate(FILES, ("routes",)) is None
    assert locate(FILES, ("include", 1)) is None
    assert locate((), ("routes", 1)) is None


def test_it_passes_between_processes(workshop: Workshop) -> None:
    one = workshop.load()
    problem = one.problem(("version",), "why")
    loaded = Loaded(one.config, one.positions, FILES, (Included("a", (problem,), (Source("x.yaml", b"x"),)),))
    assert pickle.loads(pickle.dumps(loaded)) == loaded
