import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.faces.challenges import may_mean_our_token, passed_on, says_invalid_token
from sidecar.model.request import Fields
from sidecar.wire.challenges import parse
from sidecar.wire.grammar import GrammarError

EVIL = b'"https://evil.example"'
PASSED: dict[bytes, bytes | None] = {
    b"Bearer": b"Bearer",
    b'bEARER  Realm="x" , error=invalid_token': b'bEARER  Realm="x" , error=invalid_token',
    b"not; a challenge": b"not; a challenge",
    b"Bearer resource_metadata=%b" % EVIL: b"Bearer",
    b'Bearer realm="x", Resource_Metadata=%b, error="invalid_token"' % EVIL: b'Bearer realm="x", error="invalid_token"',
    b"Bearer authorization_uri=%b, claims=abc" % EVIL: b"Bearer",
    b'Bearer error="insufficient_claims", claims="e30="': b'Bearer error="insufficient_claims"',
    b'Bearer error="insufficient_scope", scope="a b", resource_metadata=%b' % EVIL: (
        b'Bearer error="insufficient_scope", scope="a b"'
    ),
    b'Bearer error=insufficient_user_authentication, acr_values="mfa", max_age=5, claims=abc, resource_metadata=x': (
        b'Bearer error=insufficient_user_authentication, acr_values="mfa", max_age=5, claims=abc'
    ),
    b'Basic realm="x", Bearer resource_metadata=%b, Negotiate' % EVIL: b'Basic realm="x", Bearer, Negotiate',
    b'Bearer title="resource_metadata=x"': b'Bearer title="resource_metadata=x"',
    # Somebody may read these as a challenge; nobody can say which.
    b"resource_metadata=%b" % EVIL: None,
    b'Bearer realm="x, resource_metadata=%b' % EVIL: None,
    b"Bearer resource_metadata=a, resource_metadata=b": None,
}


@pytest.mark.parametrize("value", PASSED)
def test_what_goes_on(value: bytes) -> None:
    assert passed_on(value) == PASSED[value]


@given(
    st.lists(
        st.sampled_from(
            [b"Bearer ", b"DPoP", b" ", b", ", b"=", b'"', b"\\", b"resource_metadata", b"RESOURCE_metadata=x", b"a"]
        )
    ).map(b"".join)
)
def test_resource_metadata_is_never_a_parameter_of_what_goes_on(value: bytes) -> None:
    passed = passed_on(value)
    if passed is None or b"resource_metadata" not in passed.lower():
        return
    try:
        challenges = parse(passed)
    except GrammarError:
        pytest.fail("what can't be read names it")
    assert all(challenge.value(b"resource_metadata") is None for challenge in challenges)


def fields(*values: bytes) -> Fields:
    return (*((b"WWW-Authenticate", value) for value in values), (b"Content-Length", b"0"))


@pytest.mark.parametrize(
    ("values", "ours", "invalid"),
    [
        ((), True, False),
        ((b"Bearer",), True, False),
        ((b'Bearer error="invalid_token"',), True, True),
        ((b"dpop error=invalid_token",), True, True),
        ((b"Basic realm=x", b"Bearer error=invalid_token"), True, True),
        ((b"Basic realm=x, Bearer error=invalid_token",), True, True),
        ((b"Basic realm=x",), False, False),
        ((b"Basic error=invalid_token",), False, False),
        ((b"Bearer error=insufficient_user_authentication",), False, False),
        ((b"Bearer error=insufficient_scope",), False, False),
        ((b"Bearer error=invalid_token", b"Bearer error=insufficient_scope"), False, True),
        ((b'Bearer error="invalid_token',), False, False),
    ],
)
def test_what_a_challenge_says_of_our_token(values: tuple[bytes, ...], ours: bool, invalid: bool) -> None:
    assert may_mean_our_token(fields(*values)) is ours
    assert says_invalid_token(fields(*values)) is invalid
