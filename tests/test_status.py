from sidecar.config.loaded import Included
from sidecar.config.problems import ConfigProblem
from sidecar.status import config_status


def test_how_the_configuration_is() -> None:
    wrong, worse = ConfigProblem("f.yaml", 3, 1, "x", "no"), ConfigProblem("a.yaml", 1, 1, "", "broken")
    made = config_status("f.yaml", 0.0, [wrong], [Included("a", (worse,), ()), Included("b", (), ())])
    assert made.last_reload == "1970-01-01T00:00:00+00:00"
    assert made.errors == ("f.yaml:3:1: x: no",)
    assert made.includes == {"a": ("a.yaml:1:1: broken",), "b": ()}
