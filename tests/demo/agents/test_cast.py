"""What the authorization server allows each of the cast, asked of it as the gateways do."""

import pytest

from sidecar.demo.agents.cast import (
    ALICE,
    ASSISTANT,
    DELETE,
    FRONT_DOOR,
    MFA_LOGIN,
    PASSWORD_LOGIN,
    READ,
    RESEARCH,
    RESEARCHER,
    TOOLS_API,
    Secrets,
    authorization_server,
)
from sidecar.model.tokens import Actor
from sidecar.sts.errors import Code, TokenError
from sidecar.sts.policy import decide
from sidecar.sts.tokens import VerifiedToken

ISS = "http://127.0.0.1:1"
CONFIG = authorization_server(ISS, Secrets())
BY_ASSISTANT = (Actor(ISS, ASSISTANT),)


def someone(sub: str, *actors: Actor, exchanged: bool = False) -> VerifiedToken:
    return VerifiedToken(ISS, sub, actors, {"exchanged": True} if exchanged else {})


def outcome(client: str, subject: VerifiedToken, actor: str | None, audience: str, *scope: str) -> Code | None:
    try:
        decide(CONFIG.policies, client, subject, someone(actor) if actor else None, (audience,), scope)
    except TokenError as error:
        return error.code
    return None


def test_each_gateway_takes_alices_token_one_hop_further() -> None:
    assert outcome(FRONT_DOOR, someone(ALICE), None, ASSISTANT, RESEARCH) is None
    assert outcome(ASSISTANT, someone(ALICE, exchanged=True), ASSISTANT, RESEARCHER, RESEARCH) is None
    for scope in (READ, DELETE):
        assert outcome(RESEARCHER, someone(ALICE, *BY_ASSISTANT), RESEARCHER, TOOLS_API, scope) is None


@pytest.mark.parametrize(
    ("client", "subject", "actor", "audience", "scope"),
    [
        (FRONT_DOOR, someone(ALICE), None, RESEARCHER, RESEARCH),
        (FRONT_DOOR, someone(ALICE), None, TOOLS_API, READ),
        (FRONT_DOOR, someone(ALICE), ASSISTANT, ASSISTANT, RESEARCH),
        (FRONT_DOOR, someone(ALICE, exchanged=True), None, ASSISTANT, RESEARCH),
        (ASSISTANT, someone(ALICE), ASSISTANT, TOOLS_API, READ),
        (ASSISTANT, someone(ALICE), RESEARCHER, RESEARCHER, RESEARCH),
        (ASSISTANT, someone("mallory"), ASSISTANT, RESEARCHER, RESEARCH),
        (RESEARCHER, someone(ALICE, *BY_ASSISTANT), RESEARCHER, TOOLS_API, RESEARCH),
        (RESEARCHER, someone(ALICE, *BY_ASSISTANT, *BY_ASSISTANT), RESEARCHER, TOOLS_API, READ),
    ],
)
def test_and_no_further(client: str, subject: VerifiedToken, actor: str | None, audience: str, scope: str) -> None:
    assert outcome(client, subject, actor, audience, scope) is not None


def test_alices_two_logins_differ_in_their_level_alone() -> None:
    password, mfa = (client.own_token for client in CONFIG.clients if client.client_id in (PASSWORD_LOGIN, MFA_LOGIN))
    assert password is not None
    assert mfa is not None
    assert (password.claims, mfa.claims) == ({"acr": "pwd"}, {"acr": "mfa"})
    assert (password.sub, password.audience, password.scope) == (mfa.sub, mfa.audience, mfa.scope)


def test_no_secret_is_shown() -> None:
    secrets = Secrets()
    shown = repr(secrets) + repr(authorization_server(ISS, secrets))
    assert not any(secret in shown for secret in secrets.of.values())
