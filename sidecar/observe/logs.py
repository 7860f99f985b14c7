"""Logs: one JSON object a line on stderr, and nothing in them that a caller or a peer wrote.

Our own loggers (``sidecar`` and below) speak in constant sentences with named values beside them. What libraries log
quotes headers, tasks and exception texts, so of their records only the logger, the level and the classes of exceptions
are kept. Redaction of what looks like a credential is the last line of defence, never the first.
"""

import json
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from types import TracebackType
from typing import Any, Final, TextIO

ROOT: Final = "sidecar"
FOREIGN_MESSAGE: Final = "a library reported something"
REDACTED: Final = "[redacted]"

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_RESERVED: Final = frozenset({"time", "level", "logger", "exceptions", "at"})
_MAX_CHAIN: Final = 8
_CREDENTIALS: Final = (
    # A JOSE compact form, or its beginning: base64url of "{" and what may follow it in JSON (RFC 7515 §7.1).
    (re.compile(r"(?:ey[JA]|ew[o0])[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*"), REDACTED),
    # Credentials of an authentication scheme (RFC 9110 §11.4).
    (re.compile(r"(?i)\b(bearer|basic|dpop) +[A-Za-z0-9._~+/-]{8,}=*"), rf"\1 {REDACTED}"),
    # A parameter that carries a secret, in a form, a query or JSON.
    (
        re.compile(
            r"(?i)((?:access_token|refresh_token|id_token|subject_token|actor_token|client_secret|client_assertion"
            r"|\bassertion|password)(?:=|[\"\\]+ *: *[\"\\]+))[^&\s\"\\]+"
        ),
        rf"\1{REDACTED}",
    ),
)


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all logs of this process to ``stream`` (stderr by default), at ``level`` and above for our own loggers.

    Libraries are heard from WARNING on, aiohttp's access log never. Uncaught exceptions are logged the same way.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(level)
    access = logging.getLogger("aiohttp.access")
    access.propagate = False
    access.setLevel(logging.CRITICAL + 1)
    logging.raiseExceptions = False  # else a record that can't be written is printed, arguments and all
    sys.excepthook = _log_uncaught
    sys.unraisablehook = lambda unraisable: _log_uncaught(unraisable.exc_type, unraisable.exc_value)
    threading.excepthook = lambda thread: _log_uncaught(thread.exc_type, thread.exc_value)


def redact(text: str) -> str:
    """Return the text with everything that looks like a credential replaced."""
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """Makes a record one line of JSON; exceptions are told by their classes and where they were raised."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line feed: ASCII, and redacted."""
        own = record.name == ROOT or record.name.startswith(f"{ROOT}.")
        members: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record) if own else FOREIGN_MESSAGE,
        }
        if own:
            members |= {
                name if name not in _RESERVED else f"{name}_": value
                for name, value in vars(record).items()
                if name not in _STANDARD
            }
        if record.exc_info and record.exc_info[1] is not None:
            members["exceptions"] = list(_classes(record.exc_info[1]))
            members["at"] = _innermost(record.exc_info[2])
        return json.dumps({name: _plain(value) for name, value in members.items()}, separators=(",", ":"))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # arguments that don't fit: their own code may raise anything
        return str(record.msg)


def _plain(value: object) -> Any:
    """A value as JSON can say it: text redacted, and of anything unforeseen its class only."""
    match value:
        case str():
            return redact(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case Mapping():
            return {redact(str(name)): _plain(item) for name, item in value.items()}
        case _:
            return _class_name(value)


def _classes(error: BaseException) -> Iterator[str]:
    """The class of an exception and of what caused it, outermost first."""
    link: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if link is None:
            return
        yield _class_name(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _innermost(traceback: TracebackType | None) -> str | None:
    """Where an exception was raised: file name and line; no path, no source line, no value."""
    place = None
    while traceback is not None:
        place = f"{PurePath(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _class_name(value: object) -> str:
    return type(value).__qualname__


def _rfc3339(seconds: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"


def _log_uncaught(
    kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None = None
) -> None:
    if kind is not KeyboardInterrupt:
        logging.getLogger(ROOT).critical("an exception was not caught", exc_info=error)
