"""A stand-in for whoever is asked about tokens (RFC 7662), without a server behind it."""

from collections.abc import Mapping
from typing import Any

from sidecar.oauth.introspection import Introspection, IntrospectionUnavailable


class Vouching(Introspection):
    """Says what a test wants of any token: claims, None for one that is not active, or an error; counts how often."""

    def __init__(self, says: Mapping[str, Any] | IntrospectionUnavailable | None) -> None:
        self.says = says
        self.asked: list[str] = []

    async def introspect(self, token: str) -> Mapping[str, Any] | None:
        self.asked.append(token)
        if isinstance(self.says, IntrospectionUnavailable):
            raise self.says
        return self.says
