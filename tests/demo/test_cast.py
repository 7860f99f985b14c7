from sidecar.demo.cast import AGENT, ALICE, GATEWAY, ISSUED_LIFETIME, OWN_LIFETIME, Secrets, authorization_server

ISSUER = "http://127.0.0.1:1"


def test_secrets_are_new_every_time_and_never_shown() -> None:
    first, second = Secrets(), Secrets()
    values = {value for secrets in (first, second) for value in (secrets.alice, secrets.agent, secrets.gateway)}
    assert len(values) == 6
    shown = repr(first) + repr(authorization_server(ISSUER, first))
    assert not [value for value in values if value in shown]


def test_secrets_mean_themselves_in_a_shell_and_in_a_form() -> None:
    secrets = Secrets()
    text = secrets.alice + secrets.agent + secrets.gateway
    assert text.replace("-", "").replace("_", "").isalnum()
    assert text.isascii()


def test_only_the_gateway_may_exchange_and_only_for_alice() -> None:
    config = authorization_server(ISSUER, Secrets())
    [policy] = config.policies
    assert policy.client == GATEWAY
    assert [pattern.sub for pattern in policy.subjects] == [ALICE]
    assert [pattern.sub for pattern in policy.actors] == [AGENT]
    assert policy.audience == ("orders-api",)
    assert policy.max_lifetime == ISSUED_LIFETIME < OWN_LIFETIME == config.lifetime
