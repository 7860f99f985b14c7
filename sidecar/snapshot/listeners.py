"""Compiles the listeners section: what a request needs to know of its listener, and the TLS that each one serves.

Files are read here, so that one that can't be used is told with its place and not at the first bind.
"""

import ssl

from sidecar.config.loaded import Loaded
from sidecar.config.problems import ConfigProblem
from sidecar.model.listener import Direction, Listener
from sidecar.tls import TLSError, server_context


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


def compile_listener_tls(loaded: Loaded, problems: list[ConfigProblem]) -> dict[str, ssl.SSLContext]:
    """Return the context of each listener that serves https; what can't be made is added to ``problems``."""
    contexts: dict[str, ssl.SSLContext] = {}
    for name, section in loaded.config.gateway.all_listeners.items():
        if (tls := section.tls) is not None:
            try:
                contexts[name] = server_context(tls.cert_file, tls.key_file, tls.client_ca_file)
            except TLSError as error:
                problems.append(loaded.problem(("gateway", "listeners", name, "tls"), str(error)))
    return contexts
