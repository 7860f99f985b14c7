import asyncio
import io
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observe.logs import FOREIGN_MESSAGE, JsonFormatter, configure, redact

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
CANARY = "c4n4ry-0123456789"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged after ``configure``; the process's own logging is put back afterwards."""
    root, names = logging.getLogger(), ("sidecar", "aiohttp.access")
    before = root.handlers[:], root.level, logging.raiseExceptions
    levels = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in names}
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    stream = io.StringIO()
    configure(stream=stream)
    yield stream
    root.handlers[:], logging.raiseExceptions = before[0], before[2]
    root.setLevel(before[1])
    for name, (level, propagate) in levels.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).propagate = propagate
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_object_with_its_named_values(log: io.StringIO) -> None:
    logging.getLogger("sidecar.config").info("reloaded %s", "twice", extra={"routes": 3, "errors": ("a", None, 1.5)})
    (line,) = _lines(log)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "sidecar.config",
        "message": "reloaded twice",
        "routes": 3,
        "errors": ["a", None, 1.5],
    }


def test_levels(log: io.StringIO) -> None:
    logging.getLogger("sidecar").debug("no")
    logging.getLogger("aiohttp.client").info("no")
    configure("DEBUG", log)
    logging.getLogger("sidecar").debug("yes")
    logging.getLogger("aiohttp.access").critical("no")
    assert [line["message"] for line in _lines(log)] == ["yes"]


def test_configuring_twice_writes_once(log: io.StringIO) -> None:
    configure(stream=log)
    logging.getLogger("sidecar").info("once")
    assert len(_lines(log)) == 1


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text() | st.floats() | st.integers() | st.binary()))
@pytest.mark.threat("S11")
def test_nothing_in_a_record_ends_its_line_or_poses_as_another_member(text: str, values: dict[str, Any]) -> None:
    record = logging.makeLogRecord({"name": "sidecar", "msg": text, "args": (), "levelname": "INFO"})
    for name, value in values.items():
        if name not in vars(record) and name not in ("message", "asctime"):  # as logging itself sets extras
            vars(record)[name] = value
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line, parse_constant=pytest.fail)
    assert found["message"] == redact(text)
    assert (found["level"], found["logger"]) == ("info", "sidecar")


def test_an_extra_cannot_take_the_place_of_a_member(log: io.StringIO) -> None:
    logging.getLogger("sidecar").info("true", extra={"level": "forged", "logger": "forged", "time": "forged"})
    (line,) = _lines(log)
    assert (line["level"], line["logger"], line["level_"]) == ("info", "sidecar", "forged")


def test_values_nobody_foresaw_show_only_their_class(log: io.StringIO) -> None:
    class Secretive:
        def __repr__(self) -> str:
            return CANARY

    logging.getLogger("sidecar").info("odd", extra={"value": Secretive(), "more": {"inner": b"bytes"}})
    (line,) = _lines(log)
    assert line["value"].endswith("Secretive")
    assert line["more"] == {"inner": "bytes"}
    assert CANARY not in log.getvalue()


def test_arguments_that_do_not_fit_lose_only_themselves(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("sidecar").info("%d lines", CANARY)
    assert _lines(log)[0]["message"] == "%d lines"
    assert CANARY not in log.getvalue() + "".join(capsys.readouterr())


@pytest.mark.threat("S9")
def test_exceptions_are_told_by_class_and_place_never_by_text(log: io.StringIO) -> None:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise RuntimeError(CANARY) from error
    except RuntimeError:
        logging.getLogger("sidecar").exception("a step failed")
    (line,) = _lines(log)
    assert line["exceptions"] == ["RuntimeError", "KeyError"]
    assert re.fullmatch(r"test_logs\.py:\d+", line["at"])
    assert CANARY not in log.getvalue()


def test_exceptions_that_go_in_circles_end(log: io.StringIO) -> None:
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    logging.getLogger("sidecar").error("odd", exc_info=one)
    assert _lines(log)[0]["exceptions"][:3] == ["ValueError", "KeyError", "ValueError"]


def test_an_exception_raised_from_none_hides_what_was_before(log: io.StringIO) -> None:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError:
            raise RuntimeError(CANARY) from None
    except RuntimeError:
        logging.getLogger("sidecar").exception("a step failed")
    assert _lines(log)[0]["exceptions"] == ["RuntimeError"]


@pytest.mark.parametrize("logger", ["aiohttp.server", "asyncio", "sidecars", "a.sidecar"])
def test_of_a_library_only_classes_are_kept(log: io.StringIO, logger: str) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger(logger).exception("Error from %s", CANARY, extra={"task": CANARY})
    (line,) = _lines(log)
    assert line["message"] == FOREIGN_MESSAGE
    assert line["exceptions"] == ["ValueError"]
    assert CANARY not in log.getvalue()


@pytest.mark.parametrize(
    "head",
    [
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {CANARY}\x01\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {CANARY}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {CANARY}{'x' * 9000}\r\n\r\n",
        f"GET /{CANARY} HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_a_request_the_server_rejects_leaves_no_byte_of_itself(log: io.StringIO, head: str) -> None:
    async def fail(request: web.BaseRequest) -> web.Response:
        raise RuntimeError(request.path)

    server = await asyncio.get_running_loop().create_server(web.Server(fail), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(head.encode())
    async with asyncio.timeout(10):
        assert await reader.readline()
    writer.close()
    server.close()
    assert [line["logger"] for line in _lines(log)] == ["aiohttp.server"]
    assert CANARY not in log.getvalue()


async def test_a_task_that_nobody_awaited_leaves_no_text(log: io.StringIO) -> None:
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": CANARY, "exception": ValueError(CANARY), "task": CANARY})
    (line,) = _lines(log)
    assert (line["logger"], line["exceptions"]) == ("asyncio", ["ValueError"])
    assert CANARY not in log.getvalue()


def test_uncaught_exceptions_are_logged_like_others(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError(CANARY)
    sys.excepthook(ValueError, error, None)
    thread = threading.Thread(target=lambda: int(CANARY))
    thread.start()
    thread.join(10)

    class Careless:
        def __del__(self) -> None:
            raise KeyError(CANARY)

    Careless().__class__  # noqa: B018  # made and dropped
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    lines = _lines(log)
    assert [line["exceptions"] for line in lines] == [["ValueError"], ["ValueError"], ["KeyError"]]
    assert {line["level"] for line in lines} == {"critical"}
    assert CANARY not in log.getvalue() + "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"got {JWT}.", "got [redacted]"),
        (f"x%20{JWT}", "x%20[redacted]"),
        (JWT.partition(".")[0], "[redacted]"),
        ("Authorization: Bearer opaque-token==", "Authorization: Bearer [redacted]"),
        ("authorization: bearer  opaque.token~1", "authorization: bearer [redacted]"),
        ("Basic dXNlcjpwYXNz+/==", "Basic [redacted]"),
        ("a=1&subject_token=opaque&b=2", "a=1&subject_token=[redacted]&b=2"),
        ("client_secret=s3cret", "client_secret=[redacted]"),
        ('{"access_token":"opaque","x":1}', '{"access_token":"[redacted]","x":1}'),
        ('{\\"id_token\\" : \\"opaque\\"}', '{\\"id_token\\" : \\"[redacted]\\"}'),
    ],
)
@pytest.mark.threat("S10")
def test_credentials_are_redacted(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "receipts can't be written",
        "the keys_unavailable monkeypatched eyes.example.com",
        "a bearer token is required",
        "subject_token: caller",
        "jti:0f0e and sha256:0123456789abcdef",
        "https://login.example.com/realms/corp",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("piece", ["ey", "eyJ", "bearer ", "password", "password\\", "client_assertion=", "e", "\\"])
@pytest.mark.threat("S67")
def test_redaction_of_long_text_is_no_burden(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    assert len(redact(text)) <= len(text) + 20 * len(text) // len(piece)


def test_a_credential_in_a_message_or_value_is_redacted(log: io.StringIO) -> None:
    logging.getLogger("sidecar").info("odd %s", JWT, extra={"value": [f"Bearer {CANARY}"], "inner": {JWT: JWT}})
    assert JWT[:20] not in log.getvalue()
    assert CANARY not in log.getvalue()
    assert _lines(log)[0]["inner"] == {"[redacted]": "[redacted]"}
