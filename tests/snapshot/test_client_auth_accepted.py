"""Every method of the file against a server that knows it: accepted when right, and refused when wrong."""

import pytest

from sidecar.oauth.server import AuthorizationServer, ErrorReply, ServerError, ServerUnavailable, TokenReply
from sidecar.snapshot.peers import compile_peers
from sidecar.sts.config import Config
from tests.snapshot.conftest import ROUTE, Folder
from tests.support.certificates import Authority
from tests.support.credentials import KINDS, Kind, known, put
from tests.support.sts import TOKEN_EXCHANGE, RunningSts, running_sts

#: Whose old proof is refused before a request is made: the handshake does not take the certificate.
IN_THE_HANDSHAKE = ("self_signed_tls_client_auth",)


async def asked(server: AuthorizationServer, sts: RunningSts) -> TokenReply | ErrorReply | ServerError:
    form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", sts.mint()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", "orders-api"),
    ]
    try:
        return await server.token_request(form, b"the same ask")
    except ServerError as error:
        return error


@pytest.mark.parametrize("method", KINDS)
async def test_it_is_accepted_when_right_and_refused_when_wrong(method: str, folder: Folder) -> None:
    authority = Authority(folder.path)
    certificate = authority.issue("127.0.0.1")
    kinds: list[Kind] = []

    def configure(issuer: str) -> Config:
        kinds.append(KINDS[method](folder.path, authority, issuer))
        return known(issuer, kinds[0].after, certificate, authority)

    async with running_sts(configure) as sts:
        put(folder.path, kinds[0].files, 0)
        text = f"""
version: 1
trusted_issuers: {{corp: {{issuer: '{sts.issuer}', audience: [gateway]}}}}
authorization_servers:
  corp: {{issuer: '{sts.issuer}', client_auth: {kinds[0].method}, tls: {{ca_file: '{authority.ca_file}'}}}}
{ROUTE}"""
        peers = compile_peers(folder.load(text), folder.time.clock, folder.metrics, folder.rotation, folder.parts)
        assert peers.problems == []
        # Assertions are signed for the time that it is.
        server = peers.servers["corp"]
        server._clock = sts.clock
        try:
            refused = await asked(server, sts)
            if method in IN_THE_HANDSHAKE:
                assert isinstance(refused, ServerUnavailable)
            else:
                assert refused == ErrorReply(401, "invalid_client", "client authentication failed")
            put(folder.path, kinds[0].files, 1)
            assert isinstance(await asked(server, sts), TokenReply)  # read again, since it was refused
            assert isinstance(await asked(server, sts), TokenReply)
        finally:
            for close in folder.parts.closers():
                await close()
