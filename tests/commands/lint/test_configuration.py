from sidecar.commands.lint.configuration import found
from sidecar.config.problems import Finding
from tests.commands.lint.conftest import Desk, route


def test_sections_and_compiled_routes_go_together(desk: Desk) -> None:
    configuration = desk.configuration(route("b", "/b"), route("a", "/a"))
    pairs = [(path, section.name, compiled.name) for path, section, compiled in configuration.pairs()]
    assert pairs == [(("routes", 0), "b", "b"), (("routes", 1), "a", "a")]


def test_a_finding_is_at_its_key() -> None:
    assert found(("cache",), "why") == Finding(("cache",), "why", at_key=True)
