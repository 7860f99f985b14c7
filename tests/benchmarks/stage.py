"""What all contenders share: ports, tokens, the authorization server and the upstream, in one folder that goes away.

The callers' issuer is a key of ours with no server behind it, whose public half is a file; issued tokens come from a
real ``sidecar sts``. Nothing here measures.
"""

import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidecar.oauth.jwt import generate_key, jwk_set, sign
from tests.support.process import free_port, running

SUBJECTS: Final = 1_000
ISSUER: Final = "https://login.example.com"
SECRET: Final = "benchmark"
#: The upstream, the authorization server and the load; contenders run on ``GATEWAY_CORE``, the last one.
LOAD_CORE: Final = 0
START_BOUND: Final = 60.0


class BenchmarkError(Exception):
    """The run can't be trusted, or can't be made; the message says why."""


@dataclass(slots=True)
class Stage:
    """What a contender is started with. Tokens are whole ``Authorization`` values' second words."""

    folder: Path
    upstream_port: int
    sts_port: int
    subject_tokens: Sequence[str] = field(repr=False)
    processes: ExitStack = field(repr=False)
    _key: object = field(repr=False)

    @property
    def upstream(self) -> str:
        """The upstream's URL."""
        return f"http://127.0.0.1:{self.upstream_port}"

    @property
    def jwks(self) -> Path:
        """The public keys of the callers' issuer."""
        return self.folder / "jwks.json"

    @property
    def exchanges(self) -> int:
        """How many exchanges the authorization server has been asked for."""
        return (self.folder / "sts.log").read_text(encoding="utf-8").count("grant-type:token-exchange")

    def subjects_file(self, count: int) -> Path:
        """A file of so many subject tokens, one a line."""
        path = self.folder / f"subjects-{count}"
        path.write_text("".join(f"{token}\n" for token in self.subject_tokens[:count]), encoding="ascii")
        return path

    def start(self, name: str, argv: Sequence[str], port: int, *, core: int, env: dict[str, str] | None = None) -> int:
        """Start a program on one core and return its process id once its port answers; it ends with the stage."""
        process = self.processes.enter_context(
            running(
                ["taskset", "-c", str(core), *argv],
                ready=lambda: listens(port),
                log=self.folder / f"{name}.log",
                env=env,
                deadline=START_BOUND,
            )
        )
        return process.pid

    def mint(self, sub: str) -> str:
        """Return a subject token for somebody new."""
        return _mint(self._key, sub)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Start what all contenders share, for the length of the block."""
    key = generate_key("ES256", "callers")
    (folder / "jwks.json").write_text(json.dumps(jwk_set([key])), encoding="utf-8")
    (folder / "gateway.secret").write_text(SECRET, encoding="utf-8")
    tokens = [_mint(key, f"user-{number}") for number in range(SUBJECTS)]
    with ExitStack() as processes:
        made = Stage(folder, free_port(), free_port(), tokens, processes, key)
        (folder / "sts.yaml").write_text(_sts(made.sts_port), encoding="utf-8")
        run = [sys.executable, "-m"]
        upstream = [*run, "tests.benchmarks.programs.service", str(made.upstream_port)]
        made.start("upstream", upstream, made.upstream_port, core=LOAD_CORE)
        sts = [*run, "sidecar", "sts", "-c", str(folder / "sts.yaml")]
        made.start("sts", sts, made.sts_port, core=LOAD_CORE)
        yield made


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _mint(key: object, sub: str) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": sub,
        "aud": "orders-gateway",
        "client_id": "shop",
        "scope": "orders.read orders.write",
        "iat": now,
        "exp": now + 6 * 3600,
        "jti": f"{sub}-{now}",
    }
    return sign(claims, key, "ES256", {"typ": "at+jwt", "kid": "callers"})  # type: ignore[arg-type]


def _sts(port: int) -> str:
    return f"""
issuer: http://127.0.0.1:{port}
listen: 127.0.0.1:{port}
lifetime: 1h
clients:
  gateway: {{auth_methods: [client_secret_basic], secret_file: gateway.secret, audience: [orders-gateway]}}
trusted_issuers:
  - {{issuer: "{ISSUER}", jwks_file: jwks.json}}
policies:
  - client: gateway
    subjects: [{{iss: "{ISSUER}", sub: "*"}}]
    audience: [orders-api]
    scope: [orders.read]
    semantics: impersonation
"""
