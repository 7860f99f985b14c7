"""How authorization servers depart from RFC 8693, as data: one value each, and no code that asks for a name.

``dialect`` says what can differ, ``known`` holds a value for each server, ``errors`` what error codes mean,
``overrides`` reads single switches from the configuration, ``fit`` tells what a server can't be asked for.
"""

from sidecar.exchange.dialects.dialect import Dialect
from sidecar.exchange.dialects.known import DIALECTS

__all__ = ["DIALECTS", "Dialect"]
