import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.model.tokens import ACCESS_TOKEN, JWT, Actor, act_chain
from sidecar.oauth.jwt import VerificationKeys, generate_key, peek, sign
from sidecar.sts.audit import UNKNOWN, AuditLine
from sidecar.sts.config import ANYONE, Client, Config, Policy, TrustedIssuer
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.form import Form
from sidecar.sts.grants import GRANTS, Desk
from sidecar.sts.issuers import Issuers
from sidecar.sts.keys import SigningKeys
from tests.sts.conftest import Hands
from tests.support.sts import TOKEN_EXCHANGE, default_config

ISS = "https://sts.example"
CORP = "https://corp.example"
CORP_KEY = generate_key("ES256", "corp")


class Office:
    """A desk with its own clock and keys, and the names of its clients."""

    def __init__(self, hands: Hands, config: Config) -> None:
        self.hands = hands
        keys = SigningKeys("ES256", config.lifetime, hands.clock)
        self.desk = Desk(config, keys, Issuers(config, keys, hands.clock), hands.clock)
        self.clients: dict[str, Client] = {client.client_id: client for client in config.clients}
        self.line = AuditLine(0)

    def token(self, sub: str = "alice", **claims: Any) -> str:
        return self.desk.keys.sign(
            {"iss": ISS, "sub": sub, "aud": "orders-gateway", "exp": self.hands.now + 60, **claims}
        )

    async def ask(self, client: str, grant: str, **values: str | tuple[str, ...]) -> dict[str, Any]:
        form = Form({name: (value,) if isinstance(value, str) else value for name, value in values.items()})
        self.line = AuditLine(0, known={"orders-api", "orders.read", "orders.write", "orders-gateway"})
        return await GRANTS[grant](self.desk, self.clients[client], form, self.line)

    async def exchange(self, client: str = "gateway", **values: str | tuple[str, ...]) -> dict[str, Any]:
        given = {"subject_token": self.token(), "subject_token_type": ACCESS_TOKEN, "audience": "orders-api", **values}
        return await self.ask(client, TOKEN_EXCHANGE, **{name: value for name, value in given.items() if value})

    def change_policies(self, **changes: Any) -> None:
        policies = tuple(replace(policy, **changes) for policy in self.desk.config.policies)
        self.desk = replace(self.desk, config=replace(self.desk.config, policies=policies))

    def claims(self, reply: dict[str, Any]) -> dict[str, Any]:
        return dict(peek(reply["access_token"]).claims)

    async def refused(self, **values: str | tuple[str, ...]) -> Code:
        with pytest.raises(TokenError) as caught:
            await self.exchange(**values)  # type: ignore[arg-type]
        return caught.value.code


@pytest.fixture
def office(hands: Hands) -> Office:
    config = default_config(ISS)
    corp = TrustedIssuer(CORP, keys=VerificationKeys([CORP_KEY]))
    anyone = Policy("gateway", (ANYONE,), ("all-api",), ("all",), actors=(ANYONE,), further_exchange=True)
    return Office(hands, replace(config, trusted_issuers=(corp,), policies=(*config.policies, anyone)))


@pytest.mark.parametrize(
    "login", [{}, {"acr": "mfa"}, {"auth_time": 1_700_000_000}, {"acr": "mfa", "amr": ["otp"], "auth_time": 5}]
)
async def test_how_the_person_logged_in_is_carried_over_and_nothing_else(office: Office, login: dict[str, Any]) -> None:
    token = office.token(**login, roles=["admin"], email="alice@example.com", may_act={"sub": "gateway"})
    claims = office.claims(await office.exchange(subject_token=token))
    assert {name: claims[name] for name in ("acr", "amr", "auth_time") if name in claims} == login
    assert not {"roles", "email", "may_act"} & set(claims)


async def test_the_actors_login_is_not_the_persons(office: Office) -> None:
    actor = office.token("agent", acr="mfa", auth_time=5)
    office.change_policies(actors=(ANYONE,))
    claims = office.claims(await office.exchange(actor_token=actor, actor_token_type=ACCESS_TOKEN))
    assert not {"acr", "auth_time"} & set(claims)


async def test_an_exchange(office: Office) -> None:
    reply = await office.exchange(scope="orders.read orders.write")
    assert {name: reply[name] for name in reply if name != "access_token"} == {
        "token_type": "Bearer",
        "issued_token_type": ACCESS_TOKEN,
        "expires_in": 300,
        "scope": "orders.read orders.write",
    }
    claims = office.claims(reply)
    jti, now = claims.pop("jti"), int(office.hands.now)
    assert claims == {
        "iss": ISS,
        "sub": "alice",
        "aud": ["orders-api"],
        "scope": "orders.read orders.write",
        "client_id": "gateway",
        "iat": now,
        "exp": now + 300,
        "act": {"iss": ISS, "sub": "gateway"},
    }
    assert peek(reply["access_token"]).header["typ"] == "at+jwt"
    line = office.line
    assert (line.decision, line.token, line.lifetime) == ("issued", jti, 300)
    assert (line.subject, line.actors) == (Actor(ISS, "alice"), (Actor(ISS, "gateway"),))
    assert (line.audience, line.scope) == (("orders-api",), ("orders.read", "orders.write"))


async def test_each_token_has_its_own_id(office: Office) -> None:
    assert len({office.claims(await office.exchange())["jti"] for _ in range(20)}) == 20


async def test_no_scope_asked_gives_none(office: Office) -> None:
    reply = await office.exchange()
    assert "scope" not in reply
    assert "scope" not in office.claims(reply)


async def test_several_targets_of_both_kinds(office: Office) -> None:
    resource = "https://orders.example.com/v1"
    reply = await office.exchange(audience=("orders-api", "orders-api"), resource=(resource,))
    assert office.claims(reply)["aud"] == ["orders-api", resource]


async def test_requested_token_type(office: Office) -> None:
    assert (await office.exchange(requested_token_type=JWT))["issued_token_type"] == JWT
    assert await office.refused(requested_token_type="urn:ietf:params:oauth:token-type:refresh_token") == (
        Code.INVALID_REQUEST
    )


async def test_an_actor_token_comes_before_the_earlier_actors(office: Office) -> None:
    subject = office.token(act={"sub": "app", "act": {"iss": CORP, "sub": "older"}})
    actor = office.token("agent-7", aud=ISS)
    reply = await office.exchange(subject_token=subject, actor_token=actor, actor_token_type=JWT)
    app = {"iss": ISS, "sub": "app", "act": {"iss": CORP, "sub": "older"}}
    assert office.claims(reply)["act"] == {"iss": ISS, "sub": "agent-7", "act": app}


async def test_semantics(office: Office) -> None:
    assert "act" not in office.claims(await office.exchange(audience="echo-api"))
    bob = office.token("bob")
    assert "act" not in office.claims(await office.exchange(subject_token=bob))
    earlier = office.token("bob", act={"sub": "app"})
    office.change_policies(further_exchange=True)
    assert office.claims(await office.exchange(subject_token=earlier))["act"] == {"iss": ISS, "sub": "app"}


async def test_what_came_of_an_exchange_is_not_exchanged_again(office: Office) -> None:
    office.change_policies(further_exchange=False)
    for audience in ("all-api", "echo-api"):  # with an actor, and without one
        first = await office.exchange(audience=audience)
        client = replace(office.clients["gateway"], audience=(audience,))
        again = {"subject_token": first["access_token"], "audience": audience}
        office.clients["gateway"] = client
        assert await office.refused(**again) == Code.ACCESS_DENIED
        office.change_policies(further_exchange=True)
        assert "access_token" in await office.exchange(**again)
        office.change_policies(further_exchange=False)
        office.clients["gateway"] = replace(client, audience=("orders-gateway",))


async def test_whom_may_act_names(office: Office) -> None:
    token = office.token(may_act={"sub": "agent-7"})
    assert await office.refused(subject_token=token) == Code.ACCESS_DENIED
    actor = {"actor_token": office.token("agent-7", aud=ISS), "actor_token_type": JWT}
    reply = await office.exchange(subject_token=token, **actor)
    assert office.claims(reply)["act"] == {"iss": ISS, "sub": "agent-7"}
    assert "may_act" not in office.claims(reply)
    assert await office.refused(subject_token=office.token(may_act="agent-7"), **actor) == Code.INVALID_REQUEST


async def test_a_chain_is_no_longer_than_the_policy_says(office: Office) -> None:
    office.change_policies(max_depth=2, further_exchange=True)
    one = office.token(act={"sub": "app"})
    assert len(act_chain(office.claims(await office.exchange(subject_token=one)))) == 2
    two = office.token(act={"sub": "app", "act": {"sub": "older"}})
    assert await office.refused(subject_token=two) == Code.ACCESS_DENIED


async def test_an_actor_of_another_issuer_keeps_its_issuer(office: Office) -> None:
    claims = {"iss": CORP, "sub": "s", "aud": "gateway", "exp": office.hands.now + 60, "act": {"sub": "app"}}
    foreign = sign(claims, CORP_KEY, "ES256")
    reply = await office.exchange(subject_token=foreign, audience="all-api", scope="all")
    # Without an issuer of its own, "app" would turn into an actor of this server.
    assert office.claims(reply)["act"]["act"] == {"iss": CORP, "sub": "app"}
    assert office.claims(reply)["iss"] == ISS


async def test_a_chain_that_nobody_could_read_is_not_made(office: Office) -> None:
    act: dict[str, Any] = {"sub": "a0"}
    for n in range(1, 32):
        act = {"sub": f"a{n}", "act": act}
    assert await office.refused(subject_token=office.token(act=act)) == Code.INVALID_REQUEST


async def test_lifetime_is_the_shorter_one(office: Office) -> None:
    reply = await office.exchange(audience="billing-api", scope="billing.read")
    claims = office.claims(reply)
    assert reply["expires_in"] == claims["exp"] - claims["iat"] == 60


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"subject_token": ""}, Code.INVALID_REQUEST),
        ({"subject_token_type": ""}, Code.INVALID_REQUEST),
        ({"subject_token": "not.a.token"}, Code.INVALID_REQUEST),
        ({"actor_token": "x"}, Code.INVALID_REQUEST),
        ({"actor_token_type": JWT}, Code.INVALID_REQUEST),
        ({"actor_token": "not.a.token", "actor_token_type": JWT}, Code.INVALID_REQUEST),
        ({"audience": ""}, Code.INVALID_TARGET),
        ({"audience": "unknown"}, Code.INVALID_TARGET),
        ({"audience": ("orders-api", "billing-api")}, Code.INVALID_TARGET),
        ({"scope": "orders.admin"}, Code.INVALID_SCOPE),
        ({"scope": "orders.read billing.read"}, Code.INVALID_SCOPE),
        ({"scope": " "}, Code.INVALID_SCOPE),
        ({"client": "stranger"}, Code.UNAUTHORIZED_CLIENT),
        ({"client": "gateway-jwt", "scope": "orders.write"}, Code.INVALID_SCOPE),
    ],
)
async def test_refusals(office: Office, values: dict[str, Any], code: Code) -> None:
    assert await office.refused(**values) == code
    assert office.line.decision == "refused"


@pytest.mark.parametrize("resource", ["relative/path", "https://a.example/#x", "https://a.example/#", "https://[bad"])
async def test_a_resource_is_an_absolute_uri(office: Office, resource: str) -> None:
    with pytest.raises(TokenError, match="not an absolute URI") as caught:
        await office.exchange(resource=resource)
    assert caught.value.code is Code.INVALID_TARGET


async def test_refusals_of_people(office: Office) -> None:
    mallory = office.token("mallory")
    refused = await office.refused(subject_token=mallory, client="gateway-jwt")
    assert refused == Code.ACCESS_DENIED
    assert office.line.subject == Actor(ISS, "mallory")
    agent = {"actor_token": office.token("mallory"), "actor_token_type": ACCESS_TOKEN}
    assert await office.refused(client="gateway-jwt", **agent) == Code.ACCESS_DENIED
    assert office.line.actors == (Actor(ISS, "mallory"),)
    stolen = office.token("agent-7", aud="somebody-else")
    assert await office.refused(actor_token=stolen, actor_token_type=JWT) == Code.INVALID_REQUEST


async def test_only_known_names_reach_the_audit_line(office: Office) -> None:
    assert await office.refused(audience=("orders-api", "hush"), scope="orders.read hush") == Code.INVALID_TARGET
    assert (office.line.audience, office.line.scope) == (("orders-api", UNKNOWN), ("orders.read", UNKNOWN))


async def test_client_credentials(office: Office) -> None:
    reply = await office.ask("alice-cli", "client_credentials")
    claims = office.claims(reply)
    assert claims["sub"] == "alice"
    assert claims["aud"] == ["orders-gateway"]
    assert claims["client_id"] == "alice-cli"
    assert reply["scope"] == claims["scope"] == "orders.read orders.write billing.read"
    assert reply["expires_in"] == 300
    assert "issued_token_type" not in reply
    assert "act" not in claims
    narrow = await office.ask("alice-cli", "client_credentials", scope="orders.read", audience="orders-gateway")
    assert narrow["scope"] == "orders.read"
    assert (office.line.subject, office.line.scope) == (Actor(ISS, "alice"), ("orders.read",))
    assert office.claims(await office.ask("agent-7", "client_credentials"))["acr"] == "machine"


async def test_how_long_ago_the_login_was(office: Office) -> None:
    alice = office.clients["alice-cli"]
    assert alice.own_token is not None
    assert "auth_time" not in office.claims(await office.ask("alice-cli", "client_credentials"))
    office.clients["alice-cli"] = replace(alice, own_token=replace(alice.own_token, login_age=600))
    claims = office.claims(await office.ask("alice-cli", "client_credentials"))
    assert claims["auth_time"] == claims["iat"] - 600


async def test_its_token_can_be_exchanged(office: Office) -> None:
    first = await office.ask("alice-cli", "client_credentials")
    assert office.claims(await office.exchange(subject_token=first["access_token"]))["sub"] == "alice"


@pytest.mark.parametrize(
    ("client", "values", "code"),
    [
        ("gateway", {}, Code.UNAUTHORIZED_CLIENT),
        ("alice-cli", {"scope": "admin"}, Code.INVALID_SCOPE),
        ("alice-cli", {"audience": "orders-api"}, Code.INVALID_TARGET),
        ("alice-cli", {"resource": "https://x.example"}, Code.INVALID_TARGET),
    ],
)
async def test_client_credentials_refused(office: Office, client: str, values: dict[str, str], code: Code) -> None:
    with pytest.raises(TokenError) as caught:
        await office.ask(client, "client_credentials", **values)
    assert caught.value.code is code


async def test_many_at_once_stay_apart(office: Office) -> None:
    people = [f"user-{n}" for n in range(50)]
    replies = await asyncio.gather(*(office.exchange(subject_token=office.token(sub)) for sub in people))
    assert [office.claims(reply)["sub"] for reply in replies] == people
