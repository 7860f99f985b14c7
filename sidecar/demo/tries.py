"""What to try while the demo is up: lines for bash or zsh, to be pasted as they are.

No secret stands in them: alice's is read from the demo's folder by the shell.
"""

import shlex
from typing import Final

from sidecar.demo.cast import ALICE_CLIENT, GATEWAY
from sidecar.demo.example import shown
from sidecar.demo.folder import ALICE_SECRET
from sidecar.demo.stage import Stage

#: Takes the token out of a JSON object, with what every system has.
TAKE_TOKEN: Final = r"""sed 's/.*"access_token": *"\([^"]*\)".*/\1/'"""


def tries(stage: Stage, sidecar: str) -> tuple[str, ...]:
    """Return the lines, with comments between them. sidecar: how the shell calls this program."""
    curl, line_feed = "curl -sS", r"-w '\n'"
    with_token = f'{curl} -H "$BEARER"'
    return (
        "# a token for alice, good for an hour",
        f"export DEMO_DIR={shlex.quote(str(stage.folder))}",
        f'TOKEN=$({curl} -u "{ALICE_CLIENT}:$(cat $DEMO_DIR/{ALICE_SECRET})" \\',
        f"    -d grant_type=client_credentials -d audience={GATEWAY} \\",
        f"    {stage.authorization_server}/token | {TAKE_TOKEN})",
        'BEARER="Authorization: Bearer $TOKEN"',
        "",
        "# what the orders service sees of it: through the gateway, by the agent, and past the gateway",
        f"{with_token} {stage.gateway}/orders/17",
        f"{with_token} {stage.gateway}/agent/orders/17",
        f"{with_token} {stage.orders_service}/orders/17",
        "",
        "# refusals: no token; no route; a token in a second place",
        f"{curl} {line_feed} {stage.gateway}/orders/17",
        f"{with_token} {line_feed} {stage.gateway}/customers/1",
        f'{with_token} {line_feed} -H "X-Debug: $TOKEN" {stage.gateway}/orders/17',
        "",
        "# a route that needs no token",
        f"{curl} {stage.gateway}/healthz",
        "",
        "# the account of it, and how the gateway decides, step by step",
        f"tail -n 2 {shlex.quote(str(stage.receipts_file))}",
        f"{curl} {stage.admin}/metrics | grep ^token_sidecar_exchanges_total",
        f"{sidecar} explain -c {shlex.quote(shown(stage.file))} \\",
        f'    --token-file <(echo "$TOKEN") GET {stage.gateway}/agent/orders/17',
    )
