"""A real Open Policy Agent with the policy that the documentation shows: it says yes, no and nothing, hangs, is gone
and comes back. Whatever happens, nothing is forwarded without its yes, and its own log of decisions has no token."""

import asyncio
import json
import signal
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.deploy import tools
from tests.docs.pages import ROOT, files, read
from tests.faces.conftest import CONFIG, World
from tests.support.canary import search
from tests.support.gateway import Answer, get, recording_upstream, running_gateway
from tests.support.process import free_port, start, stop
from tests.support.sts import GATEWAY_SECRET, running_sts

pytestmark = pytest.mark.interop

POLICY = files(read(ROOT / "docs" / "approvals.md"))["approve.rego"]


@dataclass
class Agent:
    """A running one. log: what it wrote, with the whole input of every decision."""

    program: str
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [self.program, "run", "--server", "--addr", f"127.0.0.1:{self.port}", "--disable-telemetry"]
        self.process = start([*argv, "--set", "decision_logs.console=true"], ready=self._ready, log=self.log)

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def policy(self, text: str) -> None:
        """Have it decide by this from now on."""
        with urllib.request.urlopen(self._put(text), timeout=10) as answer:
            assert answer.status == 200

    def _put(self, text: str) -> urllib.request.Request:
        return urllib.request.Request(f"{self.url}/v1/policies/approve", text.encode(), method="PUT")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@pytest.fixture
def opa(tmp_path: Path) -> Iterator[Agent]:
    try:
        program = tools.program("opa")
    except tools.Unavailable as reason:
        pytest.skip(str(reason))
    agent = Agent(program, free_port(), tmp_path / "opa.log")
    agent.start()
    try:
        agent.policy(POLICY)
        yield agent
    finally:
        agent.signal(signal.SIGCONT)
        agent.stop()


@asynccontextmanager
async def asking(opa: Agent, folder: Path, approval: str, place: str = "approve") -> AsyncIterator[World]:
    """A gateway whose orders need the agent's yes."""
    (folder / "gateway.secret").write_text(GATEWAY_SECRET)
    approvers = f"approvers:\n  opa: {{opa: {{url: '{opa.url}/v1/data/sidecar/{place}'}}, timeout: 1s}}\n"
    text = approvers + CONFIG.replace("  - name: health\n", f"    approval: {approval}\n  - name: health\n")
    async with running_sts() as sts, recording_upstream() as upstream:
        text = text.replace("ISSUER", sts.issuer).replace("PORT", str(upstream.port))
        async with running_gateway(folder, text) as gateway:
            yield World(gateway, sts, upstream)


def outcome(answer: Answer) -> str:
    return "forwarded" if answer.status == 200 else f"{answer.status} {answer.kind}"


DENIED, UNAVAILABLE = "403 approval-denied", "503 approval-unavailable"


async def test_the_policy_of_the_documentation(opa: Agent, tmp_path: Path) -> None:
    async with asking(opa, tmp_path, "{by: opa, reason_header: X-Task}") as here:
        person, strong = here.sts.mint(), here.sts.mint(acr="mfa")
        agent, other = (here.sts.mint(acr="mfa", act={"sub": name}) for name in ("agent-7", "agent-8"))
        refund, deletion = b"X-Task: refund order 1", b"X-Task: delete everything"
        tried = [
            (get(token=person), "forwarded"),
            (get(token=person, method="HEAD"), "forwarded"),
            (get("/orders/1", b"Content-Length: 0", token=person, method="POST"), DENIED),
            (get("/orders/1", b"Content-Length: 0", token=strong, method="POST"), "forwarded"),
            (get("/orders/1", token=strong, method="DELETE"), DENIED),
            (get("/orders/1", refund, b"Content-Length: 0", token=agent, method="POST"), "forwarded"),
            (get("/orders/1", deletion, b"Content-Length: 0", token=agent, method="POST"), DENIED),
            (get("/orders/1", b"Content-Length: 0", token=agent, method="POST"), DENIED),
            (get("/orders/1", refund, b"Content-Length: 0", token=other, method="POST"), DENIED),
        ]
        assert [outcome(await here.gateway.ask(request)) for request, _ in tried] == [said for _, said in tried]
        assert len(here.upstream.seen) == 4
        refusals = [line for line in await here.gateway.receipt_lines() if line["event"] == "refusal"]
        assert {line["approval"]["reason"] for line in refusals} == {"a person needs a strong login, an agent its task"}
        tokens = [person, strong, agent, other]
        issued = [seen.values(b"authorization")[0].removeprefix(b"Bearer ").decode() for seen in here.upstream.seen]
        log = opa.log.read_bytes()
        assert log.count(b'"path":"sidecar/approve"') == len(tried)  # it logs what it was asked: that is looked at
        assert not search(log, *tokens, *issued, *(token.rsplit(".", 1)[1] for token in tokens))


@pytest.mark.threat("S69")
async def test_it_changes_its_mind_is_gone_and_comes_back(opa: Agent, tmp_path: Path) -> None:
    async with asking(opa, tmp_path, "{by: opa}") as here:
        token = here.sts.mint()

        async def told() -> str:
            return outcome(await here.gateway.ask(get(token=token)))

        assert await told() == "forwarded"
        await asyncio.to_thread(opa.policy, "package sidecar\napprove := false\n")
        assert await told() == DENIED
        await asyncio.to_thread(opa.policy, "package sidecar\napprove := true\n")
        assert await told() == "forwarded"
        await asyncio.to_thread(opa.stop)
        assert await told() == UNAVAILABLE
        await asyncio.to_thread(opa.start)
        assert await told() == UNAVAILABLE  # it knows no policy yet: undefined is no yes
        await asyncio.to_thread(opa.policy, "package sidecar\napprove := true\n")
        assert await told() == "forwarded"
        opa.signal(signal.SIGSTOP)
        assert await told() == UNAVAILABLE
        opa.signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            while await told() != "forwarded":  # noqa: ASYNC110 - what it was asked meanwhile is answered to nobody
                await asyncio.sleep(0.1)


#: Policies that say neither yes nor no, though somebody may have meant a yes.
UNCLEAR = {
    "undefined": "package sidecar\napprove if false\n",
    "text": 'package sidecar\napprove := "true"\n',
    "a number": "package sidecar\napprove := 1\n",
    "a set": "package sidecar\napprove contains true\n",
    "a misspelt limit": 'package sidecar\napprove := {"allow": true, "expire_at": 1}\n',
    "a limit that is text": 'package sidecar\napprove := {"allow": true, "expires_at": "2099-01-01T00:00:00Z"}\n',
    "a whole package": "package sidecar.approve\nallow := true\nhelper := 1\n",
    "a conflict": "package sidecar\napprove := x if some x in [true, false]\n",
}


@pytest.mark.parametrize("name", UNCLEAR)
async def test_a_policy_that_is_unclear_is_no_yes(name: str, opa: Agent, tmp_path: Path) -> None:
    opa.policy(UNCLEAR[name])
    async with asking(opa, tmp_path, "{by: opa, max_age: 5m}") as here:
        assert outcome(await here.gateway.ask(get(token=here.sts.mint()))) == UNAVAILABLE
        assert (here.upstream.seen, here.sts.exchanges) == ([], 0)


async def test_a_yes_that_it_limits(opa: Agent, tmp_path: Path) -> None:
    now = "time.parse_rfc3339_ns(input.context.time) / 1000000000"
    opa.policy(f'package sidecar\napprove := {{"allow": true, "approval_id": "a-1", "expires_at": ({now}) + 600}}\n')
    async with asking(opa, tmp_path, "{by: opa, max_age: 1h}") as here:
        token = here.sts.mint()
        for _ in range(2):
            assert outcome(await here.gateway.ask(get(token=token))) == "forwarded"
        assert opa.log.read_bytes().count(b'"path":"sidecar/approve"') == 1
        line = json.loads(here.gateway.receipts.splitlines()[-1])
        assert (line["approval"]["id"], line["approval"]["decision"]) == ("a-1", "approved")
        opa.policy(f'package sidecar\napprove := {{"allow": true, "expires_at": ({now}) - 60}}\n')
        assert outcome(await here.gateway.ask(get("/orders/2", token=token))) == DENIED
