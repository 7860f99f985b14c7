from sidecar.config.addresses import Address
from sidecar.config.schema import Admin, Cache, Gateway, Receipts
from tests.config.conftest import read


def test_defaults() -> None:
    gateway = read(Gateway, {})
    assert (gateway.max_in_flight, gateway.max_header_bytes, gateway.max_body_bytes) == (1024, 65536, None)
    assert (gateway.max_streams, gateway.max_connections, gateway.header_timeout) == (4096, 4096, 10.0)
    assert (gateway.keepalive_timeout, gateway.drain.delay, gateway.drain.grace) == (75.0, 5.0, 20.0)
    assert gateway.trusted_proxies == ()
    admin = read(Admin, {})
    assert (admin.listen, admin.pages) == (Address("127.0.0.1", 9090), "loopback")
    receipts = read(Receipts, {})
    assert (receipts.sink, receipts.subject, receipts.uses, receipts.on_failure) == (
        "stdout",
        "plain",
        "all",
        "continue",
    )
    cache = read(Cache, {})
    assert (cache.max_entries, cache.max_bytes, cache.early_expiry) == (10000, 64 * 1024**2, 30.0)
    assert (cache.refresh_ahead, cache.max_lifetime, cache.negative_lifetime) == (0.8, 3600.0, 10.0)
