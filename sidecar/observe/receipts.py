"""Receipts: which ones are written, what happens when they can't be, and the name a subject has in them.

The line's form is ``receipt_line``'s, its way to the disk ``line_writer``'s. No token, header or body is ever given to
this module; whether a path may be shown is its caller's promise.
"""

import hmac
import time
from typing import Final

from sidecar.model.clock import SYSTEM_CLOCK, Clock
from sidecar.model.flush import Flushed, Selection
from sidecar.model.receipt import Event, Receipt, Standing
from sidecar.model.tokens import Subject
from sidecar.observe import receipt_line
from sidecar.observe.line_writer import LineWriter

#: Seconds an exchange waits for its line. Then it goes on (``continue``), or is given up (``refuse``).
PATIENCE: Final = 1.0


class ReceiptNotWritten(Exception):
    """An exchange's receipt could not be written, and nothing may be forwarded without it."""


def hashed(key: bytes, sub: str) -> str:
    """Return the name of a subject in receipts with ``subject: hashed``."""
    return f"hmac:{hmac.digest(key, sub.encode('utf-8', 'surrogatepass'), 'sha256').hex()[:32]}"


def dropped(count: int) -> str:
    """Return the line that tells how many receipts were lost between the line before it and now."""
    now = time.time()
    return receipt_line.dropped_line(count, _stamp(_second(int(now)), now))


class Receipts:
    """Writes receipts.

    writer: None writes none. subject_key: hashes every subject's ``sub`` (HMAC-SHA-256; not the actors', who are
    workloads); None leaves it plain. uses: whether uses are written, beside exchanges and refusals. refuse:
    ``on_failure: refuse``.
    """

    def __init__(
        self,
        writer: LineWriter | None,
        *,
        subject_key: bytes | None = None,
        uses: bool = True,
        refuse: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._writer = writer
        self._subject_key = subject_key
        self._use_writer = writer if uses else None
        self._refuse = refuse
        self._wall = clock.wall
        self._second = -1
        self._second_text = ""

    def fragment(self, standing: Standing) -> str:
        """Return what is the same for every use of an issued token, to be kept with it and put into its receipts."""
        return "" if self._writer is None else receipt_line.fragment(standing, self._name_subject)

    def caller(self, subject: Subject) -> str:
        """Return what names a verified caller beside the fragment of a token that was got for one of ours."""
        return "" if self._writer is None else receipt_line.caller(subject, self._name_subject)

    @property
    def accepting(self) -> bool:
        """Whether a request may be forwarded: False only with ``on_failure: refuse`` and a queue half full.

        Ask before forwarding. The other half is for the lines of requests that are already under way.
        """
        return not self._refuse or self._writer is None or self._writer.room

    async def exchange(self, receipt: Receipt) -> None:
        """Write an exchange's receipt; returns when the operating system has it.

        Where it can't be written within a second: ReceiptNotWritten with ``on_failure: refuse``; otherwise it stays
        queued, and until writing works again nobody else waits.
        """
        if (writer := self._writer) is None:
            return
        text = receipt_line.line(Event.EXCHANGE, receipt, self._now())
        if not self._refuse and writer.failing:
            writer.offer(text)
        elif not await writer.write(text, PATIENCE) and self._refuse:
            raise ReceiptNotWritten

    def use(self, receipt: Receipt) -> bool:
        """Queue the receipt of one use, at its end; False when it is lost."""
        if (writer := self._use_writer) is None:
            return True
        return writer.offer(receipt_line.line(Event.USE, receipt, self._now()))

    def refusal(self, receipt: Receipt) -> bool:
        """Queue the receipt of one refusal; False when it is lost."""
        if (writer := self._writer) is None:
            return True
        return writer.offer(receipt_line.line(Event.REFUSAL, receipt, self._now()))

    def flushed(self, request_id: str, selected: Selection, flushed: Flushed) -> bool:
        """Queue the receipt of a flush; False when it is lost."""
        if (writer := self._writer) is None:
            return True
        return writer.offer(receipt_line.flush_line(request_id, selected, flushed, self._name_subject, self._now()))

    async def flush(self, timeout: float) -> bool:
        """Wait, ``timeout`` seconds at most, until all receipts so far are written; False when time ran out."""
        return self._writer is None or await self._writer.flush(timeout)

    async def close(self, timeout: float) -> None:
        """Write what is queued, for ``timeout`` seconds at most; the rest is lost and counted."""
        if self._writer is not None:
            await self._writer.close(timeout)

    def _name_subject(self, sub: str) -> str:
        return sub if self._subject_key is None else hashed(self._subject_key, sub)

    def _now(self) -> str:
        """The time as RFC 3339, UTC, with milliseconds; a second's text is made once."""
        now = self._wall()
        second = int(now)
        if second != self._second:
            self._second, self._second_text = second, _second(second)
        return _stamp(self._second_text, now)


def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _stamp(second: str, now: float) -> str:
    return f"{second}.{int((now - int(now)) * 1000):03d}Z"
