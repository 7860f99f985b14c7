"""A request's head as the way in accepted it: bytes as they came, and the few things that decisions need."""

from dataclasses import dataclass, field

Fields = tuple[tuple[bytes, bytes], ...]


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

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all field lines with this lower-case name, in order."""
        return [value for key, value in self.fields if key.lower() == name]
