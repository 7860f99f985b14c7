"""A request's head as the way in accepted it: bytes as they came, and the few things that decisions need."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Fields = tuple[tuple[bytes, bytes], ...]
#: The values of field lines by lower-case name, each name's in order.
Named = Mapping[bytes, list[bytes]]


@dataclass(frozen=True, slots=True)
class RequestHead:
    """One request, without its body.

    path, query: the target's own bytes; query is None where there is no ``?`` and empty after a bare one.
    host: the effective host, lower-case, without port and trailing dot; empty where HTTP/1.0 named none.
    authority: ``Host`` or the absolute target's authority, as it came.
    content_length: bytes, or None; with ``chunked`` false and None there is no body.
    scheme: of the listener (``http`` or ``https``).
    peer: the address of the connection's other end, None on a unix socket.
    expects_continue: the caller waits for ``100 Continue`` (RFC 9110 §10.1.1).
    named: ``by_name(fields)``, which is made here unless it is given.
    """

    listener: str
    method: str
    path: bytes = field(repr=False)
    query: bytes | None = field(repr=False)
    host: str
    authority: bytes = field(repr=False)
    fields: Fields = field(repr=False)
    version: tuple[int, int]
    scheme: str
    peer: str | None
    content_length: int | None
    chunked: bool
    expects_continue: bool
    request_id: str
    named: Named = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.named:
            object.__setattr__(self, "named", by_name(self.fields))

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all field lines with this lower-case name, in order; not to be changed."""
        return self.named.get(name, [])


def by_name(fields: Fields) -> dict[bytes, list[bytes]]:
    """Sort field lines by their lower-case names, each name's values in order."""
    named: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        lowered = name.lower()
        if lowered in named:
            named[lowered].append(value)
        else:
            named[lowered] = [value]
    return named
