"""Who takes part in the agents' demo, and what the authorization server allows each.

Nothing of the network is here. What no policy names is not allowed.
"""

from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Final

from sidecar.model.tokens import Semantics
from sidecar.sts.config import AuthMethod, Client, Config, OwnToken, Pattern, Policy

ALICE: Final = "alice"
#: Alice's program, before and after she showed a second factor; each stands for a login in real life.
PASSWORD_LOGIN: Final = "alice-password-login"
MFA_LOGIN: Final = "alice-mfa-login"

FRONT_DOOR: Final = "front-door"
ASSISTANT: Final = "assistant"
RESEARCHER: Final = "researcher"
TOOLS_API: Final = "tools-api"

RESEARCH: Final = "research"
READ: Final = "docs.read"
DELETE: Final = "docs.delete"

#: The claims of tokens that are shown; the tokens never are.
SHOWN: Final = ("sub", "act", "aud", "scope", "acr", "iat", "exp", "jti")

OWN_LIFETIME: Final = 3600  # seconds
ISSUED_LIFETIME: Final = 120  # seconds


@dataclass(frozen=True, slots=True)
class Secrets:
    """The clients' secrets of one run, by client id."""

    of: dict[str, str] = field(
        default_factory=lambda: {
            name: token_urlsafe(24) for name in (PASSWORD_LOGIN, MFA_LOGIN, FRONT_DOOR, ASSISTANT, RESEARCHER)
        },
        repr=False,
    )


def authorization_server(issuer: str, secrets: Secrets) -> Config:
    """Return the embedded server's configuration: each client may take alice's token one hop further."""
    basic = (AuthMethod.BASIC,)
    alice = (Pattern(issuer, ALICE),)

    def login(client_id: str, acr: str) -> Client:
        own = OwnToken(ALICE, (FRONT_DOOR,), (RESEARCH,), {"acr": acr}, login_age=1)
        return Client(client_id, basic, secrets.of[client_id], own_token=own)

    def agent(client_id: str) -> Client:
        return Client(client_id, basic, secrets.of[client_id], own_token=OwnToken(client_id, (issuer,)))

    def hop(agent: str, audience: str, *scope: str) -> Policy:
        actors = (Pattern(issuer, agent),)
        short = ISSUED_LIFETIME
        return Policy(agent, alice, (audience,), scope, actors, max_lifetime=short, max_depth=2, further_exchange=True)

    return Config(
        issuer=issuer,
        lifetime=OWN_LIFETIME,
        clients=(
            login(PASSWORD_LOGIN, "pwd"),
            login(MFA_LOGIN, "mfa"),
            Client(FRONT_DOOR, basic, secrets.of[FRONT_DOOR]),
            agent(ASSISTANT),
            agent(RESEARCHER),
        ),
        policies=(
            Policy(
                FRONT_DOOR,
                alice,
                (ASSISTANT,),
                (RESEARCH,),
                semantics=Semantics.IMPERSONATION,
                max_lifetime=ISSUED_LIFETIME,
            ),
            hop(ASSISTANT, RESEARCHER, RESEARCH),
            hop(RESEARCHER, TOOLS_API, READ, DELETE),
        ),
    )
