from sidecar.oauth.jwt import generate_key, peek
from tests.support.canary import search
from tests.support.sts import CLIENT_SECRET, GATEWAY_SECRET, SECRET_CANARY, default_config, running_sts


async def test_mints_what_it_is_asked_for() -> None:
    async with running_sts() as sts:
        good = peek(sts.mint(aud=("a", "b"), acr="mfa"))
        assert good.header["typ"] == "at+jwt"
        assert (good.claims["iss"], good.claims["sub"], good.claims["aud"]) == (sts.issuer, "alice", ["a", "b"])
        assert good.claims["acr"] == "mfa"
        bare = peek(sts.mint(sub=None, aud=None, scope=None, exp=None, header={"typ": None}))
        assert not {"sub", "aud", "scope", "exp"} & bare.claims.keys()
        assert "typ" not in bare.header
        assert peek(sts.mint(key=generate_key("EdDSA", "k"), algorithm="EdDSA")).header["alg"] == "EdDSA"
        sts.rotate()
        assert peek(sts.mint()).header["kid"] != good.header["kid"]


def test_every_secret_of_the_cast_can_be_searched_for() -> None:
    for secret in (GATEWAY_SECRET, CLIENT_SECRET):
        assert search(secret.encode(), SECRET_CANARY)
    assert not search(repr(default_config("http://127.0.0.1")).encode(), SECRET_CANARY)
