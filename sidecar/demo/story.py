"""The story: what happens to a token on its way, step by step. Every sentence marked ``ok`` was checked just then.

A step tells on ``Show`` what it does on ``Stage``; it knows nothing of how either works. What the gateway wrote down
about it all is told in ``account``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sidecar.demo import account
from sidecar.demo.caller import HeldToken, StageError
from sidecar.demo.cast import AGENT, ALICE, ELSEWHERE, GATEWAY, ISSUED_LIFETIME, ORDERS_API, READ
from sidecar.demo.example import shown
from sidecar.demo.show import Show
from sidecar.demo.stage import Stage
from sidecar.model.tokens import act_chain

REPEATS: Final = 10

Step = Callable[[Stage, Show], Awaitable[None]]


async def tell(stage: Stage, show: Show) -> bool:
    """Tell the whole story; True where all was as told."""
    introduce(stage, show)
    for number, (title, step) in enumerate(STEPS, 1):
        show.step(number, title)
        try:
            await step(stage, show)
        except StageError as error:
            show.broken(str(error))
            break
    return show.as_told


def introduce(stage: Stage, show: Show) -> None:
    """Who takes part, and where."""
    show.title("The token-exchange sidecar, all on loopback: how a token changes hands")
    show.table(
        ("who", "where", ""),
        (
            ("alice", "", "calls with a token that is for the gateway"),
            ("the gateway", stage.gateway, "trades it for another one"),
            ("its admin listener", stage.admin, "probes and metrics"),
            ("the authorization server", stage.authorization_server, "embedded, for development only"),
            ("the orders service", stage.orders_service, "answers with what it got, as claims"),
        ),
    )
    show.text(f"The gateway runs on this file: {shown(stage.file)}")
    show.text("No token is ever printed: only what it says, its claims. What is marked ok was checked just then.")


async def alice_gets_a_token(stage: Stage, show: Show) -> None:
    """Where it begins."""
    show.text(
        "Alice's program asks the authorization server for a token (by client_credentials here; by a login in real "
        "life). It says what alice may do, and whom it is for: the gateway."
    )
    token = await stage.alice.token(GATEWAY)
    show.claims({"alice's token": token.claims})
    show.expect("It is for the gateway alone.", [GATEWAY], token.claims.get("aud"))
    show.expect("Nobody acts for alice yet: it has no act.", None, token.claims.get("act"))


async def the_token_changes_hands(stage: Stage, show: Show) -> None:
    """One request, all the way."""
    show.text(
        "Alice calls the orders service through the gateway. The gateway checks her token, trades it at the "
        "authorization server (RFC 8693) for one made for the orders service, and forwards the request with that one."
    )
    token = await stage.alice.token(GATEWAY)
    answer = await stage.alice.get("/orders/17", token)
    show.asked("GET /orders/17, with her token", answer)
    seen = stage.orders.last
    claims = seen.claims if seen is not None and seen.claims is not None else {}
    show.claims({"what alice sent": token.claims, "what the orders service got": claims})
    show.expect("The orders service answered.", 200, answer.status)
    show.expect("It is still about alice (sub)...", ALICE, claims.get("sub"))
    show.expect("...and says that the gateway acts for her (act).", GATEWAY, _actor(claims))
    show.expect("It is for the orders service alone (aud)...", [ORDERS_API], claims.get("aud"))
    show.expect("...allows reading alone (scope), though hers allows writing too...", READ, claims.get("scope"))
    show.expect(f"...and lives {ISSUED_LIFETIME} seconds.", ISSUED_LIFETIME, _lifetime(claims))
    show.expect(
        "Alice's own token is nowhere in what the orders service received.",
        (True, False),
        (seen is not None, seen is not None and seen.holds(token.signature)),
    )


async def the_cache_at_work(stage: Stage, show: Show) -> None:
    """The same again, without the authorization server."""
    show.text(
        f"Alice asks {REPEATS} more times. The gateway still has the token it was issued, and uses it; what the route "
        "expects of it is checked on every use."
    )
    token, count = await stage.alice.token(GATEWAY), stage.orders.count
    first = stage.orders.last.claims if stage.orders.last is not None else None
    answers = [await stage.alice.get(f"/orders/{number}", token) for number in range(1, REPEATS + 1)]
    show.asked(f"GET /orders/1 to GET /orders/{REPEATS}", answers[-1])
    show.expect(f"All {REPEATS} were answered.", [200] * REPEATS, [answer.status for answer in answers])
    show.expect(f"The orders service got {REPEATS} requests...", REPEATS, stage.orders.count - count)
    show.expect("...with the very same token.", first, stage.orders.last.claims if stage.orders.last else None)
    show.expect("The authorization server has seen 1 exchange in all.", 1, stage.tally.exchanges)


async def what_is_not_good_is_refused(stage: Stage, show: Show) -> None:
    """The caller's mistake, and ours."""
    show.text(f"Alice has a good token for another gateway, {ELSEWHERE}. Here it is worth nothing.")
    elsewhere = await stage.alice.token(ELSEWHERE)
    show.claims({"the other token": elsewhere.claims})
    await _refused(stage, show, "/orders/17", elsewhere, "with the other token", 401, "invalid-token")
    show.text(
        "The route /reports asks for an audience that no policy of the authorization server allows. That is a mistake "
        "in the configuration and not alice's: she gets 502, operators find the reason in the receipt."
    )
    token = await stage.alice.token(GATEWAY)
    await _refused(stage, show, "/reports/2026", token, "with her token", 502, "exchange-misconfigured")


async def no_route_no_way(stage: Stage, show: Show) -> None:
    """Closed by default."""
    show.text("What no route takes goes nowhere, however good the token is.")
    token = await stage.alice.token(GATEWAY)
    await _refused(stage, show, "/customers/1", token, "with her token", 404, "no-route")


async def one_place_for_a_token(stage: Stage, show: Show) -> None:
    """A leak that looks harmless."""
    show.text(
        "A token that stands in a second place, here in the query, would reach the orders service and its access log "
        "along with everything else that is passed on. The gateway does not let such a request pass."
    )
    token = await stage.alice.token(GATEWAY)
    target = f"/orders/17?debug={token.text}"
    request = "with her token, and the same in ?debug="
    await _refused(stage, show, target, token, request, 400, "invalid-request", shown="/orders/17")


async def an_agent_acts_for_alice(stage: Stage, show: Show) -> None:
    """Delegation with an actor token."""
    show.text(
        "The route /agent stands for an agent that works for alice. With alice's token as the subject token, the "
        "gateway presents the agent's own as the actor token; the one that is issued names both."
    )
    token, exchanges = await stage.alice.token(GATEWAY), stage.tally.exchanges
    answer = await stage.alice.get("/agent/orders/17", token)
    show.asked("GET /agent/orders/17, with her token", answer)
    seen = stage.orders.last
    claims = seen.claims if seen is not None and seen.claims is not None else {}
    show.claims({"what alice sent": token.claims, "what the orders service got": claims})
    show.expect("The orders service answered.", 200, answer.status)
    show.expect("It is about alice (sub)...", ALICE, claims.get("sub"))
    show.expect("...and the agent acts for her (act), not the gateway.", AGENT, _actor(claims))
    show.expect("It took 1 exchange: a token for another actor is another token.", exchanges + 1, stage.tally.exchanges)


STEPS: Final[tuple[tuple[str, Step], ...]] = (
    ("Alice gets a token for the gateway", alice_gets_a_token),
    ("The token changes hands", the_token_changes_hands),
    ("The cache at work", the_cache_at_work),
    ("A token for somebody else, and an audience nobody allows", what_is_not_good_is_refused),
    ("No route, no way", no_route_no_way),
    ("A token in a second place", one_place_for_a_token),
    ("An agent acts for alice", an_agent_acts_for_alice),
    ("The receipts: who acted for whom", account.receipts),
    ("The metrics: the same in numbers", account.metrics),
)


async def _refused(
    stage: Stage, show: Show, target: str, token: HeldToken, how: str, status: int, kind: str, shown: str = ""
) -> None:
    """Ask for something that must be refused in this way and must not reach the orders service."""
    count = stage.orders.count
    answer = await stage.alice.get(target, token)
    show.asked(f"GET {shown or target}, {how}", answer)
    show.expect(f"It is refused: {status}, {kind}.", (status, kind), (answer.status, answer.kind))
    show.expect("Nothing reached the orders service.", count, stage.orders.count)


def _actor(claims: Mapping[str, Any]) -> str | None:
    """The outermost actor, None where nobody acts."""
    chain = act_chain(claims)
    return chain[0].sub if chain else None


def _lifetime(claims: Mapping[str, Any]) -> int:
    return int(claims.get("exp", 0)) - int(claims.get("iat", 0))
