"""Making one connection to one upstream: name, address, TCP or unix socket, TLS.

The only module here that knows addresses; what TLS accepts is ``sidecar.tls``'s. Every address of a name is tried, the
families by turns and the next one soon after the last (RFC 8305). Names are looked up for every connection, never
remembered.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, TypeVar

from aiohappyeyeballs import AddrInfoType, start_connection

from sidecar.model.route import Upstream
from sidecar.rotation import FileError, Rotated
from sidecar.tls import Contexts, client_tls
from sidecar.upstream.errors import Phase, UpstreamConfigError, UpstreamTimeout, UpstreamUnavailable

NEXT_ADDRESS_AFTER: Final = 0.25  # seconds, RFC 8305 §5

P = TypeVar("P", bound=asyncio.Protocol)


class Dialer:
    """Makes connections to one upstream. contexts: gives its TLS context.

    UpstreamConfigError, when made: a file of its TLS settings can't be used, or there is no name to check.
    """

    def __init__(self, upstream: Upstream, contexts: Contexts = client_tls) -> None:
        self._upstream = upstream
        self._tls = _tls(upstream, contexts)
        self._server_name = _server_name(upstream)

    @property
    def generation(self) -> int:
        """A number that grows when certificates or authorities were replaced."""
        return self._tls.generation if self._tls is not None else 0

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
        context = self._tls.value if self._tls is not None else None
        if upstream.unix_path is not None:
            _, protocol = await loop.create_unix_connection(
                factory, upstream.unix_path, ssl=context, server_hostname=self._server_name
            )
            return protocol
        sock = await start_connection(await self._addresses(loop), happy_eyeballs_delay=NEXT_ADDRESS_AFTER)
        _, protocol = await loop.create_connection(factory, sock=sock, ssl=context, server_hostname=self._server_name)
        return protocol

    async def _addresses(self, loop: asyncio.AbstractEventLoop) -> list[AddrInfoType]:
        host, port = self._upstream.host or "", self._upstream.port
        if (family := _literal_family(host)) is not None:  # no thread of the resolver for what needs no look-up
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _tls(upstream: Upstream, contexts: Contexts) -> Rotated[ssl.SSLContext] | None:
    if upstream.tls is None:
        return None
    try:
        return contexts(upstream.tls)
    except FileError as error:
        raise UpstreamConfigError(str(error)) from None


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
