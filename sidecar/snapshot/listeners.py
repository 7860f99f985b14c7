"""Compiles the listeners section: what a request needs to know of its listener, and the TLS that each one serves.

Files are read here, so that one that can't be used is told with its place and not at the first bind.
"""

from functools import partial

from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigProblem
from sidecar.model.listener import DECISION, Direction, Form, Listener
from sidecar.rotation import Rotation
from sidecar.tls import ServerTLS, TLSError


def compile_listeners(loaded: Loaded) -> dict[str, Listener]:
    """Return the listeners by name, the decision listener among them."""
    config = loaded.config
    return {
        name: Listener(
            name=name,
            direction=Direction(section.direction),
            scheme="https" if section.tls is not None else "http",
            max_header_bytes=config.gateway.max_header_bytes,
            form=Form(config.decision.form) if config.decision is not None and name == DECISION else None,
        )
        for name, section in config.listeners.items()
    }


def compile_listener_tls(loaded: Loaded, rotation: Rotation, problems: list[ConfigProblem]) -> dict[str, ServerTLS]:
    """Return what each listener that serves https listens with, watched; what can't be made goes to ``problems``."""
    made: dict[str, ServerTLS] = {}
    for name, section in loaded.config.listeners.items():
        if (tls := section.tls) is not None:
            try:
                files = (tls.cert_file, tls.key_file, tls.client_ca_file)
                # The same object for the same files, so that a reload leaves the listener as it is.
                made[name] = rotation.shared((name, files), partial(ServerTLS, *files))
            except TLSError as error:
                place = (DECISION,) if name == DECISION else ("gateway", "listeners", name)
                problems.append(loaded.problem((*place, "tls"), str(error)))
    return made
