import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.caller.take import needle, refuse_second_place, take
from sidecar.model.refusal import Kind, Refused
from sidecar.model.request import RequestHead
from tests.support.values import request

SIGNATURE = b"c2lnbmF0dXJlLW9mLWEtdG9rZW4"
TOKEN = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0." + SIGNATURE
BEARER = (b"Authorization", b"Bearer " + TOKEN)


def taking(
    head: RequestHead,
    header: str = "authorization",
    *,
    trusted_peer: bool = False,
    ingress: bool = True,
    drop_cookies: bool = False,
) -> str | Kind:
    try:
        return take(head, header, trusted_peer=trusted_peer, ingress=ingress, drop_cookies=drop_cookies).token
    except Refused as refused:
        return refused.refusal.kind


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
def test_the_scheme_is_case_insensitive(scheme: bytes) -> None:
    assert taking(request((b"authorization", scheme + b"  " + TOKEN))) == TOKEN.decode()


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b"Basic YTpi"],
        [b"Negotiate abc"],
        [b"DPoP " + TOKEN],
        [b"Digest username=a, realm=b"],
        [b""],
        [b"Bearerx y"],
    ],
)
@pytest.mark.threat("S4")
def test_no_bearer_token(values: list[bytes]) -> None:
    assert taking(request(*((b"Authorization", value) for value in values))) is Kind.MISSING_TOKEN


@pytest.mark.parametrize(
    "values",
    [
        [b"Bearer a", b"Bearer b"],
        [b"Bearer a", b"Basic YTpi"],
        [b"Basic YTpi", b"Bearer a"],
        [b"Bearer a, Bearer b"],
        [b"Basic YTpi, Bearer a"],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer a b"],
        [b"Bearer a,b"],
        [b"Bearer =a"],
        [b'Bearer "a"'],
        [b"Bearer t\xc3\xb6k"],
        [b"Bearer\ta"],
    ],
)
@pytest.mark.threat("S2", "S4")
def test_odd_authorization_is_a_bad_request(values: list[bytes]) -> None:
    assert taking(request(*((b"Authorization", value) for value in values))) is Kind.INVALID_REQUEST


PLACES = [
    {"path": b"/orders/" + TOKEN},
    {"path": b"/orders/" + SIGNATURE},
    {"query": b"q=" + TOKEN},
    {"query": b"q=" + SIGNATURE + b"&x"},
    {"query": b"q=" + b"".join(b"%%%02x" % byte for byte in TOKEN)},
    {"path": b"/" + TOKEN.replace(b".", b"%2E")},
    *(
        {"field": (name, before + TOKEN)}
        for name, before in (
            (b"Proxy-Authorization", b"Bearer "),
            (b"X-Forwarded-Access-Token", b""),
            (b"X-Auth-Request-Access-Token", b""),
            (b"Cookie", b"session="),
            (b"Sec-WebSocket-Protocol", b"bearer, "),
            (b"Referer", b"https://x.example/?access_token="),
            (b"X-Anything", b""),
            (b"Forwarded", b"for="),
        )
    ),
    {"field": (TOKEN, b"1")},
    {"field": (b"X-Part", SIGNATURE)},
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place)[:50])
@pytest.mark.threat("S3")
def test_the_token_in_a_second_place(place: dict[str, bytes] | dict[str, tuple[bytes, bytes]]) -> None:
    fields = [BEARER]
    changes = dict(place)
    if "field" in changes:
        field = changes.pop("field")
        assert isinstance(field, tuple)
        fields.append(field)
    head = request(*fields, **changes)  # type: ignore[arg-type]
    assert taking(head) is Kind.INVALID_REQUEST
    assert taking(head, ingress=False) is Kind.INVALID_REQUEST
    with pytest.raises(Refused):
        refuse_second_place(head, ingress=True, drop_cookies=False)


def test_cookies_that_are_dropped_may_hold_it() -> None:
    head = request(BEARER, (b"Cookie", b"session=" + TOKEN))
    assert taking(head, drop_cookies=True) == TOKEN.decode()


@pytest.mark.parametrize("query", [b"access_token=other", b"a=1&access_token=", b"ACCESS_TOKEN=x"])
@pytest.mark.threat("S3")
def test_a_token_in_the_query(query: bytes) -> None:
    head = request(BEARER, query=query)
    assert taking(head) is Kind.INVALID_REQUEST
    assert taking(head, ingress=False) == TOKEN.decode()  # the application's own, not the subject token


def test_the_signature_of_another_token_is_none_of_ours() -> None:
    assert taking(request(BEARER, (b"X-Other", b"eyJ.eyJ.c29tZS1vdGhlci1zaWduYXR1cmU"))) == TOKEN.decode()


@pytest.mark.threat("S7")
def test_another_header_carries_the_token_alone_and_from_trusted_peers_only() -> None:
    head = request((b"X-Forwarded-Access-Token", TOKEN))
    assert taking(head, "x-forwarded-access-token", trusted_peer=True) == TOKEN.decode()
    assert taking(head, "x-forwarded-access-token") is Kind.MISSING_TOKEN
    for values in ([b"Bearer " + TOKEN], [TOKEN, TOKEN], [b""]):
        odd = request(*((b"X-Forwarded-Access-Token", value) for value in values))
        assert taking(odd, "x-forwarded-access-token", trusted_peer=True) is Kind.INVALID_REQUEST
    both = request((b"X-Forwarded-Access-Token", TOKEN), BEARER)
    assert taking(both, "x-forwarded-access-token", trusted_peer=True) is Kind.INVALID_REQUEST


def test_a_route_without_exchange_checks_no_credential_but_finds_it_elsewhere() -> None:
    for value in (b"Bearer " + TOKEN, b"Bearer a b", b"Basic x", b""):
        refuse_second_place(request((b"Authorization", value)), ingress=True, drop_cookies=False)
    assert refuse_second_place(request(BEARER), ingress=True, drop_cookies=False) == (SIGNATURE,)
    with pytest.raises(Refused):
        refuse_second_place(request(query=b"access_token=x"), ingress=True, drop_cookies=False)


def test_needles() -> None:
    assert needle(TOKEN) == SIGNATURE
    assert needle(b"opaque") == b"opaque"
    assert needle(b"a.b.short") == b"a.b.short"
    assert needle(b"a.b.c.d." + SIGNATURE) == b"a.b.c.d." + SIGNATURE


@given(st.binary(max_size=40))
def test_no_value_is_both_taken_and_odd(value: bytes) -> None:
    outcome = taking(request((b"Authorization", value)))
    if isinstance(outcome, Kind):
        assert outcome in {Kind.MISSING_TOKEN, Kind.INVALID_REQUEST}
    else:
        assert value.lower().startswith(b"bearer ")
        assert value.endswith(outcome.encode())


def test_the_token_is_in_no_repr() -> None:
    credential = take(request(BEARER), "authorization", trusted_peer=False, ingress=True, drop_cookies=False)
    assert TOKEN.decode() not in repr(credential)
    assert TOKEN.decode() not in repr(request(BEARER))
