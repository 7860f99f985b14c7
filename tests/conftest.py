"""What every test shares."""

import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Deadlines and slowness are assertions about time, and these machines are shared.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", settings.get_profile("tests"), max_examples=10_000)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what a command that was run in this process did to logging: the next test looks for leaks in its logs."""
    root, ours, access = (logging.getLogger(name) for name in (None, "sidecar", "aiohttp.access"))
    levels = {logger: logger.level for logger in (root, ours, access)}
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    handlers, propagate, raising = root.handlers[:], access.propagate, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)
    access.propagate, logging.raiseExceptions = propagate, raising
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
