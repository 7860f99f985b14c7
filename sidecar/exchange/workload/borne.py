"""A workload token that a trusted hop in front of the gateway puts into a field of each request.

It is taken and verified as a caller's token is, by what is handed in here; it never goes upstream. Whoever is no
trusted hop can't present one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from sidecar.model.refusal import Kind, Refused
from sidecar.model.request import RequestHead
from sidecar.model.tokens import Subject, WorkloadToken


@dataclass(frozen=True, slots=True)
class BorneToken:
    """One workload token. verified: takes it out of a request and verifies it, or raises Refused."""

    name: str
    verified: Callable[[RequestHead], Awaitable[Subject]] = field(repr=False)

    async def current(self, request: RequestHead) -> WorkloadToken:
        """Return the token that a request bears.

        A cache key counts it by its digest: who it names may be another one with every request. Refused: MISSING_TOKEN
        where there is none from a trusted hop; whatever else is wrong with it, as it is refused of a caller's.
        """
        try:
            subject = await self.verified(request)
        except Refused as refused:
            if refused.refusal.kind not in (Kind.MISSING_TOKEN, Kind.INVALID_REQUEST):
                raise
            raise Refused(replace(refused.refusal, key=("workload_tokens", self.name, "header"))) from None
        claims = {**subject.claims, "iss": subject.iss, "exp": subject.expires_at}  # which introspection may leave out
        identity = b"sha256:" + subject.digest
        return WorkloadToken(self.name, subject.token_type, subject.token_id, identity, subject.token, claims)

    def doubt(self) -> None:
        """Do nothing: the next request bears its own."""
