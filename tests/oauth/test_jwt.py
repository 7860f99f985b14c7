"""Tokens and keys as attackers and careless servers make them (RFC 8725; the classes of Wycheproof's JWS and JWK)."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OctKey, OKPKey

from sidecar.oauth import jwt
from sidecar.oauth.jwt import JWTError, KeyFormatError, UnknownKeyError, VerificationKeys
from tests.support.canary import Canary, search

RSA_KEY = jwt.generate_key("RS256", "rsa")
OTHER_RSA = jwt.generate_key("RS256", "rsa")
EC_KEY = jwt.generate_key("ES256", "ec")
ED_KEY = jwt.generate_key("EdDSA", "ed")
PUBLIC = jwt.jwk_set([RSA_KEY])["keys"][0]
KEYS = VerificationKeys.from_jwks(jwt.jwk_set([RSA_KEY, EC_KEY, ED_KEY]))
ALLOWED = ("RS256", "ES256", "EdDSA")
CLAIMS = {"sub": "alice"}


def encode(part: object) -> str:
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def private(key: Key) -> rsa.RSAPrivateKey:
    assert isinstance(key.raw_value, rsa.RSAPrivateKey)
    return key.raw_value


def signed(header: object, claims: object = CLAIMS, key: Key = RSA_KEY) -> str:
    """An RS256 signature over anything, by hand: no library's rules between the attacker and us."""
    text = f"{encode(header)}.{encode(claims)}"
    return f"{text}.{encode(private(key).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def header(**changes: object) -> dict[str, object]:
    return {"alg": "RS256", "kid": "rsa"} | changes


def refused(token: str, keys: VerificationKeys = KEYS, algorithms: tuple[str, ...] = ALLOWED) -> JWTError:
    with pytest.raises(JWTError) as caught:
        jwt.verify(token, keys, algorithms)
    return caught.value


# --- what is good


@pytest.mark.parametrize("algorithm", sorted(jwt.ALGORITHMS))
def test_what_is_signed_verifies(algorithm: str) -> None:
    key = jwt.generate_key(algorithm, "k")
    keys = VerificationKeys.from_jwks(json.loads(json.dumps(jwt.jwk_set([key]))))
    token = jwt.sign(CLAIMS, key, algorithm, {"kid": "k", "typ": "at+jwt"})
    found = jwt.verify(token, keys, [algorithm])
    assert dict(found.claims) == CLAIMS
    assert dict(found.header) == {"alg": algorithm, "kid": "k", "typ": "at+jwt"}
    head, claims, _ = token.split(".")
    other = jwt.sign({"sub": "bob"}, key, algorithm, {"kid": "k", "typ": "at+jwt"}).rpartition(".")[2]
    assert "does not verify" in str(refused(f"{head}.{claims}.{other}", keys, (algorithm,)))


@pytest.mark.parametrize(
    "more",
    [
        {"pi.atm": "1", "nonce": "x"},  # parameters of one server's own (RFC 7515 §4: ignored)
        {"x5c": ["A" * 4000]},  # a certificate chain: present, long, never used
    ],
)
def test_header_parameters_that_nobody_knows_are_ignored(more: dict[str, object]) -> None:
    assert jwt.verify(signed(header(**more)), KEYS, ALLOWED).claims == CLAIMS


def test_a_token_without_kid_is_tried_against_every_key_that_fits() -> None:
    keys = VerificationKeys.from_jwks({"keys": [jwt.jwk_set([OTHER_RSA])["keys"][0] | {"kid": "other"}, PUBLIC]})
    assert jwt.verify(signed({"alg": "RS256"}), keys, ALLOWED).claims == CLAIMS


# --- algorithms: none, confusion, embedded keys


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
@pytest.mark.threat("S54")
def test_none_is_no_algorithm(name: str, signature: str) -> None:
    token = f"{encode({'alg': name})}.{encode(CLAIMS)}.{signature}"
    for algorithms in (ALLOWED, ("none", "", name)):
        refused(token, algorithms=algorithms)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.threat("S54")
def test_a_public_key_is_no_shared_secret(algorithm: str) -> None:
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    text = f"{encode(header(alg=algorithm))}.{encode(CLAIMS)}"
    public = private(RSA_KEY).public_key()
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    subject_info, pkcs1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
    secrets = [
        *(public.public_bytes(encoding, form) for encoding in (pem, der) for form in (subject_info, pkcs1)),
        public.public_bytes(pem, subject_info).rstrip(),
        json.dumps(PUBLIC).encode(),
        str(PUBLIC["n"]).encode(),
        b"",
    ]
    for secret in secrets:
        token = f"{text}.{encode(hmac.new(secret, text.encode(), digest).digest())}"
        for algorithms in (ALLOWED, (algorithm, "RS256")):
            refused(token, algorithms=algorithms)


@pytest.mark.threat("S54")
def test_a_shared_secret_in_a_set_verifies_nothing() -> None:
    secret = b"a secret of thirty-two bytes, eh"
    text = f"{encode(header(alg='HS256', kid='oct'))}.{encode(CLAIMS)}"
    token = f"{text}.{encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"
    mixed = {"keys": [{"kty": "oct", "kid": "oct", "alg": "HS256", "k": encode(secret)}, PUBLIC]}
    keys = VerificationKeys.from_jwks(mixed)
    assert len(keys) == 1
    refused(token, keys, ("HS256", "RS256"))
    assert jwt.verify(signed(header()), keys, ALLOWED).claims == CLAIMS


def test_an_algorithm_that_is_not_allowed() -> None:
    assert "not allowed" in str(refused(signed(header()), algorithms=("ES256",)))


def test_one_key_one_algorithm() -> None:
    """The key says RS256; PS256 by the same key is another matter (RFC 8725 §3.1)."""
    text = f"{encode(header(alg='PS256'))}.{encode(CLAIMS)}"
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    token = f"{text}.{encode(private(RSA_KEY).sign(text.encode(), pss, hashes.SHA256()))}"
    assert isinstance(refused(token, algorithms=("PS256", "RS256")), UnknownKeyError)
    free = VerificationKeys.from_jwks({"keys": [{name: PUBLIC[name] for name in ("kty", "n", "e", "kid")}]})
    assert jwt.verify(token, free, ["PS256"]).claims == CLAIMS


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": jwt.jwk_set([OTHER_RSA])["keys"][0]},
        {"jku": "https://attacker.example/jwks"},
        {"x5u": "https://attacker.example/x5u"},
        {"jwk": jwt.jwk_set([OTHER_RSA])["keys"][0], "jku": "https://attacker.example/", "kid": "rsa"},
    ],
)
@pytest.mark.threat("S56")
def test_a_key_that_a_token_brings_along_is_not_used(more: dict[str, object]) -> None:
    refused(signed(header(**more), key=OTHER_RSA))
    assert jwt.verify(signed(header(**more)), KEYS, ALLOWED).claims == CLAIMS


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1 --", "https://attacker.example/k", "\x00", "a" * 8000])
@pytest.mark.threat("S56")
def test_a_kid_is_compared_and_nothing_else(kid: str) -> None:
    assert isinstance(refused(signed(header(kid=kid))), UnknownKeyError)


# --- headers and forms


@pytest.mark.parametrize(
    "head",
    [
        header(crit=["exp"], exp=1),
        header(crit=[]),
        header(crit=None),
        header(crit=["b64"], b64=False),
        header(b64=False),
        header(b64="false"),
        header(b64=0),
        header(kid=1),
        header(kid=None),
        header(kid=["rsa"]),
        header(alg=["RS256"]),
        header(alg=None),
        {"kid": "rsa"},
        [],
        ["alg"],
        "alg",
        1,
        None,
        b"",
        b"{",
        b"\xff\xfe",
        b'\xef\xbb\xbf{"alg":"RS256","kid":"rsa"}',
        b'{"alg":"none","alg":"RS256","kid":"rsa"}',
        b'{"alg":"RS256","kid":"other","kid":"rsa"}',
        b'{"alg":"RS256","kid":"rsa","a":NaN}',
        b'{"alg":"RS256","kid":"rsa","a":' + b"[" * 4000 + b"]" * 4000 + b"}",
    ],
)
@pytest.mark.threat("S55")
def test_a_header_that_is_refused(head: object) -> None:
    token = signed(head)
    refused(token)
    with pytest.raises(JWTError):
        jwt.peek(token)


@pytest.mark.parametrize(
    "claims",
    [
        [],
        "alice",
        None,
        1,
        b"",
        b"{",
        b"\xff",
        b'{"sub":"alice","sub":"bob"}',
        b'{"a":{"sub":"alice","sub":"bob"}}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":1e999}',
        b'{"exp":-1e999}',
        b'{"exp":' + b"9" * 5000 + b"}",
        b'{"sub":"\\ud800"}',
        b'{"\\udfff":1}',
        b"{'sub':'alice'}",
        b"{} {}",
        b'{"a":' + b"[" * 4000 + b"]" * 4000 + b"}",
    ],
)
def test_claims_that_are_refused(claims: object) -> None:
    token = signed(header(), claims)
    refused(token)
    with pytest.raises(JWTError):
        jwt.peek(token)


def test_escapes_that_are_text_are_kept() -> None:
    found = jwt.verify(signed(header(), b'{"sub":"\\ud83d\\ude00\\u00e9"}'), KEYS, ALLOWED)
    assert found.claims == {"sub": "😀é"}


GOOD = signed(header())
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        f"{HEAD}.{PAYLOAD}",
        f"{HEAD}.{PAYLOAD}.",
        f"{HEAD}..{SIGNATURE}",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{GOOD}.{SIGNATURE}",
        f"{GOOD}=",
        f"{GOOD}\n",
        f" {GOOD}",
        f"{HEAD} .{PAYLOAD}.{SIGNATURE}",
        f"{HEAD}.{PAYLOAD}.{SIGNATURE[:9]}!!{SIGNATURE[9:]}",
        f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-1]}",
        f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-1]}{chr(ord(SIGNATURE[-1]) + 1)}",  # bits beyond the last byte
        f"{HEAD}.{PAYLOAD}.{SIGNATURE}é",
        f"{GOOD}{'A' * jwt.MAX_TOKEN_BYTES}",
        json.dumps({"protected": HEAD, "payload": PAYLOAD, "signature": SIGNATURE}),
        json.dumps({"payload": PAYLOAD, "signatures": [{"protected": HEAD, "signature": SIGNATURE}]}),
        json.dumps({"payload": GOOD}),
        f"{encode({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.AAAA.AAAA.AAAA.AAAA",
        f"{encode({'alg': 'PBES2-HS256+A128KW', 'enc': 'A128GCM', 'p2c': 2**31 - 1, 'p2s': 'AAAA'})}.A.A.A.A",
        f"{encode({'alg': 'dir', 'enc': 'A256GCM', 'zip': 'DEF'})}..AAAA.AAAA.AAAA",
    ],
)
@pytest.mark.threat("S55", "S57")
def test_what_is_no_compact_jws(token: str) -> None:
    refused(token)


def test_every_byte_of_a_signature_counts() -> None:
    raw = urlsafe_b64decode(SIGNATURE + "==")
    for index in range(0, len(raw), 17):
        broken = bytearray(raw)
        broken[index] ^= 1
        refused(f"{HEAD}.{PAYLOAD}.{encode(bytes(broken))}")


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_an_ecdsa_signature_has_its_size(size: int) -> None:
    token = jwt.sign(CLAIMS, EC_KEY, "ES256", {"kid": "ec"})
    refused(f"{token.rpartition('.')[0]}.{encode(bytes(size))}")
    refused(f"{token.rpartition('.')[0]}.{encode(bytes(64))}")  # r = s = 0


@given(st.text())
@pytest.mark.fuzz
def test_no_text_breaks_anything(text: str) -> None:
    refused(text)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=80))
@pytest.mark.fuzz
def test_no_bytes_break_anything(head: bytes, claims: bytes, signature: bytes) -> None:
    refused(f"{encode(head)}.{encode(claims)}.{encode(signature)}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c", "jku"]), json_values))
@pytest.mark.fuzz
def test_no_header_breaks_anything_or_verifies_another_key(head: dict[str, Any]) -> None:
    refused(signed(head | {"alg": "RS256", "kid": "rsa"}, key=OTHER_RSA))
    refused(signed(head, key=OTHER_RSA))


# --- key sets


def number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def roca_modulus() -> int:
    """A modulus as the flawed generator makes it: a power of 65537 modulo the product of small primes."""
    product = 1
    for prime in (3, 5, 7, 11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157):
        product *= prime
    modulus = pow(65537, 1234567, product) + ((1 << 2047) // product + 1) * product
    while modulus % 2 == 0:
        modulus += product
    return modulus


def _bare(key: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name not in without}


EC_PUBLIC = jwt.jwk_set([EC_KEY])["keys"][0]
TINY = rsa.generate_private_key(65537, 1024).public_key().public_numbers()


@pytest.mark.parametrize(
    "member",
    [
        PUBLIC | {"use": "enc"},
        PUBLIC | {"use": ["sig"]},
        PUBLIC | {"use": None},
        _bare(PUBLIC, "use") | {"key_ops": ["encrypt"]},
        PUBLIC | {"key_ops": "verify"},
        PUBLIC | {"key_ops": ["verify", []]},
        PUBLIC | {"kid": 1},
        PUBLIC | {"alg": {}},
        PUBLIC | {"n": number(TINY.n)},
        PUBLIC | {"n": number(roca_modulus())},
        PUBLIC | {"n": 3},
        PUBLIC | {"n": "é"},
        PUBLIC | {"n": ""},
        PUBLIC | {"e": "AQ"},
        PUBLIC | {"e": "Ag"},
        PUBLIC | {"x5c": [1]},
        PUBLIC | {"kty": "EC"},
        PUBLIC | {"kty": ["RSA"]},
        _bare(PUBLIC, "kty"),
        RSA_KEY.as_dict(private=True),  # published, so anyone signs with it
        {"kty": "oct", "k": "AAAA"},
        {"kty": "oct", "k": ""},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        EC_PUBLIC | {"y": EC_PUBLIC["x"]},  # not on the curve
        EC_PUBLIC | {"crv": "P-384"},
        EC_PUBLIC | {"crv": "P-999"},
        EC_PUBLIC | {"crv": ["P-256"]},
        EC_PUBLIC | {"kty": "RSA"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        "RSA",
        None,
        [],
    ],
)
@pytest.mark.threat("S59")
def test_a_member_that_is_no_key_for_signatures_is_passed_over(member: object) -> None:
    keys = VerificationKeys.from_jwks({"keys": [member, EC_PUBLIC]})
    assert len(keys) == 1
    assert isinstance(refused(signed(header()), keys), UnknownKeyError)
    assert jwt.verify(jwt.sign(CLAIMS, EC_KEY, "ES256", {"kid": "ec"}), keys, ALLOWED).claims == CLAIMS


@pytest.mark.parametrize(
    "member",
    [
        EC_PUBLIC | {"alg": "ES512"},
        EC_PUBLIC | {"alg": "ES521"},
        EC_PUBLIC | {"alg": "RS256"},
        jwt.jwk_set([ECKey.generate_key("secp256k1", {"kid": "ec"})])["keys"][0],
        jwt.jwk_set([jwt.generate_key("ES384", "ec")])["keys"][0],
    ],
)
@pytest.mark.threat("S59")
def test_a_key_of_another_algorithm_or_curve_verifies_nothing(member: dict[str, Any]) -> None:
    token = jwt.sign(CLAIMS, EC_KEY, "ES256", {"kid": "ec"})
    assert isinstance(refused(token, VerificationKeys.from_jwks({"keys": [member]})), UnknownKeyError)


def test_ed448_is_not_taken_for_ed25519() -> None:
    keys = VerificationKeys.from_jwks(jwt.jwk_set([OKPKey.generate_key("Ed448", {"kid": "ed"})]))
    assert isinstance(refused(jwt.sign(CLAIMS, ED_KEY, "EdDSA", {"kid": "ed"}), keys), UnknownKeyError)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.threat("S59")
def test_a_kid_that_two_keys_share(order: int) -> None:
    """All of them are the issuer's; each may verify what it signed, in either order (RFC 7517 §4.5)."""
    keys = VerificationKeys.from_jwks(jwt.jwk_set([RSA_KEY, OTHER_RSA][::order]))
    for key in (RSA_KEY, OTHER_RSA):
        assert jwt.verify(signed(header(), key=key), keys, ALLOWED).claims == CLAIMS
    refused(signed(header(), key=jwt.generate_key("RS256", "rsa")), keys)


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": None}, {"keys": {}}, {"keys": "x"}, PUBLIC])
def test_what_is_no_key_set(document: object) -> None:
    with pytest.raises(KeyFormatError, match="not a JWK Set"):
        VerificationKeys.from_jwks(document)


def test_an_empty_set_is_one() -> None:
    assert len(VerificationKeys.from_jwks({"keys": []})) == 0


@given(json_values)
@pytest.mark.threat("S59")
def test_no_set_breaks_anything(document: object) -> None:
    VerificationKeys.from_jwks({"keys": [document, {"kty": "RSA", "n": document, "e": document}]})


# --- our own keys


def pem(key: Key, *, private: bool = True, password: str | None = None) -> bytes:
    assert not isinstance(key, OctKey)
    return key.as_pem(private=private, password=password)


@pytest.mark.parametrize("algorithm", sorted(jwt.ALGORITHMS))
def test_a_private_key_is_read_as_pem_and_as_jwk(algorithm: str) -> None:
    key = jwt.generate_key(algorithm, "k")
    keys = VerificationKeys.from_jwks(jwt.jwk_set([key]))
    jwk = json.dumps(key.as_dict(private=True)).encode()
    for text in (pem(key), b"\n" + jwk):
        token = jwt.sign(CLAIMS, jwt.private_key(text, algorithm), algorithm)
        assert jwt.verify(token, keys, [algorithm]).claims == CLAIMS


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        (b"", "RS256"),
        (b"canary-garbage", "RS256"),
        (b"\xff\xfe", "RS256"),
        (b"{", "RS256"),
        (b'{"keys": []}', "RS256"),
        (b'{"kty": "oct", "k": "AAAA"}', "RS256"),
        (pem(RSA_KEY, private=False), "RS256"),
        (pem(RSA_KEY, password="canary-password"), "RS256"),
        (pem(EC_KEY), "RS256"),
        (pem(RSA_KEY), "ES256"),
        (pem(EC_KEY), "ES384"),
        (pem(RSA_KEY), "HS256"),
        (pem(RSA_KEY), "none"),
        (
            rsa.generate_private_key(65537, 1024).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "RS256",
        ),
    ],
)
def test_what_is_no_private_key_for_an_algorithm(text: bytes, algorithm: str) -> None:
    with pytest.raises(KeyFormatError) as caught:
        jwt.private_key(text, algorithm)
    assert "canary" not in str(caught.value)


def test_signing_with_a_key_that_does_not_fit() -> None:
    with pytest.raises(KeyFormatError):
        jwt.sign(CLAIMS, EC_KEY, "ES384")
    with pytest.raises(KeyFormatError):
        jwt.sign(CLAIMS, ECKey.import_key(EC_PUBLIC), "ES256")


def test_a_published_set_holds_no_private_part() -> None:
    for member in jwt.jwk_set([RSA_KEY, EC_KEY, ED_KEY])["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(member)


# --- JSON


@given(json_values)
def test_strict_json_reads_what_json_writes(value: object) -> None:
    assert jwt.strict_json(json.dumps(value)) == value
    assert jwt.strict_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=100))
def test_strict_json_raises_value_errors_only(text: bytes) -> None:
    try:
        jwt.strict_json(text)
    except ValueError as error:
        message = str(error)
    else:
        return
    assert message == "not strict JSON"


# --- nothing leaks


@pytest.mark.threat("S10")
def test_no_part_of_a_token_or_key_is_in_a_message_or_repr() -> None:
    canary = Canary.fresh("claim")
    tokens = [
        signed(header(kid=canary.text), {"sub": canary.text}),
        signed(header(), {"sub": canary.text}, OTHER_RSA),
        signed(header(alg=canary.text)),
        canary.text,
        f"{canary.text}.{canary.text}.{canary.text}",
    ]
    shown = "".join(repr(refused(token)) + str(refused(token)) for token in tokens)
    shown += repr(jwt.verify(signed(header(), {"sub": canary.text}), KEYS, ALLOWED))
    assert not search(shown.encode(), canary)
