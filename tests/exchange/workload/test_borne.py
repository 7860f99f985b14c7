"""A token of ours that a trusted hop bears: verified each time, and counted by its text."""

import pytest

from sidecar.exchange.workload.borne import BorneToken
from sidecar.exchange.workload.source import own_subject
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.request import RequestHead
from sidecar.model.tokens import Subject
from tests.support.canary import Canary, search
from tests.support.values import request, subject


async def test_it_is_what_was_verified() -> None:
    canary = Canary.fresh("borne-token")
    seen: list[RequestHead] = []

    async def verified(head: RequestHead) -> Subject:
        seen.append(head)
        return subject(canary.text, sub="agent-7", claims={"sub": "agent-7"})

    head = request()
    borne = BorneToken("agent", verified)
    token = await borne.current(head)
    assert seen == [head]
    assert (token.name, token.token, token.token_id) == ("agent", canary.text, "jti:1")
    assert token.identity == b"sha256:" + subject(canary.text).digest
    assert not search(repr((borne, token)).encode(), canary)
    ours = own_subject(token)
    assert (ours.iss, ours.sub, ours.expires_at) == ("https://issuer.example", "agent-7", subject().expires_at)


async def test_what_refuses_it_refuses_the_request() -> None:
    async def verified(_: RequestHead) -> Subject:
        raise refuse(Kind.MISSING_TOKEN, "A token is needed.")

    with pytest.raises(Refused):
        await BorneToken("agent", verified).current(request())
