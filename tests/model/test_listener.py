from typing import get_args, get_type_hints

from sidecar.config.schema.gateway import Listener as Section
from sidecar.model.listener import Direction


def test_directions_are_the_configurations() -> None:
    assert {*get_args(get_type_hints(Section)["direction"])} == {*Direction}
