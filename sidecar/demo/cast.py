"""Who takes part: alice, an agent, the gateway; what the embedded authorization server allows each of them.

Values only. Secrets are made anew for every run and live in memory and in the demo's folder, nowhere else.
"""

from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Final

from sidecar.sts.config import AuthMethod, Client, Config, OwnToken, Pattern, Policy

ALICE: Final = "alice"
AGENT: Final = "agent-7"
GATEWAY: Final = "gateway"
ORDERS_API: Final = "orders-api"
#: Another gateway, somewhere else: tokens made for it are not ours to take.
ELSEWHERE: Final = "billing-gateway"
#: Alice signs in with this program.
ALICE_CLIENT: Final = "alice-cli"

READ: Final = "orders.read"
WRITE: Final = "orders.write"

OWN_LIFETIME: Final = 3600  # seconds: alice's token and the agent's
ISSUED_LIFETIME: Final = 300  # seconds: what an exchange gives


@dataclass(frozen=True, slots=True)
class Secrets:
    """The clients' secrets of one run; characters that mean themselves in a form and on a command line."""

    alice: str = field(default_factory=lambda: token_urlsafe(24), repr=False)
    agent: str = field(default_factory=lambda: token_urlsafe(24), repr=False)
    gateway: str = field(default_factory=lambda: token_urlsafe(24), repr=False)


def authorization_server(issuer: str, secrets: Secrets) -> Config:
    """Return the embedded server's configuration. What no policy names is not allowed, ``reports-api`` for one."""
    basic = (AuthMethod.BASIC,)
    alice, agent = Pattern(issuer, ALICE), Pattern(issuer, AGENT)
    return Config(
        issuer=issuer,
        lifetime=OWN_LIFETIME,
        clients=(
            Client(ALICE_CLIENT, basic, secrets.alice, own_token=OwnToken(ALICE, (GATEWAY, ELSEWHERE), (READ, WRITE))),
            Client(AGENT, basic, secrets.agent, own_token=OwnToken(AGENT, (issuer,))),
            Client(GATEWAY, basic, secrets.gateway),
        ),
        policies=(
            Policy(GATEWAY, (alice,), (ORDERS_API,), (READ, WRITE), actors=(agent,), max_lifetime=ISSUED_LIFETIME),
        ),
    )
