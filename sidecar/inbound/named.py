"""Which request a proxy asks about, out of the request that it asks with.

Pure. There are two forms, and which one counts is configured, never guessed: what is missing, there twice, contradicts
itself or belongs to the other form is refused, since the proxy forwards the request that it has, whatever we took it
for. The request that is named is then held against all that ``accept`` holds one against that comes in itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sidecar.inbound.accept import accept
from sidecar.model.listener import Form, Listener
from sidecar.model.refusal import Kind, Refused, refuse
from sidecar.model.request import Fields, RequestHead

METHOD: Final = b"x-forwarded-method"
URI: Final = b"x-forwarded-uri"
HOST: Final = b"x-forwarded-host"
PROTO: Final = b"x-forwarded-proto"

#: What other proxies name a request by; where it is there as well it has to say the same.
_AGREEING: Final = ((b"x-original-method", METHOD), (b"x-original-uri", URI))
#: The same with ``_`` for ``-`` is refused where proxies ask, see ``accept.GUARDED``.
NAMING: Final = frozenset({METHOD, URI, HOST, PROTO, *(name for name, _ in _AGREEING)})
#: Of the question, not of the request that it names.
_QUESTIONS: Final[Mapping[Form, frozenset[bytes]]] = {
    Form.FORWARDED: frozenset({b"content-length", b"expect", b"host", METHOD, URI, HOST, PROTO}),
    Form.ENVOY: frozenset({b"content-length", b"expect", b"host"}),
}
_SCHEMES: Final = (b"http", b"https")
#: The methods that the parser of the way in takes (those of the registry, but for a few); any other text would be a
#: place that nobody searches for a token.
METHODS: Final = frozenset(
    b"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY "
    b"OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK "
    b"UNLOCK UNSUBSCRIBE".split()
)


@dataclass(frozen=True, slots=True)
class _Message:
    """A request head that never came by itself; see ``accept.Message``."""

    method: str
    path: str
    raw_headers: Fields
    version: tuple[int, int] = (1, 1)


def named(question: RequestHead, listener: Listener, guarded: frozenset[bytes]) -> RequestHead:
    """Return the request that a question is about, with the question's id and peer.

    listener: one with a form. guarded: see ``accept``. Its ``scheme`` is the one that the proxy was spoken to by. Of
    its body nothing is known.
    Refused: INVALID_REQUEST where the question has a body, or names no request or more than one; or as ``accept`` does.
    """
    if question.chunked or question.content_length:
        raise refuse(Kind.INVALID_REQUEST, "A question for a decision has no body.", close=True)
    if listener.form is None:
        raise refuse(Kind.INVALID_REQUEST, "No decisions are asked for here.")
    method, target, authority, scheme = _READ[listener.form](question)
    fields = tuple(field for field in question.fields if field[0].lower() not in _QUESTIONS[listener.form])
    request = accept(
        _Message(method, target.decode("utf-8", "surrogateescape"), ((b"Host", authority), *fields)),
        replace(listener, scheme=scheme),
        peer=question.peer,
        guarded=guarded,
        own_via=None,
    )
    return replace(request, request_id=question.request_id)


def _forwarded(question: RequestHead) -> tuple[str, bytes, bytes, str]:
    """Method, target, authority and scheme, each from one field; the question's own say nothing."""
    method, target, authority, scheme = (_one(question, name) for name in (METHOD, URI, HOST, PROTO))
    if method not in METHODS or scheme not in _SCHEMES:
        raise _unnamed()
    for name, stands_for in _AGREEING:
        if any(value != _one(question, stands_for) for value in question.values(name)):
            raise _unnamed()
    return method.decode("ascii"), target, authority, scheme.decode("ascii")


def _envoy(question: RequestHead) -> tuple[str, bytes, bytes, str]:
    """The question's own request line and ``Host``; the scheme is in the one field that Envoy always sets.

    Where that one is missing Envoy was not told to hand on all fields, and a token in one of them would go unseen.
    """
    scheme = _one(question, PROTO)
    if scheme not in _SCHEMES or not question.authority or question.values(METHOD) or question.values(URI):
        raise _unnamed()
    target = question.path if question.query is None else question.path + b"?" + question.query
    return question.method, target, question.authority, scheme.decode("ascii")


_READ: Final[Mapping[Form, Callable[[RequestHead], tuple[str, bytes, bytes, str]]]] = {
    Form.FORWARDED: _forwarded,
    Form.ENVOY: _envoy,
}


def _one(question: RequestHead, name: bytes) -> bytes:
    values = question.values(name)
    if len(values) != 1 or not values[0]:
        raise _unnamed()
    return values[0]


def _unnamed() -> Refused:
    return refuse(Kind.INVALID_REQUEST, "The question does not name exactly one request in the form that is set here.")
