"""Tokens of ours, from YAML to what gives them out; and what is said where one can't be made."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.exchange.workload.client_credentials import ClientCredentials
from sidecar.exchange.workload.source import WorkloadSource
from sidecar.model.refusal import Kind, Refused
from sidecar.model.tokens import ACCESS_TOKEN, TOKEN_TYPES
from sidecar.oauth.jwt import generate_key, jwk_set, sign
from sidecar.snapshot import Snapshot
from tests.snapshot.conftest import PEERS, ROUTE, Folder
from tests.support.scripted import granted, scripted_server
from tests.support.values import request

KEY = generate_key("ES256", "k")
ACTING = ROUTE.replace("exchange: {", "exchange: {actor_token: self, semantics: any, ")


@asynccontextmanager
async def built(folder: Folder, text: str) -> AsyncIterator[tuple[Snapshot, WorkloadSource]]:
    snapshot = folder.build(text)
    source = snapshot.plans["orders"].actor
    assert source is not None
    try:
        yield snapshot, source
    finally:
        await snapshot.close()


async def test_one_in_a_file(folder: Folder) -> None:
    folder.file("token", "a-token\n")
    async with built(folder, PEERS + "workload_tokens: {self: {file: token, type: jwt}}\n" + ACTING) as (_, source):
        token = await source.current(request())
    assert (token.name, token.token, token.token_type) == ("self", "a-token", TOKEN_TYPES["jwt"])


def test_a_file_that_holds_none(folder: Folder) -> None:
    folder.file("token", "two words")
    [line] = folder.complaints(PEERS + "workload_tokens: {self: {file: token, type: jwt}}\n" + ACTING)
    assert "workload_tokens.self.file: " in line
    assert line.endswith("the file does not hold one token")


async def test_one_that_a_server_gives_us(folder: Folder) -> None:
    async with scripted_server() as server:
        server.reply = granted("our-own-token")
        peers = PEERS.replace(
            "corp: {issuer: 'https://login.example', client_auth",
            f"corp: {{token_endpoint: 'http://127.0.0.1:{server.port}/token', client_auth",
        )
        text = peers + "workload_tokens: {self: {client_credentials: {scope: [a, b]}}}\n" + ACTING
        async with built(folder, text) as (_, source):
            assert isinstance(source, ClientCredentials)
            token = await source.current(request())
            assert await source.current(request()) is token
        [asked] = server.asked
    assert (token.token, token.token_type) == ("our-own-token", ACCESS_TOKEN)
    assert asked.form == {"grant_type": "client_credentials", "scope": "a b", "client_id": "gateway"}


async def test_one_that_trusted_hops_bear(folder: Folder) -> None:
    folder.file("keys.json", json.dumps(jwk_set([KEY])))
    own = "audience: [gateway], jwks_file: keys.json, subject_token_type: jwt"
    peers = PEERS.replace("audience: [gateway]", own, 1)
    text = "gateway: {trusted_proxies: [10.0.0.1]}\nworkload_tokens: {self: {header: X-Agent, issuer: corp}}\n"
    claims = {"iss": "https://login.example", "sub": "agent", "aud": "gateway", "exp": folder.time.wall + 60}
    borne = sign(claims, KEY, "ES256", {"kid": "k"}).encode()
    async with built(folder, peers + text + ACTING) as (snapshot, source):
        assert b"x-agent" in snapshot.credentials & snapshot.guarded & snapshot.workload_headers
        head = request((b"X-Agent", borne), peer="10.0.0.1")
        token = await source.current(head)
        assert (token.token.encode(), token.token_type) == (borne, TOKEN_TYPES["jwt"])
        assert list(snapshot.borne(head)) == [borne.rsplit(b".", 1)[1]]
        for bad, kind in (
            (request((b"X-Agent", borne), peer="10.0.0.2"), Kind.MISSING_TOKEN),
            (request(peer="10.0.0.1"), Kind.MISSING_TOKEN),
            (request((b"X-Agent", borne), (b"X-Agent", borne), peer="10.0.0.1"), Kind.INVALID_REQUEST),
            (request((b"X-Agent", borne), (b"X-Other", borne), peer="10.0.0.1"), Kind.INVALID_REQUEST),
            (request((b"X-Agent", borne[:-4]), peer="10.0.0.1"), Kind.INVALID_TOKEN),
        ):
            with pytest.raises(Refused) as caught:
                await source.current(bad)
            assert caught.value.refusal.kind is kind
