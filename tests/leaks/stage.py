"""A gateway full of secrets, everything around it, and a driver that provokes it and gathers what it leaves behind."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from sidecar.decide import decide
from sidecar.model.decision import Decision
from tests.leaks.evidence import Evidence, Leak, logged, reprs, without_credentials
from tests.support.canary import Canary
from tests.support.gateway import Respond, RunningGateway, Upstream, ask, get, recording_upstream, running_gateway
from tests.support.questions import ENVOY
from tests.support.scripted import ScriptedServer, granted, scripted_server
from tests.support.sts import GATEWAY_SECRET, SECRET_CANARY, RunningSts, running_sts

BOUND = 10.0

SECRET = "{method: client_secret_basic, client_id: gateway, client_secret_file: gateway.secret}"
KEY = "{method: private_key_jwt, client_id: gateway, key_file: gateway.pem, algorithm: ES256}"

#: ISSUER, PORT, TOKENS, DOWN and AUTH are replaced.
CONFIG = """
gateway: {listen: '127.0.0.1:0', trusted_proxies: [127.0.0.1], max_header_bytes: 16KiB,
  drain: {delay: 0s, grace: 100ms}}
approvers:
  desk: {opa: {url: 'http://127.0.0.1:TOKENS/approve'}}
trusted_issuers:
  corp: {issuer: ISSUER, audience: [orders-gateway]}
  far: {issuer: 'https://far.example', audience: [orders-gateway], jwks_uri: 'http://127.0.0.1:DOWN/jwks'}
  opaque:
    issuer: opaque
    audience: [orders-gateway]
    token_profile: opaque
    introspection: {endpoint: 'http://127.0.0.1:TOKENS/introspect', client_auth: AUTH}
authorization_servers:
  corp:
    token_endpoint: 'http://127.0.0.1:TOKENS/token'
    timeout: 1s
    client_auth: AUTH
  down: {token_endpoint: 'http://127.0.0.1:DOWN/token', client_auth: AUTH}
workload_tokens:
  self: {file: actor.token, type: jwt}
  own: {client_credentials: {authorization_server: corp}}
  borne: {header: X-Agent, issuer: corp}
routes:
  - {name: orders, match: {path_prefix: /orders}, upstream: {url: 'http://127.0.0.1:PORT'}, subject: {issuers: [corp]},
     exchange: {authorization_server: corp, audience: [orders-api], actor_token: self, semantics: any}}
  - {name: far, match: {path_prefix: /far}, upstream: {url: 'http://127.0.0.1:PORT'}, subject: {issuers: [far]},
     exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: opaque, match: {path_prefix: /opaque}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [opaque]}, exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: own, match: {path_prefix: /own}, upstream: {url: 'http://127.0.0.1:PORT'}, subject: {issuers: [corp]},
     exchange: {authorization_server: corp, audience: [orders-api], subject_token: own}}
  - {name: acting, match: {path_prefix: /acting}, upstream: {url: 'http://127.0.0.1:PORT'}, subject: {issuers: [corp]},
     exchange: {authorization_server: corp, audience: [orders-api], actor_token: borne, semantics: any}}
  - {name: unserved, match: {path_prefix: /unserved}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp]}, exchange: {authorization_server: down, audience: [orders-api]}}
  - {name: scoped, match: {path_prefix: /scoped}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp], require_scope: [orders.admin]}, exchange: {authorization_server: corp}}
  - {name: nowhere, match: {path_prefix: /nowhere}, upstream: {url: 'http://127.0.0.1:DOWN'},
     subject: {issuers: [corp]}, exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: tight, match: {path_prefix: /tight}, subject: {issuers: [corp]},
     upstream: {url: 'http://127.0.0.1:PORT', max_body_bytes: 10, send_idle: 30ms, response_timeout: 50ms},
     exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: sockets, match: {path_prefix: /sockets}, subject: {issuers: [corp]},
     upstream: {url: 'http://127.0.0.1:PORT', websocket: true, websocket_max_lifetime: 50ms},
     exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: approved, match: {path_prefix: /approved}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp]}, approval: {by: desk, max_age: 0s, bind: [path], reason_header: X-Task},
     exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: tools, match: {path: /tools}, upstream: {url: 'http://127.0.0.1:PORT'},
     subject: {issuers: [corp]}, mcp: {tools: {search: {}, file_*: {}}},
     exchange: {authorization_server: corp, audience: [orders-api]}}
  - {name: public, match: {path_prefix: /public}, upstream: {url: 'http://127.0.0.1:PORT'}, exchange: none}
"""


def deciding(form: str) -> str:
    """The configuration with a decision listener in place of the gateway's, and without what is not for that."""
    config = CONFIG.replace(
        "gateway: {listen: '127.0.0.1:0', ", f"decision: {{listen: '127.0.0.1:0', form: {form}}}\ngateway: {{"
    )
    return re.sub(r"  - \{name: (?:tight|sockets|tools),.*?\n(?=  - \{name)", "", config, flags=re.DOTALL)


class Stage:
    """What a scenario may use. Every token it mints is a secret that must not be found again."""

    def __init__(
        self,
        gateway: RunningGateway,
        sts: RunningSts,
        upstream: Upstream,
        server: ScriptedServer,
        evidence: Evidence,
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.gateway = gateway
        self.sts = sts
        self.upstream = upstream
        self.server = server
        self.evidence = evidence
        self.issued: list[str] = []
        self.answers: list[bytes] = []
        self.decisions: list[Decision] = []
        self.actor = ""
        self.form: str | None = None
        self.patch = patch

    def mint(self, *args: Any, **claims: Any) -> str:
        """A subject token."""
        return self.evidence.token(f"subject token {len(self.evidence.secrets)}", self.sts.mint(*args, **claims))

    def issue(self, token: str | None = None) -> str:
        """An issued token, opaque unless it is given."""
        text = Canary.fresh("issued-token").text if token is None else token
        self.issued.append(text)
        return self.evidence.token(f"issued token {len(self.issued)}", text)

    async def send(self, request: bytes | str, listener: str = "") -> bytes:
        """Send a request, and return all that comes until the end of the connection.

        Where Envoy asks for decisions it is sent as Envoy would ask about it.
        """
        data = request.encode("latin-1") if isinstance(request, str) else request
        if not listener and self.form == ENVOY:
            data = data.replace(b"\r\n", b"\r\nX-Forwarded-Proto: http\r\n", 1)
        listener = listener or ("decision" if self.form is not None else "default")
        async with asyncio.timeout(BOUND):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port(listener))
            received = bytearray()
            with suppress(ConnectionError):
                writer.write(data)
                if writer.can_write_eof() and b"onnection: close" not in data:
                    await asyncio.sleep(0.01)
                while piece := await reader.read(65536):
                    received += piece
            writer.close()
        self.answers.append(bytes(received))
        return bytes(received)

    async def get(
        self, target: str = "/orders/1", *fields: bytes, token: str | None = None, method: str = "GET"
    ) -> bytes:
        """Send a request with a subject token of its own, or this one."""
        return await self.send(get(target, *fields, token=self.mint() if token is None else token, method=method))

    async def leave(self, request: bytes, *, after: asyncio.Event) -> None:
        """Send a request, and leave without reading the answer."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port())
        writer.write(request)
        async with asyncio.timeout(BOUND):
            await after.wait()
        writer.transport.abort()
        await asyncio.sleep(0.01)

    async def leaks(self, records: Sequence[logging.LogRecord]) -> list[Leak]:
        """Gather everything, and search it."""
        evidence, admin = self.evidence, self.gateway.port("admin")
        for number, asked in enumerate(self.server.asked):
            if "client_assertion" in asked.form:
                evidence.token(f"client assertion {number}", asked.form["client_assertion"])
        await self.gateway.receipt_lines()
        evidence.sinks |= {
            "upstream": without_credentials(bytes(self.upstream.bytes), self.issued),
            "answers": without_credentials(b"\n".join(self.answers), self.issued if self.form is not None else ()),
            "metrics": (await ask(admin, get("/metrics"))).raw
            + (await ask(admin, get("/metrics", b"Accept: application/openmetrics-text"))).raw,
            "status": (await ask(admin, get("/status").replace(b"api.example.com", b"127.0.0.1"))).raw,
            "receipts": self.gateway.receipts,
            "reprs": reprs([self.gateway.app, self.decisions]),
            **logged(records),
        }
        return evidence.leaks()


@asynccontextmanager
async def staged(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    auth: str = SECRET,
    respond: Respond | None = None,
    form: str | None = None,
) -> AsyncIterator[Stage]:
    """Set the stage. Everything that can be logged is, and the event loop tells all it knows.

    form: there is a decision listener, which is asked so, and no gateway.
    """
    asyncio.get_running_loop().set_debug(True)
    monkeypatch.setattr("sidecar.inbound.incoming.LINGERING", 0.02)  # the driver reads to the end of each connection
    evidence = Evidence()
    async with AsyncExitStack() as stack:
        sts = await stack.enter_async_context(running_sts())
        upstream = await stack.enter_async_context(recording_upstream())
        server = await stack.enter_async_context(scripted_server())
        if respond is not None:
            upstream.respond = respond
        key = ECKey.generate_key("P-256").as_pem(private=True)
        actor = evidence.token("actor token", Canary.fresh("actor-token").text)
        evidence.secrets["client secret"] = SECRET_CANARY.text
        evidence.secrets["client key"] = key.decode().splitlines()[1]
        (folder / "gateway.secret").write_text(GATEWAY_SECRET)
        (folder / "gateway.pem").write_bytes(key)
        (folder / "actor.token").write_text(actor)
        text = (
            (CONFIG if form is None else deciding(form))
            .replace("ISSUER", sts.issuer)
            .replace("PORT", str(upstream.port))
            .replace("AUTH", auth)
        )
        text = text.replace("TOKENS", str(server.port)).replace("DOWN", "1")
        gateway = await stack.enter_async_context(running_gateway(folder, text))
        stage = Stage(gateway, sts, upstream, server, evidence, monkeypatch)
        stage.actor = actor
        stage.form = form
        server.reply = granted(stage.issue())
        _record_decisions(monkeypatch, stage.decisions)
        yield stage


def _record_decisions(monkeypatch: pytest.MonkeyPatch, decisions: list[Decision]) -> None:
    async def recorded(*args: Any, **options: Any) -> Decision:
        decision = await decide(*args, **options)
        decisions.append(decision)
        return decision

    monkeypatch.setattr("sidecar.faces.gateway.decide", recorded)
