"""The demo's folder, and what a platform would put into it: secrets, and the agent's token, renewed while it runs.

Nothing else the demo makes is on the disk. Who may have which token is ``cast``'s.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import ClientSession

from sidecar.demo.caller import StageError, client_credentials
from sidecar.demo.cast import AGENT, OWN_LIFETIME, Secrets
from sidecar.sts.config import Config

ALICE_SECRET: Final = "alice.secret"
GATEWAY_SECRET: Final = "gateway.secret"
AGENT_TOKEN: Final = "agent.token"

RENEW_AFTER: Final = OWN_LIFETIME / 4  # seconds: two failures in a row leave a good token in place


def put_secrets(folder: Path, secrets: Secrets) -> None:
    """Write the secrets that programs read from files: the gateway's, and alice's for those who type commands."""
    put_secret(folder, ALICE_SECRET, secrets.alice)
    put_secret(folder, GATEWAY_SECRET, secrets.gateway)


@dataclass(frozen=True, slots=True)
class AgentToken:
    """The agent's token in its file."""

    folder: Path
    session: ClientSession
    config: Config
    secrets: Secrets

    async def renew(self) -> None:
        """Put a new token into the file. StageError: there is none to be had; the file stays as it was."""
        token = await client_credentials(
            self.session, self.config.token_endpoint, AGENT, self.secrets.agent, self.config.issuer
        )
        put_secret(self.folder, AGENT_TOKEN, token.text)

    async def keep(self, every: float = RENEW_AFTER) -> None:
        """Renew it for ever, each time after so many seconds: long before it expires."""
        while True:
            await asyncio.sleep(every)
            with suppress(StageError):
                await self.renew()


def put_secret(folder: Path, name: str, text: str) -> None:
    """Write a file that only its owner can read, whole at any moment."""
    path = folder / name
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)
