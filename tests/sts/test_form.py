from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.sts.errors import Code, TokenError
from sidecar.sts.form import MAX_PARAMETERS, form_decode, parse_form


def test_reads_what_was_encoded() -> None:
    form = parse_form(b"a=1+2&audience=x&audience=y%C3%BC&audience=x&resource=z&empty=&unknown=%26")
    assert form.one("a") == "1 2"
    assert form.all("audience") == ("x", "yü")
    assert form.all("resource") == ("z",)
    assert form.one("empty") is None
    assert form.one("missing") is None
    assert form.required("unknown") == "&"
    assert "yü" not in repr(form)


def test_an_empty_value_counts_as_left_out() -> None:
    form = parse_form(b"audience=&audience=&subject_token=&scope=")
    assert form.all("audience") == ()
    assert form.scope() == ()
    with pytest.raises(TokenError, match="subject_token is missing") as caught:
        form.required("subject_token")
    assert caught.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=2",
        b"a=1&a=",
        b"a=&a=",
        b"unknown=1&unknown=1",
        b"a",
        b"a=1&&b=2",
        b"a=%zz",
        b"a=%",
        b"a=%C3",
        b"a=\xc3\xbc",
        b"a=%FF",
        b"{}",
        b"&".join(b"audience=%d" % n for n in range(MAX_PARAMETERS + 1)),
    ],
)
def test_refuses_what_is_repeated_or_no_form(body: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        parse_form(body)
    assert caught.value.code is Code.INVALID_REQUEST


def test_an_empty_body_is_an_empty_form() -> None:
    assert parse_form(b"").values == {}


def test_scope_is_a_list_of_tokens() -> None:
    assert parse_form(b"scope=b+a+b").scope() == ("b", "a")


@pytest.mark.parametrize("scope", [" a", "a ", "a  b", "a\tb", 'a"b', "a\\b", "aü", "a\nb", " "])
def test_a_malformed_scope_is_invalid_scope(scope: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_form(urlencode({"scope": scope}).encode()).scope()
    assert caught.value.code is Code.INVALID_SCOPE


@given(st.text())
def test_decoding_undoes_encoding(text: str) -> None:
    assert form_decode(quote_plus(text)) == text
    assert form_decode("".join(f"%{byte:02x}" for byte in text.encode())) == text


@pytest.mark.parametrize("text", ["%", "%1", "%zz", "ü", "%ff", "a%C3"])
def test_what_is_not_encoded_is_not_decoded(text: str) -> None:
    with pytest.raises(ValueError, match=r"not form-encoded|decode"):
        form_decode(text)


@given(st.binary(max_size=200))
def test_no_body_breaks_it(body: bytes) -> None:
    try:
        form = parse_form(body)
    except TokenError:
        return
    assert all(len(values) == 1 or name in ("audience", "resource") for name, values in form.values.items())
