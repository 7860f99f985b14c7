"""Takes the demo's ports before anything is started, so that a conflict is told at once, in full and by name."""

import errno
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from sidecar.demo.example import LOOPBACK, Ports

_HELP: Final = "End what listens there, or let the system choose the ports: sidecar demo --free-ports"


class CannotStart(Exception):
    """The demo can't be set up; the message says why, in one line or several."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The sockets of those the gateway speaks to, listening; ports: with the ones they really have."""

    authorization_server: socket.socket
    orders: socket.socket
    ports: Ports

    def close(self) -> None:
        """Let go of what nobody took over; closing one that was taken over and closed is harmless."""
        self.authorization_server.close()
        self.orders.close()


def listen(ports: Ports) -> Listening:
    """Bind the sockets of the gateway's peers, and make sure that the gateway's own ports are free.

    CannotStart: some port can't be had; every one is named.
    """
    sockets: list[socket.socket] = []
    problems: list[str] = []
    with ExitStack() as stack:
        for name, port in ports.named:
            try:
                sockets.append(stack.enter_context(socket.create_server((LOOPBACK, port))))
            except OSError as error:
                why = "is taken" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
                problems.append(f"{LOOPBACK}:{port}, for {name}: {why}")
        if problems:
            raise CannotStart("\n".join((*problems, _HELP)))
        stack.pop_all()
    gateway, admin, authorization_server, orders = sockets
    for own in (gateway, admin):  # held only to see that they are free: the gateway binds them itself
        own.close()
    real = replace(ports, authorization_server=_port(authorization_server), orders=_port(orders))
    return Listening(authorization_server, orders, real)


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])
