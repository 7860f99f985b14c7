"""The file that the demo runs on, ``routes.example.yaml``: where it is, and which ports it speaks of.

The file is used as it is. Only where its ports are not to be used (``--free-ports``) is a copy made, which differs in
nothing else.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sidecar

NAME: Final = "routes.example.yaml"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the cast, all on 127.0.0.1; 0 lets the system choose."""

    gateway: int
    admin: int
    authorization_server: int
    orders: int

    @property
    def named(self) -> tuple[tuple[str, int], ...]:
        """The ports and what listens there, in words; in the order of the fields."""
        return (
            ("the gateway", self.gateway),
            ("its admin listener", self.admin),
            ("the authorization server", self.authorization_server),
            ("the orders service", self.orders),
        )


#: As they stand in the file.
FILE_PORTS: Final = Ports(gateway=8080, admin=9090, authorization_server=8090, orders=9000)
FREE_PORTS: Final = Ports(0, 0, 0, 0)


def example_file() -> Path:
    """Return where the file is: beside this module in an installed package, at the top of a checkout."""
    packaged = Path(__file__).with_name(NAME)
    return packaged if packaged.exists() else Path(sidecar.__file__).parent.parent / NAME


def shown(path: Path) -> str:
    """Return a path as people like to read it: relative where it is below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def with_ports(text: str, ports: Ports) -> str:
    """Return the file's text with other ports."""
    new = {str(old): str(port) for (_, old), (_, port) in zip(FILE_PORTS.named, ports.named, strict=True)}
    return re.sub(rf"(?<={re.escape(LOOPBACK)}:)\d+\b", lambda match: new.get(match[0], match[0]), text)
