"""Compiles the listeners section: what a request needs to know of its listener, and the TLS that each one serves.

Files are read here, so that one that can't be used is told with its place and not at the first bind.
"""

from functools import partial

from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigProblem
from sidecar.model.listener import Direction, Listener
from sidecar.rotation import Rotation
from sidecar.tls import ServerTLS, TLSError


def compile_listeners(loaded: Loaded) -> dict[str, Listener]:
    """Return the gateway's listeners by name."""
    gateway = loaded.config.gateway
    return {
        name: Listener(
            name=name,
            direction=Direction(section.direction),
            scheme="https" if section.tls is not None else "http",
            max_header_bytes=gateway.max_header_bytes,
        )
        for name, section in gateway.all_listeners.items()
    }


def compile_listener_tls(loaded: Loaded, rotation: Rotation, problems: list[ConfigProblem]) -> dict[str, ServerTLS]:
    """Return what each listener that serves https listens with, watched; what can't be made goes to ``problems``."""
    made: dict[str, ServerTLS] = {}
    for name, section in loaded.config.gateway.all_listeners.items():
        if (tls := section.tls) is not None:
            try:
                files = (tls.cert_file, tls.key_file, tls.client_ca_file)
                # The same object for the same files, so that a reload leaves the listener as it is.
                made[name] = rotation.shared((name, files), partial(ServerTLS, *files))
            except TLSError as error:
                problems.append(loaded.problem(("gateway", "listeners", name, "tls"), str(error)))
    return made
