import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.wire.challenges import Challenge, parse, serialize
from sidecar.wire.grammar import GrammarError

GOOD: dict[bytes, list[Challenge]] = {
    b"": [],
    b" , ,\t": [],
    b"Bearer": [Challenge(b"Bearer")],
    b"Negotiate YWJj==": [Challenge(b"Negotiate", b"YWJj==")],
    b"Negotiate a, Bearer": [Challenge(b"Negotiate", b"a"), Challenge(b"Bearer")],
    b'Bearer realm="x"': [Challenge(b"Bearer", None, ((b"realm", b'"x"'),))],
    b"Bearer realm = x": [Challenge(b"Bearer", None, ((b"realm", b"x"),))],
    b"Bearer realm=": [Challenge(b"Bearer", b"realm=")],
    b'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"': [
        Challenge(b"Newauth", None, ((b"realm", b'"apps"'), (b"type", b"1"), (b"title", b'"Login to \\"apps\\""'))),
        Challenge(b"Basic", None, ((b"realm", b'"simple"'),)),
    ],
    b',, Bearer  Error=invalid_token ,, scope="a, b=c" , Basic': [
        Challenge(b"Bearer", None, ((b"error", b"invalid_token"), (b"scope", b'"a, b=c"'))),
        Challenge(b"Basic"),
    ],
    b'Bearer , realm="x"': [Challenge(b"Bearer", None, ((b"realm", b'"x"'),))],
    b'Bearer realm="\xe4"': [Challenge(b"Bearer", None, ((b"realm", b'"\xe4"'),))],
}

MALFORMED = [
    b"=",
    b'realm="x"',
    b'"Bearer"',
    b'Bearer realm="x',
    b'Bearer realm="x" error="y"',
    b'Bearer realm="x"y',
    b"Bearer realm=x y",
    b"Bearer a b",
    b"Bearer a, b=c d",
    b"Bearer YWJj==, realm=x",
    b"Bearer realm=x, Realm=y",
    b'Bearer realm="x\\',
    b'Bearer realm="\x00"',
    b"Bearer realm=\xe4",
    b"B\xe4rer",
    b"Bearer; realm=x",
    b"Bearer\trealm=x",
]


@pytest.mark.parametrize("value", GOOD)
def test_challenges(value: bytes) -> None:
    assert list(parse(value)) == GOOD[value]


@pytest.mark.parametrize("value", MALFORMED)
def test_no_challenges(value: bytes) -> None:
    with pytest.raises(GrammarError) as caught:
        parse(value)
    assert str(caught.value) == "the challenge is malformed"


def test_values_are_read_without_their_quotes() -> None:
    [challenge] = parse(b'bEARER a="x\\"\\y", b=token, c=""')
    assert [challenge.value(name) for name in (b"a", b"b", b"c", b"d")] == [b'x"y', b"token", b"", None]
    assert challenge.is_of(b"dpop", b"bearer")
    assert not challenge.is_of(b"basic")


def test_parameters_are_taken_out_by_name() -> None:
    challenges = parse(b"Bearer a=1, B=2, c=3, Basic b=4")
    kept = tuple(challenge.without(frozenset({b"b"})) for challenge in challenges)
    assert serialize(kept) == b"Bearer a=1, c=3, Basic"


TOKENS = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1).map(str.encode)
PIECES = [b'\\"', b"\\\\", b"\\ ", *(bytes([byte]) for byte in b"\t !=,azAZ~\x80\xff")]
QUOTED = st.lists(st.sampled_from(PIECES)).map(lambda pieces: b'"' + b"".join(pieces) + b'"')
PARAMETERS = st.lists(
    st.tuples(TOKENS.map(bytes.lower), TOKENS | QUOTED), unique_by=lambda pair: pair[0], max_size=4
).map(tuple)
CHALLENGES = st.builds(Challenge, TOKENS, st.none(), PARAMETERS) | st.builds(
    Challenge, TOKENS, st.from_regex(rb"[A-Za-z0-9._~+/-]+={0,2}", fullmatch=True), st.just(())
)


@given(st.lists(CHALLENGES, max_size=4).map(tuple))
def test_what_is_written_is_read_the_same(challenges: tuple[Challenge, ...]) -> None:
    assert parse(serialize(challenges)) == challenges


@given(st.binary() | st.lists(st.sampled_from([b"Bearer", b" ", b",", b"=", b'"', b"\\", b"a", b"\t"])).map(b"".join))
@example(b'"' * 5000)
@example(b"a " * 5000)
@example(b'Bearer a="' + b"\\" * 5001)
@pytest.mark.fuzz
def test_any_bytes_are_read_or_refused_and_then_read_the_same_again(value: bytes) -> None:
    try:
        challenges = parse(value)
    except GrammarError:
        return
    assert parse(serialize(challenges)) == challenges
