"""``sidecar flush``: has a running gateway forget what was issued or verified, by its control socket.

Nothing is forgotten here, and nothing of it is ever seen here: the gateway answers with numbers.
"""

import argparse
import http.client
import json
import socket
import sys
from typing import Any, Final

from sidecar.commands.configuration import load_or_explain

PATIENCE: Final = 10.0  # seconds for an answer
MOST: Final = 64 * 1024  # bytes of it
#: What the numbers are of, in the order in which they are told.
_WORDS: Final = {
    "issued_tokens": "issued tokens",
    "refusals": "remembered refusals",
    "exchanges": "exchanges under way, whose tokens are not kept",
    "verified_tokens": "verified tokens of callers",
    "introspections": "introspections",
    "workload_tokens": "workload tokens",
    "approvals": "approvals",
}


class _Connection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-c", "--config", metavar="FILE", help="the gateway's configuration file, with admin.control")
    where.add_argument("--control", metavar="PATH", help="the path of its control socket")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--subject", nargs=2, metavar=("ISSUER", "SUB"), help="one subject's, as this issuer names it")
    what.add_argument("--issuer", metavar="ISSUER", help="those of all its subjects; its name in the file, or its iss")
    what.add_argument("--route", metavar="NAME", help="those that a route may be served")
    what.add_argument("--server", metavar="NAME", help="those that an authorization server issued")
    what.add_argument("--all", action="store_true", help="all there are")


def run(arguments: argparse.Namespace) -> int:
    """Print how much was dropped. 0 where it was, 1 where the gateway refuses, 2 where it can't be asked."""
    path = arguments.control
    if path is None:
        loaded = load_or_explain(arguments.config)
        if loaded is None:
            return 2
        if loaded.config.admin.control is None:
            print(f"{arguments.config}: admin.control is not set: this gateway has no control socket", file=sys.stderr)
            return 2
        path = loaded.config.admin.control.unix_path
    named = {name: getattr(arguments, name) for name in ("subject", "issuer", "route", "server")}
    asked = {name: value for name, value in named.items() if value is not None}
    try:
        status, answer = _post(path, asked or {"all": True})
    except (http.client.HTTPException, ValueError):
        print(f"{path}: this is no gateway's control socket", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{path}: can't be asked: {error.strerror or 'no answer in time'}", file=sys.stderr)
        return 2
    if status != 200:
        print(answer.get("detail"), file=sys.stderr)
        return 1
    dropped = answer["dropped"]
    told = [f"{dropped[name]} {words}" for name, words in _WORDS.items() if dropped.get(name)]
    print(f"dropped {', '.join(told)}" if told else "there was nothing to drop")
    return 0


def _post(path: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the answer's status and members. OSError, HTTPException, ValueError: there is none that can be read."""
    connection = _Connection(path)
    try:
        connection.request("POST", "/flush", json.dumps(asked), {"Content-Type": "application/json"})
        response = connection.getresponse()
        members = json.loads(response.read(MOST))
        if not isinstance(members, dict) or (response.status == 200 and not isinstance(members.get("dropped"), dict)):
            raise ValueError("no answer of a gateway")
        return response.status, members
    finally:
        connection.close()
