"""What becomes of a 401 that may be the issued token's fault: the same request once more, under a newer token.

A request that was answered 401 was not applied (RFC 9110 §15.5.2), so that its method does not matter. How a token is
come by and how a request is sent is the gateway's; here is only whether, and what came of it.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from sidecar.exchange.exchanger import Exchanger
from sidecar.faces.challenges import may_mean_our_token, says_invalid_token
from sidecar.model.decision import Grant
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.observe.route_metrics import RouteMetrics, TokenRefusal
from sidecar.upstream.response import Response

#: Seconds within which an issued token is as new as one can be: a 401 then means something else.
FRESH: Final = 2.0


async def once_more(
    response: Response,
    grant: Grant,
    exchanger: Exchanger,
    metrics: RouteMetrics,
    *,
    replayable: bool,
    newer: Callable[[], Awaitable[Grant]],
    send: Callable[[Grant], Awaitable[Response]],
) -> Response:
    """Return the response that counts: the first, or that to the request as sent under a newer token.

    grant: what the first was asked with. metrics: the route's. replayable: nothing of the request's body is lost.
    newer: comes by another token. send: sends the request under it.
    Refused (ISSUED_TOKEN_REFUSED): the upstream says that the token is invalid, and there is no other. Whatever
    ``newer`` and ``send`` raise.
    """
    if not may_mean_our_token(response.fields):
        return response
    count = metrics.issued_token_refused
    if not exchanger.give_up(grant):
        count(TokenRefusal.LIMITED)
    elif not replayable:
        count(TokenRefusal.NOT_REPLAYABLE)
    else:
        response.close()
        try:
            another = await newer()
        except Refused:
            count(TokenRefusal.EXCHANGE_FAILED)
            raise
        response = await send(another)
        count(TokenRefusal.REFUSED if response.status == 401 else TokenRefusal.REPLAYED)
    if response.status == 401 and says_invalid_token(response.fields):
        response.close()
        raise refuse(Kind.ISSUED_TOKEN_REFUSED, "The upstream does not accept the issued token.")
    return response
