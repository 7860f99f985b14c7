import json

from sidecar.model.status import ConfigStatus, IssuerStatus, as_json
from tests.support.status import status


def test_json_has_each_member_by_its_name() -> None:
    told = json.loads(as_json(status()))
    assert set(told) == {
        "version",
        "time",
        "uptime_seconds",
        "ready",
        "requests_in_flight",
        "event_loop_lag_seconds",
        "receipts_dropped",
        "last_minute",
        "config",
        "routes",
        "authorization_servers",
        "trusted_issuers",
        "cache",
        "recent_refusals",
    }
    assert told["routes"][0]["last_minute"]["answers"] == {"2xx": 6, "5xx": 1}
    assert told["authorization_servers"]["corp"]["last_minute"]["exchanges"] == {"success": 2}


def test_what_nobody_knows_is_null() -> None:
    told = json.loads(as_json(status(trusted_issuers={"corp": IssuerStatus(None, None, None)})))
    assert told["trusted_issuers"] == {
        "corp": {"available": None, "keys_age_seconds": None, "keys_serve_seconds": None}
    }


def test_json_can_hold_any_text() -> None:
    odd = "\ud800 \u202e </script> \x00 \u2028"
    told = as_json(status(config=ConfigStatus(odd, "", (), {})))
    told.decode("ascii")
    assert json.loads(told)["config"]["file"] == odd
