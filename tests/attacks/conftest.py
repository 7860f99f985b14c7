"""Attacks are made on the same world as the tests of the gateway itself."""

from tests.faces.conftest import world

__all__ = ["world"]
