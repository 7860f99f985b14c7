import pickle

from tests.config.conftest import Workshop


def test_a_configuration_knows_where_its_keys_are(workshop: Workshop) -> None:
    text = """\
version: 1
routes:
  - name: a
    match: {path: /}
    upstream: {url: http://127.0.0.1:1}
    exchange: none
"""
    loaded = workshop.read(text)
    file = str(workshop.directory / "sidecar.yaml")
    assert loaded.place(("routes", 0)) == f"{file}:3"
    assert loaded.place(("routes", 0, "upstream", "tls")) == f"{file}:5"
    assert str(loaded.problem(("routes", 0, "match"), "ties with b")) == f"{file}:4:12: routes.0.match: ties with b"
    assert loaded.problem(("routes", 0, "match"), "x", at_key=True).column == 5


def test_it_passes_between_processes(workshop: Workshop) -> None:
    loaded = workshop.load_with("gateway.trusted_proxies", ["10.0.0.0/8", "::1"])
    assert pickle.loads(pickle.dumps(loaded)) == loaded
