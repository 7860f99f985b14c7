import ast
import re
from pathlib import Path

import pytest

import sidecar.sts
from sidecar.sts.errors import Code, TokenError

PACKAGE = Path(sidecar.sts.__file__).parent


@pytest.mark.parametrize(
    ("code", "status", "answer"),
    [
        (Code.INVALID_REQUEST, None, 400),
        (Code.ACCESS_DENIED, None, 400),
        (Code.INVALID_CLIENT, None, 401),
        (Code.TEMPORARILY_UNAVAILABLE, None, 503),
        (Code.INVALID_REQUEST, 413, 413),
    ],
)
def test_status(code: Code, status: int | None, answer: int) -> None:
    assert TokenError(code, "why", status).status == answer


def test_reasons_keep_to_the_characters_of_error_description() -> None:
    reasons = [
        text.value
        for module in PACKAGE.glob("*.py")
        for call in ast.walk(ast.parse(module.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("TokenError", "_bad")
        for text in ast.walk(call)
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
    ]
    assert len(reasons) > 20
    assert [reason for reason in reasons if not re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", reason)] == []
