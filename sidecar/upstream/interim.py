"""The 1xx responses before a final one: counted, judged, and kept until they are passed on (RFC 9110 §15.2).

A 101 is not one of them: it ends HTTP on its connection, which is for ``connection`` to allow.
"""

from collections import deque
from typing import Final

from sidecar.upstream.errors import UpstreamUnavailable
from sidecar.upstream.head import Fields, ResponseHead
from sidecar.wire.framing import response_framing

MAX_INFORMATIONAL: Final = 16
_PASSED_ON: Final = frozenset({100, 103})


class Interim:
    """The informational responses to one request, in order."""

    __slots__ = ("_count", "_waiting")

    def __init__(self) -> None:
        self._count = 0
        self._waiting: deque[tuple[int, Fields]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self, method: str, head: ResponseHead) -> None:
        """Take the next one; only those that mean something to a caller are kept.

        FramingError: it claims to have a body. UpstreamUnavailable: there are too many.
        """
        response_framing(method, head.status, head.version, head.fields)
        self._count += 1
        if self._count > MAX_INFORMATIONAL:
            raise UpstreamUnavailable("too many informational responses")
        if head.status in _PASSED_ON:
            self._waiting.append((head.status, head.fields))

    def next(self) -> tuple[int, Fields]:
        """Return status and fields of the first that was not passed on; there must be one."""
        return self._waiting.popleft()
