"""A workload token in a file that the platform rotates, such as a projected service account token."""

from dataclasses import dataclass, field

from sidecar.exchange.workload.source import workload_token
from sidecar.model.request import RequestHead
from sidecar.model.tokens import WorkloadToken
from sidecar.oauth.secrets import file_secret
from sidecar.rotation import Rotated


@dataclass(frozen=True, slots=True)
class WorkloadTokenFile:
    """One workload token."""

    file: Rotated[WorkloadToken] = field(repr=False)

    async def current(self, _: RequestHead) -> WorkloadToken:
        """Return the token as it is now: the last one that the file held and that was one."""
        return self.file.value

    def doubt(self) -> None:
        """Do nothing: whoever rotates the file knows when."""


def workload_token_file(name: str, token_type: str, path: str) -> WorkloadTokenFile:
    """Read a token. token_type: the URI an exchange calls it by.

    FileError: the file is missing or does not hold one line of printable ASCII.
    """
    return WorkloadTokenFile(file_secret(path, lambda text: read_token(name, token_type, text)))


def read_token(name: str, token_type: str, text: bytes) -> WorkloadToken:
    """Read a token. ValueError: the text is not one line of printable ASCII, white space around it left aside."""
    text = text.strip()
    if not text or not text.isascii() or not text.decode().isprintable() or b" " in text:
        raise ValueError("the file does not hold one token")
    return workload_token(name, token_type, text.decode())
