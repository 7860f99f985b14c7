"""Keys and certificates in the forms that a file may have, and what is neither."""

import base64
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import OctKey

from sidecar.oauth.jwt import ALGORITHMS, KeyFormatError, generate_key, jwk_set
from sidecar.sts.files import certificates, public_key, verification_keys
from tests.support.certificates import self_signed


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_keys(algorithm: str) -> None:
    key = generate_key(algorithm, "k")
    assert not isinstance(key, OctKey)
    assert not public_key(key.as_pem(private=False)).is_private
    for text in (key.as_pem(private=False), json.dumps(jwk_set([key])).encode()):
        assert len(verification_keys(text).candidates(None, algorithm)) == 1
    for text in (key.as_pem(private=True), b"", b"-----BEGIN", b"{}", b"[]", b"\xff", b'{"keys": []}'):
        with pytest.raises(KeyFormatError):
            verification_keys(text)


def test_certificates_in_pem_and_in_a_set(tmp_path: Path) -> None:
    pems = [Path(self_signed(tmp_path, name).cert_file).read_bytes() for name in ("one", "two")]
    expected = tuple(x509.load_pem_x509_certificate(pem) for pem in pems)
    assert certificates(b"".join(pems)) == expected
    chains = [[base64.b64encode(each.public_bytes(Encoding.DER)).decode()] for each in expected]
    assert certificates(json.dumps({"keys": [{"kty": "EC", "x5c": chain} for chain in chains]}).encode()) == expected
    # What stands behind the first is its authority's.
    assert certificates(json.dumps({"keys": [{"x5c": chains[0] + chains[1]}]}).encode()) == expected[:1]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b'{"keys": []}',
        b'{"keys": [{"kty": "EC"}]}',
        b'{"keys": [{"x5c": []}]}',
        b'{"keys": [{"x5c": ["AAAA"]}]}',
        b'{"keys": [{"x5c": ["!"]}]}',
        b'{"keys": 7}',
        b"{",
        b"\xff",
    ],
)
def test_what_is_no_certificate(text: bytes) -> None:
    with pytest.raises(KeyFormatError):
        certificates(text)
