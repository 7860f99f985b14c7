import json

import pytest

from sidecar.model.tokens import Actor
from sidecar.sts.audit import UNKNOWN, AuditLine, to_stderr


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    line = AuditLine(1.23456, grant="g", client="c", subject=Actor("https://a", 'a"\n\x1b[2J\u2028'), reason="why")
    line.error = "invalid_scope"
    to_stderr(line)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.isascii()
    assert "\x1b" not in err
    assert json.loads(err) == {
        "event": "token_request",
        "time": 1.235,
        "decision": "refused",
        "grant": "g",
        "client": "c",
        "subject": {"iss": "https://a", "sub": 'a"\n\x1b[2J\u2028'},
        "actor": [],
        "audience": [],
        "scope": [],
        "token": None,
        "lifetime": None,
        "error": "invalid_scope",
        "reason": "why",
    }


def test_only_known_names_are_noted() -> None:
    line = AuditLine(0, known={"orders-api", "orders.read"})
    line.asked(["orders-api", "secret"], ["orders.read", "secret"])
    assert (line.audience, line.scope) == (("orders-api", UNKNOWN), ("orders.read", UNKNOWN))
    assert "secret" not in line.to_json() + repr(line)
