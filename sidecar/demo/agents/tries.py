"""What to try while the agents' demo is up: lines for bash or zsh, to be pasted as they are.

No secret stands in them: alice's are read from the demo's folder by the shell.
"""

import shlex

from sidecar.demo.agents.cast import FRONT_DOOR, MFA_LOGIN, PASSWORD_LOGIN
from sidecar.demo.agents.stage import GATEWAYS, Stage
from sidecar.demo.example import shown
from sidecar.demo.tries import TAKE_TOKEN


def tries(stage: Stage, sidecar: str) -> tuple[str, ...]:
    """Return the lines, with comments between them. sidecar: how the shell calls this program."""
    curl = "curl -sS -w '\\n'"
    ask = f'{curl} -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json"'
    url = f"{stage.gateways[FRONT_DOOR]}/assistant/tasks"
    receipts = " ".join(shlex.quote(str(stage.folder / name)) for name in stage.receipts)
    return (
        f"# a token for alice, after a login with two factors; {PASSWORD_LOGIN} is the other login",
        f"export DEMO_DIR={shlex.quote(str(stage.folder))} LOGIN={MFA_LOGIN}",
        'TOKEN=$(curl -sS -u "$LOGIN:$(cat $DEMO_DIR/$LOGIN.secret)" \\',
        f"    -d grant_type=client_credentials -d audience={FRONT_DOOR} \\",
        f"    {stage.authorization_server}/token | {TAKE_TOKEN})",
        "",
        "# have the agents do something: search, delete_document, or what you like",
        f"""{ask} -d '{{"tool": "search", "arguments": {{"query": "2026"}}}}' {url}""",
        f"""{ask} -d '{{"tool": "delete_document", "arguments": {{"path": "reports/2026.txt"}}}}' {url}""",
        f"{curl} {stage.tool_server}/state",
        "",
        "# what the three gateways wrote down, and the files that they run on",
        f"{sidecar} receipts {receipts}",
        f"ls {shlex.quote(shown(GATEWAYS))}",
    )
