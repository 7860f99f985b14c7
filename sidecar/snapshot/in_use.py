"""How many requests are being decided by a snapshot, so that its parts are closed under none of them."""

import asyncio


class InUse:
    """A count of those who entered and have not left; each does both, once."""

    def __init__(self) -> None:
        self._count = 0
        self._ended: asyncio.Future[None] | None = None

    def enter(self) -> None:
        """Begin to use it."""
        self._count += 1

    def leave(self) -> None:
        """Be done with it."""
        self._count -= 1
        if not self._count and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def ended(self) -> None:
        """Return when nobody uses it; to be waited for by one at a time, when nobody enters any more."""
        if self._count:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended
