import errno
import socket

import pytest

from sidecar.demo.example import FREE_PORTS, Ports
from sidecar.demo.listening import CannotStart, listen


def test_free_ports_are_real_ones() -> None:
    listening = listen(FREE_PORTS)
    try:
        for sock, port in (
            (listening.authorization_server, listening.ports.authorization_server),
            (listening.orders, listening.ports.orders),
        ):
            assert port > 0
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
            assert sock.getsockname() == ("127.0.0.1", port)
        assert (listening.ports.gateway, listening.ports.admin) == (0, 0)
    finally:
        listening.close()


def test_the_gateways_own_ports_are_left_to_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        free = sock.getsockname()[1]
    listening = listen(Ports(free, 0, 0, 0))
    try:
        with socket.create_server(("127.0.0.1", free)) as sock:
            assert sock.getsockname()[1] == free
    finally:
        listening.close()


def test_every_taken_port_is_named_and_the_others_are_let_go() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            free = sock.getsockname()[1]
        taken, also = first.getsockname()[1], second.getsockname()[1]
        with pytest.raises(CannotStart) as caught:
            listen(Ports(gateway=taken, admin=0, authorization_server=free, orders=also))
        assert str(caught.value).splitlines() == [
            f"127.0.0.1:{taken}, for the gateway: is taken",
            f"127.0.0.1:{also}, for the orders service: is taken",
            "End what listens there, or let the system choose the ports: sidecar demo --free-ports",
        ]
        with socket.create_server(("127.0.0.1", free)):
            pass


def test_another_obstacle_is_told_as_the_system_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: tuple[str, int]) -> socket.socket:
        raise OSError(errno.EACCES, "whatever")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(CannotStart, match=r"127\.0\.0\.1:81, for its admin listener: Permission denied"):
        listen(Ports(80, 81, 82, 83))
