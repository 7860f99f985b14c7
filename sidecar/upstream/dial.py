"""Making one connection to one upstream: name, address, TCP or unix socket, TLS.

The only module that knows addresses and certificates. Every address of a name is tried, the families by turns and the
next one soon after the last (RFC 8305). Names are looked up for every connection, never remembered.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, TypeVar

from aiohappyeyeballs import AddrInfoType, start_connection

from sidecar.model.route import TLS, Upstream
from sidecar.upstream.errors import Phase, UpstreamConfigError, UpstreamTimeout, UpstreamUnavailable

NEXT_ADDRESS_AFTER: Final = 0.25  # seconds, RFC 8305 §5

P = TypeVar("P", bound=asyncio.Protocol)


class Dialer:
    """Makes connections to one upstream.

    UpstreamConfigError, when made: a file of its TLS settings can't be used, or there is no name to check.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._context = tls_context(upstream.tls) if upstream.tls is not None else None
        self._server_name = _server_name(upstream)

    async def connect(self, factory: Callable[[], P]) -> P:
        """Return the protocol of a connection that is ready for use.

        UpstreamTimeout: that took longer than ``connect_timeout``, whatever of it was slow. UpstreamUnavailable: every
        address refused, the name does not resolve, or TLS came to nothing. When it raises, no socket stays open.
        """
        try:
            async with asyncio.timeout(self._upstream.connect_timeout):
                return await self._connect(factory)
        except ssl.CertificateError:
            raise UpstreamUnavailable("the upstream's certificate is not accepted") from None
        except ssl.SSLError:
            raise UpstreamUnavailable("TLS with the upstream failed") from None
        except TimeoutError as error:
            if error.errno is not None:  # the kernel gave up first: no answer, as good as refused
                raise UpstreamUnavailable("the upstream can't be reached") from None
            raise UpstreamTimeout(Phase.CONNECT) from None
        except ConnectionRefusedError:
            raise UpstreamUnavailable("the upstream refused the connection") from None
        except (socket.gaierror, UnicodeError):
            raise UpstreamUnavailable("the upstream's name does not resolve") from None
        except (OSError, RuntimeError):  # uvloop raises RuntimeError for some failed connects
            raise UpstreamUnavailable("the upstream can't be reached") from None

    async def _connect(self, factory: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        upstream = self._upstream
        if upstream.unix_path is not None:
            _, protocol = await loop.create_unix_connection(
                factory, upstream.unix_path, ssl=self._context, server_hostname=self._server_name
            )
            return protocol
        sock = await start_connection(await self._addresses(loop), happy_eyeballs_delay=NEXT_ADDRESS_AFTER)
        _, protocol = await loop.create_connection(
            factory, sock=sock, ssl=self._context, server_hostname=self._server_name
        )
        return protocol

    async def _addresses(self, loop: asyncio.AbstractEventLoop) -> list[AddrInfoType]:
        host, port = self._upstream.host or "", self._upstream.port
        if (family := _literal_family(host)) is not None:  # no thread of the resolver for what needs no look-up
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def tls_context(tls: TLS) -> ssl.SSLContext:
    """Return a context that verifies the peer: against ``ca_file`` alone, or else the system's authorities.

    UpstreamConfigError: a file is missing, unreadable, or not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ValueError):
        raise UpstreamConfigError("the file of certificate authorities can't be used") from None
    context.set_alpn_protocols(["http/1.1"])
    if tls.cert_file is not None:
        try:
            # An encrypted key fails here; without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except (OSError, ValueError):
            raise UpstreamConfigError("the client certificate or its key can't be used") from None
    return context


def _server_name(upstream: Upstream) -> str | None:
    if upstream.tls is None:
        return None
    name = upstream.tls.server_name or upstream.host
    if not name:
        raise UpstreamConfigError("TLS over a unix socket needs a server name")
    return name


def _literal_family(host: str) -> socket.AddressFamily | None:
    """Return the family of an address; None for a name, and for an address with a zone, which needs a look-up."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return socket.AF_INET
    return None if "%" in host else socket.AF_INET6
