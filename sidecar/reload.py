"""When a configuration is read again: on a hangup signal, when its files change, and a while after it was refused.

What is read is taken by ``app`` or refused as a whole. A refused one is told once: again only when it is asked for, or
when something else is wrong with it.
"""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sidecar.app import App
from sidecar.config import watch
from sidecar.config.apart import load_apart
from sidecar.config.problems import ConfigError, ConfigProblem

log = logging.getLogger("sidecar.reload")

#: Seconds after which a refused configuration is tried again though its files are the same: what it lacked may be
#: there by then, such as a secret's file or a free port.
AGAIN: Final = 30.0


class Reloader:
    """Keeps a gateway's configuration as its files have it. known: what the load saw that the gateway started with."""

    def __init__(self, app: App, path: str | Path, known: watch.Contents) -> None:
        self._app = app
        self._path = path
        self._known = known
        self._patterns = _patterns(app)
        self._asked = asyncio.Event()
        self._told: dict[str, tuple[ConfigProblem, ...]] = {}
        self._refused = False

    def ask(self) -> None:
        """Have it read again, whether a file has changed or not."""
        self._told.clear()
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever that is due, until cancelled."""
        while True:
            await self._due()
            self._asked.clear()
            try:
                await self._reload()
            except Exception as error:  # noqa: BLE001 - whatever broke, what is in use goes on, and is tried again
                log.error("a reload broke off: %s", type(error).__name__)
                self._refused = True
                self._app.refuse(())

    async def _due(self) -> None:
        changed = asyncio.create_task(watch.changed(self._path, self._patterns, self._known))
        asked = asyncio.create_task(self._asked.wait())
        try:
            again = AGAIN if self._refused else None
            await asyncio.wait([changed, asked], timeout=again, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            asked.cancel()

    async def _reload(self) -> None:
        """Read the files and have the gateway take what they say, or tell why it does not."""
        before = self._known = await asyncio.to_thread(watch.look, self._path, self._patterns)
        try:
            loaded = await load_apart(self._path, self._app.included)
            self._patterns = tuple(include.files for include in loaded.config.include)
            self._known = watch.known(before, loaded)
            await self._app.reload(loaded)
        except ConfigError as error:
            self._patterns = error.includes or self._patterns
            self._refused = True
            self._app.refuse(error.problems)
            self._tell("", error.problems, "configuration refused; the last good one stays in use")
            return
        self._refused = False
        self._tell("", (), "")
        for included in loaded.includes:
            self._tell(included.name, included.problems, "include refused; files that were good before stay in use")

    def _tell(self, what: str, problems: Iterable[ConfigProblem], message: str) -> None:
        """Log problems that were not told already."""
        problems = tuple(problems)
        if problems and problems != self._told.get(what):
            extra = {"include": what} if what else {}
            log.error(message, extra={"problems": [str(problem) for problem in problems], **extra})
        self._told[what] = problems


def _patterns(app: App) -> tuple[str, ...]:
    return tuple(include.files for include in app.config.include)
