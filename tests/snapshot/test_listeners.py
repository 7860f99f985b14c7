import ssl

from sidecar.model.listener import Direction, Form, Listener
from sidecar.rotation import Rotation
from sidecar.snapshot.listeners import compile_listener_tls, compile_listeners
from tests.snapshot.conftest import PEERS, ROUTE, Folder
from tests.support.certificates import Authority


def test_the_short_form(folder: Folder) -> None:
    loaded = folder.load(PEERS + ROUTE + "gateway: {listen: '127.0.0.1:0', max_header_bytes: 8KiB}\n")
    assert compile_listeners(loaded) == {"default": Listener("default", Direction.INGRESS, "http", 8192)}
    assert compile_listener_tls(loaded, Rotation(), []) == {}


def test_several(folder: Folder) -> None:
    authority = Authority(folder.path)
    ours = authority.issue("127.0.0.1")
    tls = f"cert_file: {ours.cert_file}, key_file: {ours.key_file}"
    loaded = folder.load(
        PEERS
        + ROUTE.replace("name: orders", "name: orders\n    listener: out")
        + f"""
gateway:
  listeners:
    out: {{listen: '127.0.0.1:0', direction: egress}}
    open: {{listen: '127.0.0.1:0', tls: {{{tls}}}}}
    closed: {{listen: '0.0.0.0:0', tls: {{{tls}, client_ca_file: {authority.ca_file}}}}}
"""
    )
    assert [(name, made.direction, made.scheme) for name, made in compile_listeners(loaded).items()] == [
        ("out", Direction.EGRESS, "http"),
        ("open", Direction.INGRESS, "https"),
        ("closed", Direction.INGRESS, "https"),
    ]
    contexts = compile_listener_tls(loaded, Rotation(), [])
    assert {name: listening.context.verify_mode for name, listening in contexts.items()} == {
        "open": ssl.CERT_NONE,
        "closed": ssl.CERT_REQUIRED,
    }


def test_the_decision_listener(folder: Folder) -> None:
    authority = Authority(folder.path)
    ours = authority.issue("127.0.0.1")
    tls = f"cert_file: {ours.cert_file}, key_file: {ours.key_file}, client_ca_file: {authority.ca_file}"
    loaded = folder.load(PEERS + ROUTE + f"decision: {{listen: '0.0.0.0:0', form: forwarded, tls: {{{tls}}}}}\n")
    assert compile_listeners(loaded) == {
        "decision": Listener("decision", Direction.INGRESS, "https", 65536, Form.FORWARDED)
    }
    assert compile_listener_tls(loaded, Rotation(), [])["decision"].context.verify_mode == ssl.CERT_REQUIRED
    folder.file("a.pem", "no certificate")
    bad = PEERS + ROUTE + "decision: {listen: '127.0.0.1:0', form: envoy, tls: {cert_file: a.pem, key_file: a.pem}}\n"
    [complaint] = folder.complaints(bad)
    assert complaint.split(": ")[1] == "decision.tls"


def test_files_that_can_not_be_used_are_told_with_their_place(folder: Folder) -> None:
    folder.file("a.pem", "no certificate")
    folder.file("a.key", "no key")
    ours = Authority(folder.path).issue("127.0.0.1")
    good = f"cert_file: {ours.cert_file}, key_file: {ours.key_file}"
    text = (
        PEERS
        + ROUTE.replace("name: orders", "name: orders\n    listener: one")
        + f"""
gateway:
  listeners:
    one: {{listen: '127.0.0.1:0', tls: {{cert_file: a.pem, key_file: a.key}}}}
    two: {{listen: '127.0.0.1:0', tls: {{{good}, client_ca_file: a.key}}}}
"""
    )
    assert folder.complaints(text) == [
        (
            "routes.yaml:17:39: gateway.listeners.one.tls: "
            "a.pem and a.key are no certificate and private key that belong together"
        ),
        "routes.yaml:18:39: gateway.listeners.two.tls: a.key holds no certificates that can be used",
    ]
