"""The entries of an include's ``allow``: how they are written, and which hosts, paths, texts and upstreams they cover.

Pure functions, strict in one direction: what is not plainly covered is not. Only ``*`` has a meaning, in the places
named here, and never reaches from one part of a URL into another. RFC 3986 §3 (parts of a URL), RFC 9110 §4.2.
"""

import re
from dataclasses import dataclass
from typing import Final

from sidecar.config import addresses, values
from sidecar.wire.grammar import GrammarError
from sidecar.wire.target import canonical

ANY: Final = "*"

# What a final * stands for: nothing that a server could take for two names, a pattern or a way out of a path.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:/@+-]*")
_UPSTREAM: Final = re.compile(r"(https?://)(\*\.)?([^/?#*]+?)(:\*)?(/[^*]*?)?(/\*)?")
_PORT: Final = re.compile(r":[0-9]+$")
_WRONG_STAR: Final = "should have a * at its end only"


@dataclass(frozen=True, slots=True)
class UpstreamPattern:
    """Which upstreams an entry covers.

    text: as it was written. host: a name, address, or ``*.example.com``; None for a unix socket. port: None for any.
    path: what goes before a request's path, without a slash at its end; below: also whatever lies under it.
    """

    text: str
    secure: bool = False
    host: str | None = None
    port: int | None = None
    path: str = ""
    below: bool = False
    unix_path: str | None = None

    def covers(self, url: addresses.URL) -> bool:
        """Whether an upstream is one of these."""
        if self.host is None or url.host is None:
            return self.unix_path is not None and self.unix_path == url.unix_path
        return (
            self.secure == url.secure
            and covers_host(self.host, url.host)
            and self.port in (None, url.port)
            and self._covers_path(url.path.rstrip("/"))
        )

    def _covers_path(self, path: str) -> bool:
        if path == self.path:
            return True
        return self.below and path.startswith(f"{self.path}/") and _has_one_reading(path)


def allowed_host(text: str) -> str:
    """Return an entry of ``allow.hosts`` in lower case: a name or address, ``*.example.com``, or ``*`` for any host."""
    return text if text == ANY else addresses.host_pattern(text)


def allowed_text(text: str) -> str:
    """Check an entry of ``allow.audiences``: a text, with at most one ``*``, at its end."""
    if ANY in values.text(text)[:-1]:
        raise ValueError(_WRONG_STAR)
    return text


def allowed_scope(text: str) -> str:
    """Check an entry of ``allow.scopes``: one scope, with at most one ``*``, at its end."""
    if ANY in values.scope(text)[:-1]:
        raise ValueError(_WRONG_STAR)
    return text


def upstream_pattern(value: object) -> UpstreamPattern:
    """Read an entry of ``allow.upstreams``.

    An upstream's URL or ``unix:/path``, in which the port, the first label of the host and the last segment of the path
    may be ``*``: any port, any name below the rest, any path at or below the rest. Without a path, none is covered.
    """
    if not isinstance(value, str):
        raise ValueError("should be text")
    if value.startswith("unix:"):
        if ANY in value:
            raise ValueError("should name one socket, without *")
        return UpstreamPattern(value, unix_path=addresses.upstream_url(value).unix_path)
    match = _UPSTREAM.fullmatch(value)
    if match is None:
        raise ValueError("should be an upstream's URL, in which * is the port, the first label or the path's end")
    scheme, label, rest, any_port, path, below = match.groups()
    addresses.upstream_url(f"{scheme}{rest}{path or ''}{'/x' if below else ''}")  # with what the * stands for
    url = addresses.upstream_url(f"{scheme}{rest}{path or ''}")
    if any_port and _PORT.search(rest):
        raise ValueError("should have one port, or * for any")
    host = addresses.host_pattern(f"*.{url.host}") if label else url.host
    return UpstreamPattern(
        value, url.secure, host, None if any_port else url.port, url.path.rstrip("/"), below is not None
    )


def covers_host(allowed: str, host: str) -> bool:
    """Whether every host that ``host`` stands for, a name or a wildcard, is among those of an allowed one."""
    if allowed == ANY:
        return True
    if allowed.startswith("*."):
        return host.endswith(allowed[1:]) and len(host) >= len(allowed)
    return host == allowed


def covers_path(allowed: str, path: str) -> bool:
    """Whether every path that ``path`` stands for, a path, template or prefix, lies under an allowed prefix."""
    return allowed == "/" or path == allowed or path.startswith(f"{allowed}/")


def covers_text(allowed: str, text: str) -> bool:
    """Whether an audience, resource or scope is an allowed one."""
    if not allowed.endswith(ANY):
        return text == allowed
    start = allowed[:-1]
    return text.startswith(start) and ".." not in text and _PLAIN.fullmatch(text, len(start)) is not None


def _has_one_reading(path: str) -> bool:
    """Whether every upstream takes a path for the same one."""
    try:
        matched, features = canonical(path.encode())
    except GrammarError:
        return False
    return matched == path.encode() and not features
