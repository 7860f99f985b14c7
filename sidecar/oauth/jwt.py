"""JSON Web Tokens, signed ones only (RFC 7519, RFC 7515, RFC 8725): read, verify, sign.

JOSE itself is joserfc's; what lives here is the policy around it: which keys of a set may be used, for which
algorithm, and that nothing but a compact JWS over a strict JSON object is a token. Foreign exceptions end here.
What a token's claims must say is judged by the callers.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, Key, KeyParameters, OKPKey, RSAKey, import_key
from joserfc.util import urlsafe_b64decode

# RFC 9864 deprecates the name "EdDSA" for "Ed25519"; servers will send it for years, and a log line each is noise.
warnings.filterwarnings("ignore", "EdDSA is deprecated")

#: Algorithms by the key type that serves them; symmetric and ``none`` are left out on purpose (RFC 8725 §3.1, §3.2).
ALGORITHMS: Final[Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSAKey),
    **dict.fromkeys(("ES256", "ES384", "ES512"), ECKey),
    **dict.fromkeys(("EdDSA", "Ed25519"), OKPKey),
}
CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
DEFAULT_ALGORITHMS: Final = ("RS256", "ES256", "PS256", "EdDSA")
MIN_RSA_BITS: Final = 2048
MAX_TOKEN_BYTES: Final = 16 * 1024
MAX_DEPTH: Final = 64  # levels of lists and objects; nothing honest comes near

# Header parameters that nobody here knows are ignored, as RFC 7515 §4 asks (some servers add their own), and a header
# may carry a certificate chain; the library's defaults refuse both. What is critical is refused in peek().
_REGISTRY: Final = jws.JWSRegistry(algorithms=tuple(ALGORITHMS), strict_check_header=False)
_REGISTRY.max_header_length = MAX_TOKEN_BYTES

# Moduli of the flawed generator of CVE-2017-15361 (ROCA) are powers of 65537 modulo each of these primes; other
# moduli pass all of these tests once in some 100 million.
_ROCA: Final = tuple(
    (prime, frozenset(pow(65537, exponent, prime) for exponent in range(prime)))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
)


class JWTError(Exception):
    """The text is no signed token that we would trust; the message is constant and names no part of the token."""


class AlgorithmError(JWTError):
    """The token is signed with an algorithm that is not allowed."""


class UnknownKeyError(JWTError):
    """No key of the set fits the token's ``kid`` and algorithm: the set may be older than the key."""


class KeyFormatError(Exception):
    """A key or key set can't be read; the message names no key material."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token's header and claims. Whether they were verified depends on which function returned them."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any] = field(repr=False)


class VerificationKeys:
    """The public keys of one issuer, usable ones only (RFC 7517 §5: unknown or unfit members are passed over)."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def from_jwks(cls, document: object) -> "VerificationKeys":
        """Read a JWK Set document.

        KeyFormatError: it is no object with a list of keys. An empty set is returned as such.
        """
        members = document.get("keys") if isinstance(document, Mapping) else None
        if not isinstance(members, list):
            raise KeyFormatError("not a JWK Set")
        return cls([key for member in members if (key := _public_key(member)) is not None])

    def candidates(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that may verify a token with this ``kid`` and algorithm."""
        return [key for key in self._keys if (kid is None or key.get("kid") == kid) and _key_fits(key, algorithm)]


def peek(token: str) -> SignedToken:
    """Read a token without verifying it.

    JWTError: it is no compact JWS (three parts, at most 16 KiB) over a JSON object without duplicate members, has a
    critical header that nobody here understands, or no algorithm.
    """
    if len(token) > MAX_TOKEN_BYTES or token.count(".") != 2:
        raise JWTError("not a compact JWS")
    try:
        protected, payload, _ = (urlsafe_b64decode(part.encode("ascii")) for part in token.split("."))
        header, claims = strict_json(protected), strict_json(payload)
    except (ValueError, RecursionError):
        raise JWTError("not a compact JWS over JSON") from None
    if not isinstance(header, dict) or not isinstance(claims, dict) or not isinstance(header.get("alg"), str):
        raise JWTError("not a JSON object with an algorithm")
    if "crit" in header or header.get("b64", True) is not True:
        raise JWTError("critical header parameters are not understood")
    if not isinstance(header.get("kid", ""), str):
        raise JWTError("kid is not text")
    return SignedToken(header, claims)


def verify(token: str, keys: VerificationKeys, algorithms: Sequence[str]) -> SignedToken:
    """Check a token's signature and return what it says. Times and audience are the caller's to judge.

    AlgorithmError: it is signed in another way. UnknownKeyError: no key fits its ``kid`` and algorithm. JWTError:
    anything else is wrong with it.
    """
    signed = peek(token)
    algorithm = signed.header["alg"]
    if algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise AlgorithmError("algorithm is not allowed")
    candidates = keys.candidates(signed.header.get("kid"), algorithm)
    if not candidates:
        raise UnknownKeyError("no key fits")
    for key in candidates:
        try:
            jws.deserialize_compact(token, key, registry=_REGISTRY)
        except (JoseError, ValueError):
            continue
        return signed
    raise JWTError("signature does not verify")


def sign(claims: Mapping[str, Any], key: Key, algorithm: str, header: Mapping[str, Any] | None = None) -> str:
    """Sign claims with a private key; ``kid`` is the caller's to put into ``header``.

    KeyFormatError: the key does not fit the algorithm.
    """
    if not _key_fits(key, algorithm):
        raise KeyFormatError(f"the key does not fit {algorithm}")
    payload = json.dumps(claims, separators=(",", ":"))
    try:
        return jws.serialize_compact({**(header or {}), "alg": algorithm}, payload, key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError):
        raise KeyFormatError(f"the key can't sign with {algorithm}") from None


def private_key(text: bytes, algorithm: str) -> Key:
    """Read a private key for signing with this algorithm: PEM (PKCS #8, PKCS #1, SEC 1) or one JWK as JSON.

    KeyFormatError: it is none, is public only, or does not fit the algorithm (RFC 8725 §3.2).
    """
    key_class = ALGORITHMS.get(algorithm)
    if key_class is None:
        raise KeyFormatError(f"{algorithm} is no algorithm for signing")
    try:
        with _quiet():
            key = import_key(json.loads(text)) if text.lstrip().startswith(b"{") else key_class.import_key(text)
        usable = key.is_private and _key_fits(key, algorithm)
    except (JoseError, ValueError, TypeError):
        raise KeyFormatError("not a PEM or JWK private key") from None
    if not usable:
        raise KeyFormatError(f"the key is not a private key for {algorithm}")
    return key


def generate_key(algorithm: str, kid: str) -> Key:
    """Make a new private key for an algorithm."""
    parameters: KeyParameters = {"kid": kid, "use": "sig", "alg": algorithm}
    if (curve := CURVES.get(algorithm)) is not None:
        return ECKey.generate_key(curve, parameters)
    if ALGORITHMS[algorithm] is OKPKey:
        return OKPKey.generate_key("Ed25519", parameters)
    return RSAKey.generate_key(MIN_RSA_BITS, parameters)


def jwk_set(keys: Sequence[Key]) -> dict[str, Any]:
    """Return the public JWK Set document of keys (RFC 7517 §5)."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


def strict_json(text: bytes | str) -> Any:
    """Parse JSON as the field should: UTF-8, no duplicate members, no lone surrogates, no NaN or Infinity.

    ValueError: it is anything else, or nested more than 64 deep; the message names none of its content.
    RecursionError: it is nested so deep that the parser gives up.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        document = json.loads(
            text, object_pairs_hook=_unique_members, parse_constant=_refuse_constant, parse_float=_finite
        )
        if "\\u" in text:  # only an escape can bring in half a surrogate pair, which can't be encoded again
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        if text.count("[") + text.count("{") > MAX_DEPTH:  # else it can't be too deep
            _check_depth(document)
    except ValueError:
        raise ValueError("not strict JSON") from None
    return document


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate members")
    return members


def _check_depth(document: Any) -> None:
    """Refuse what is nested too deep; how deep the parser goes by itself depends on the version of Python."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            member
            for value in level
            if isinstance(value, dict | list)
            for member in (value.values() if isinstance(value, dict) else value)
        ]
    if any(isinstance(value, dict | list) for value in level):
        raise ValueError("nested too deep")


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a JSON number")
    return number


def _quiet() -> "warnings.catch_warnings[None]":
    """Silence the library's warnings about weak keys: they are refused here, and a warning can be made an error."""
    return warnings.catch_warnings(action="ignore", category=SecurityWarning)


def _public_key(member: object) -> Key | None:
    """One member of a set as a key, or None where it is not one that may verify signatures."""
    if not isinstance(member, dict) or member.get("use", "sig") != "sig":
        return None
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        with _quiet():
            key = import_key(member)
        if key.is_private:  # a secret that was published proves nothing
            return None
        if isinstance(key.raw_value, RSAPublicKey) and not _sound(key.raw_value):
            return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key


def _sound(public: RSAPublicKey) -> bool:
    """Whether an RSA key is long enough and not of the generator whose keys can be factored (RFC 8725 §3.5)."""
    modulus = public.public_numbers().n
    return public.key_size >= MIN_RSA_BITS and not all(modulus % prime in residues for prime, residues in _ROCA)


def _key_fits(key: Key, algorithm: str) -> bool:
    """Whether a key may be used with this algorithm: one key, one algorithm (RFC 8725 §3.1, RFC 7518 §3.4)."""
    if not isinstance(key, ALGORITHMS[algorithm]) or key.get("alg") not in (None, algorithm):
        return False
    match key:
        case RSAKey():
            return bool(key.raw_value.key_size >= MIN_RSA_BITS)
        case ECKey():
            return key.curve_name == CURVES[algorithm]
        case OKPKey():
            return key.curve_name == "Ed25519"
        case _:
            return False
