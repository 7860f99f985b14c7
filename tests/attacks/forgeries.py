"""Tokens that nobody issued, each made as some library once took it: generated, class by class."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from joserfc.jwk import ECKey

from sidecar.oauth.jwt import generate_key, sign
from tests.support.sts import RunningSts

#: The order of P-256: with r or s of 0 or n some verifiers took any message.
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PRIME: Final = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF


def segment(value: Any) -> str:
    raw = (
        value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
    )
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(sts: RunningSts, public: dict[str, Any], elsewhere: str) -> Iterator[tuple[str, str]]:
    """Names and tokens. public: the issuer's key, as it publishes it. elsewhere: where nothing may connect to."""
    good = sts.mint()
    head, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    own = generate_key("ES256", header["kid"])
    certificate = base64.b64encode(ECKey.import_key(own.as_dict()).as_der(private=False)).decode()
    extra: dict[str, Any]
    alg: Any
    own_rsa = generate_key("RS256", header["kid"])

    def with_header(changed: Any, over: Any = claims, proof: str = signature) -> str:
        return f"{segment(changed)}.{segment(over)}.{proof}"

    for alg, proof in product(
        ("none", "None", "NONE", "nOnE", "", " none", "null", None, False, 0, [], {}), ("", signature, "AA")
    ):
        yield f"alg {alg!r} with {proof[:2]!r}", with_header(header | {"alg": alg}, proof=proof)
    yield "no alg", with_header({name: value for name, value in header.items() if name != "alg"})
    key = ECKey.import_key(public)
    pem = key.as_pem(private=False)
    secrets = {
        "PEM": pem,
        "PEM without its last line break": pem.rstrip(),
        "DER": key.as_der(private=False),
        "JWK": json.dumps(public).encode(),
        "JWK sorted": json.dumps(public, sort_keys=True, separators=(",", ":")).encode(),
        "x": base64.urlsafe_b64decode(public["x"] + "=="),
        "nothing": b"",
        "zero": b"\x00" * 32,
        "kid": public["kid"].encode(),
        "issuer": claims["iss"].encode(),
    }
    for (name, secret), bits in product(secrets.items(), ("256", "384", "512")):
        signed = f"{segment(header | {'alg': f'HS{bits}'})}.{payload}"
        yield f"HS{bits} with {name}", f"{signed}.{segment(hmac.digest(secret, signed.encode(), f'sha{bits}'))}"
    numbers = (0, 1, ORDER, ORDER - 1, ORDER + 1, PRIME, 2**256 - 1)
    for r, s in product(numbers, numbers):
        yield f"r {r:x}, s {s:x}", f"{head}.{payload}.{segment(r.to_bytes(32) + s.to_bytes(32))}"
    raw = base64.urlsafe_b64decode(signature + "==")
    for name, other in (
        ("cut", raw[:-1]),
        ("longer", raw + b"\x00"),
        ("twice", raw + raw),
        ("turned", raw[32:] + raw[:32]),
        ("DER", b"\x30\x44\x02\x20" + raw[:32] + b"\x02\x20" + raw[32:]),
        ("hashed", hashlib.sha256(f"{head}.{payload}".encode()).digest()),
    ):
        yield f"signature {name}", f"{head}.{payload}.{segment(other)}"
    for alg in (
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "Ed25519",
        "RS256",
        "PS256",
        "es256",
        "ES256 ",
        "RSA-OAEP",
        "dir",
        "A256GCM",
    ):
        yield f"alg {alg}", with_header(header | {"alg": alg})
    for name, extra in (
        ("jwk", {"jwk": own.as_dict(private=False)}),
        ("jku", {"jku": elsewhere}),
        ("x5u", {"x5u": elsewhere}),
        ("x5c", {"x5c": [certificate]}),
        ("all", {"jwk": own.as_dict(private=False), "jku": elsewhere, "x5u": elsewhere}),
        ("nothing", {}),
    ):
        yield f"own key by {name}", sign(claims, own, "ES256", header | extra)
        yield f"own RSA key by {name}", sign(claims, own_rsa, "RS256", header | extra | {"alg": "RS256"})
    for kid in (
        *(
            "",
            "/dev/null",
            "../../../../dev/null",
            "file:///dev/null",
            elsewhere,
            "' OR '1'='1",
            "x' UNION SELECT 'y",
            "|id",
            "$(id)",
        ),
        *(
            "\x00",
            f"{public['kid']}\x00",
            f" {public['kid']}",
            f"{public['kid']} ",
            public["kid"].upper() + "x",
            "a" * 8000,
            "..",
            "%00",
        ),
        *(None, 0, True, [], {}, [public["kid"]], {"kid": public["kid"]}),
    ):
        yield f"kid {str(kid)[:20]!r}", with_header(header | {"kid": kid})
        yield (
            f"own key by kid {str(kid)[:20]!r}",
            f"{segment(header | {'kid': kid})}.{payload}.{sign(claims, own, 'ES256').split('.')[2]}",
        )
    for name, extra in (
        ("crit", {"crit": ["exp"], "exp": 1}),
        ("crit that is empty", {"crit": []}),
        ("b64", {"b64": False, "crit": ["b64"]}),
        ("b64 alone", {"b64": False}),
        ("zip", {"zip": "DEF"}),
        ("cty", {"cty": "JWT"}),
        ("enc", {"enc": "A256GCM"}),
    ):
        yield f"header {name}", with_header(header | extra)
    yield "detached", f"{head}..{signature}"
    yield "detached and b64", f"{segment(header | {'b64': False, 'crit': ['b64']})}..{signature}"
    yield "nested", f"{segment(header | {'cty': 'JWT'})}.{segment(good)}.{signature}"
    yield "in itself", f"{head}.{segment(good)}.{signature}"
    for name, changed in (
        ("another subject", claims | {"sub": "admin"}),
        ("more scope", claims | {"scope": "admin"}),
        ("no end", {name: value for name, value in claims.items() if name != "exp"}),
        ("a later end", claims | {"exp": claims["exp"] + 1}),
    ):
        yield f"claims with {name}", f"{head}.{segment(changed)}.{signature}"
    twice = json.dumps(claims)[:-1] + ', "sub": "admin"}'
    yield "claims with sub twice", f"{head}.{segment(twice)}.{signature}"
    yield (
        "header with alg twice",
        f"{segment(json.dumps(header)[:-1] + ', ' + chr(34) + 'alg' + chr(34) + ': ' + chr(34) + 'none' + chr(34) + '}')}.{payload}.",
    )
    for name, text in (
        ("padded", f"{head}=.{payload}=.{signature}="),
        ("standard alphabet", good.replace("-", "+").replace("_", "/") + "+"),
        ("a part more", f"{good}.{signature}"),
        ("two parts more", f"{good}.{payload}.{signature}"),
        ("a part less", f"{head}.{payload}"),
        ("dots", "....."),
        ("turned", f"{payload}.{head}.{signature}"),
        ("deep", f"{head}.{segment('[' * 4000 + ']' * 4000)}.{signature}"),
        ("deep header", f"{segment('[' * 4000)}.{payload}.{signature}"),
        ("huge", f"{head}.{payload}.{'A' * 20_000}"),
        ("five parts", f"{segment({'alg': 'dir', 'enc': 'A256GCM', 'zip': 'DEF'})}..AAAA.AAAA.AAAA"),
        (
            "PBES2",
            f"{segment({'alg': 'PBES2-HS256+A128KW', 'enc': 'A128GCM', 'p2c': 2**31 - 1, 'p2s': 'AAAA'})}.A.A.A.A",
        ),
        ("JSON", json.dumps({"protected": head, "payload": payload, "signature": signature}, separators=(",", ":"))),
        (
            "JSON, general",
            json.dumps({"payload": payload, "signatures": [{"protected": head, "signature": signature}]}),
        ),
    ):
        yield f"text {name}", text
    for at in (0, len(head) // 2, len(head) + 5, len(good) - 5):
        yield f"another letter at {at}", good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
