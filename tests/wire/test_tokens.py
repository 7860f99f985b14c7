import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.tokens import shown_path
from tests.support.canary import Canary, search


@given(st.text("abcXYZ019-_/.=", max_size=40), st.sampled_from(["", " ", "\n", "\r\n"]))
def test_what_looks_like_a_token_is_hidden_wherever_it_is(around: str, space: str) -> None:
    canary = Canary.fresh("pasted")
    parts = [{"alg": "ES256", "typ": "JWT"}, {"sub": canary.text}]
    texts = ["{" + space + json.dumps(part)[1:] for part in parts]
    token = ".".join(base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode() for text in texts) + ".c2lnbmF0dXJl"
    for spelled in (token, quote(token.replace("e", "%65"), safe="%")):
        shown = shown_path(f"/{around}/{spelled}".encode())
        assert b"[token]" in shown
        assert not search(shown, canary)


@pytest.mark.parametrize("path", [b"/orders/1", b"/a%2Fb", b"/eyJ", b"/%41", b"/v1.2/eyJ.x"])
def test_other_paths_are_shown_as_they_came(path: bytes) -> None:
    assert shown_path(path) == path


def test_what_is_named_is_hidden_too() -> None:
    assert shown_path(b"/a/secret-token/b", [b"secret-token"]) == b"/a/[token]/b"
