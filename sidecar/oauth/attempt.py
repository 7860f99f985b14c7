"""One attempt at a server's endpoint: where it is, our credentials, the form, the reply (RFC 6749 §2.3, §3.2).

Nothing is remembered, nobody waits for a turn, and nothing is tried again here.
"""

from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal
from urllib.parse import unquote

from sidecar.model.clock import Clock
from sidecar.oauth.answer import (
    ErrorReply,
    MayHavePassed,
    ServerReplyUnusable,
    ServerUnavailable,
    TokenReply,
    judge,
)
from sidecar.oauth.client_auth import ClientAuthentication, TokenEndpoint
from sidecar.oauth.http import PeerClient, PeerReplyUnusable, PeerUnreachable
from sidecar.oauth.metadata import MetadataSource, MetadataUnavailable

_SECRET_PAIRS: Final = frozenset({"subject_token", "actor_token", "assertion", "client_secret", "client_assertion"})
_SHORTEST_SECRET: Final = 8  # characters

#: What the metadata calls the endpoint.
Member = Literal["token_endpoint", "introspection_endpoint"]


async def attempt(
    pairs: Sequence[tuple[str, str]],
    endpoint: TokenEndpoint | MetadataSource,
    member: Member,
    client: PeerClient,
    client_auth: ClientAuthentication,
    clock: Clock,
) -> TokenReply | ErrorReply:
    """Send a form once, client authentication added, and return what the reply says.

    ServerUnavailable (MayHavePassed where asking again may help), ServerReplyUnusable; PeerTimeout: no answer in time.
    """
    there = await _found(endpoint, member, client_auth)
    sent, sent_wall = clock.monotonic(), clock.wall()
    credentials = client_auth.credentials(there, sent_wall)
    form = [*pairs, *credentials.pairs]
    try:
        reply = await client.post_form(there.url, form, dict(credentials.headers))
    except PeerUnreachable as error:
        failure = MayHavePassed if error.before_reply else ServerUnavailable
        raise failure(error.reason) from None
    except PeerReplyUnusable as error:
        raise ServerReplyUnusable(error.reason) from None
    return judge(reply, sent, sent_wall, _secrets(form, credentials.headers))


async def _found(
    endpoint: TokenEndpoint | MetadataSource, member: Member, client_auth: ClientAuthentication
) -> TokenEndpoint:
    if isinstance(endpoint, MetadataSource):
        endpoint = await _discovered(endpoint, member, client_auth)
    if client_auth.mutual_tls and not endpoint.url.startswith("https:"):
        raise ServerReplyUnusable("the endpoint is not https, so it can't see our certificate")
    return endpoint


async def _discovered(source: MetadataSource, member: Member, client_auth: ClientAuthentication) -> TokenEndpoint:
    try:
        metadata = await source.metadata()
    except MetadataUnavailable as error:
        raise ServerUnavailable(error.reason, error.retry_after) from None
    url: str | None = getattr(metadata, member)
    if client_auth.mutual_tls:
        url = getattr(metadata, f"mtls_{member}") or url
    if url is None:
        raise ServerReplyUnusable(f"metadata: no {member}")
    return TokenEndpoint(url, metadata.issuer)


def _secrets(pairs: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> list[str]:
    """The tokens and secrets of a request, whole and in parts, as far as they are not words that anybody may say."""
    sent = [value for name, value in pairs if name in _SECRET_PAIRS]
    for _, value in headers:
        credential = value.rpartition(" ")[2]
        with suppress(ValueError):  # no Basic credentials
            sent.append(unquote(b64decode(credential, validate=True).decode().partition(":")[2]))
        sent.append(credential)
    return [part for value in sent for part in (value, *value.split(".")) if len(part) >= _SHORTEST_SECRET]
