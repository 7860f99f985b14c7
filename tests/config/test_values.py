import math
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import values
from sidecar.model.actors import ActorPattern
from sidecar.model.tokens import TOKEN_TYPES

Check = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("check", "value", "result"),
    [
        (values.duration, "250ms", 0.25),
        (values.duration, "5s", 5.0),
        (values.duration, "2m", 120.0),
        (values.duration, "1h", 3600.0),
        (values.duration, "0s", 0.0),
        (values.positive_duration, "1ms", 0.001),
        (values.whole_seconds, "5m", 300),
        (values.whole_seconds, "2000ms", 2),
        (values.tunnel_lifetime, "8h", 28800.0),
        (values.tunnel_lifetime, "token", None),
        (values.size, "512", 512),
        (values.size, 512, 512),
        (values.size, "64KiB", 65536),
        (values.size, "1MiB", 1048576),
        (values.size, "2GiB", 2 * 1024**3),
        (values.version, 1, 1),
        (values.text, "é ü", "é ü"),
        (values.name, "a.b_c-1", "a.b_c-1"),
        (values.route_name, "team/orders", "team/orders"),
        (values.variable_name, "_A1", "_A1"),
        (values.method, "GET", "GET"),
        (values.method, "M-SEARCH", "M-SEARCH"),
        (values.header_name, "X-A_b", "X-A_b"),
        (values.header_value, "", ""),
        (values.header_value, "a b;c", "a b;c"),
        (values.token_header_name, "Authorization", "Authorization"),
        (values.token_header_name, "X-Forwarded-Access-Token", "X-Forwarded-Access-Token"),
        (values.scope, "orders.read", "orders.read"),
        (values.scope, "https://x/.default", "https://x/.default"),
        (values.absolute_uri, "https://api.example.com/?a=%20", "https://api.example.com/?a=%20"),
        (values.authentication_context, "urn:mace:incommon:iap:silver", "urn:mace:incommon:iap:silver"),
        (values.actor_pattern, "agent-7", ActorPattern(None, "agent-7")),
        (values.actor_pattern, "spiffe://example.com/agents/*", ActorPattern(None, "spiffe://example.com/agents/*")),
        (values.actor_pattern, {"iss": "https://a", "sub": "*"}, ActorPattern("https://a", "*")),
        (values.absolute_uri, "urn:example:api", "urn:example:api"),
        (values.token_type, "saml2", TOKEN_TYPES["saml2"]),
        (values.token_type, "urn:x:y", "urn:x:y"),
        (values.extra_parameter, "organization", "organization"),
        (values.authorization_detail, {"type": "a", "actions": ["b"]}, {"type": "a", "actions": ["b"]}),
        (values.claim_path, "realm_access.roles", "realm_access.roles"),
        (values.claim_values, "a", ("a",)),
        (values.claim_values, True, (True,)),
        (values.claim_values, ["a", 1], ("a", 1)),
    ],
)
def test_what_is_right_is_read(check: Check, value: object, result: object) -> None:
    assert check(value) == result


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (
            values.duration,
            ["", "5", 5, 5.0, True, None, "5 s", "1.5s", "-1s", "1d", "5S", "5s\n", "٥s", "9999999999s", []],
        ),
        (values.positive_duration, ["0s", "0ms", "5"]),
        (values.whole_seconds, ["0s", "1500ms", "5", 5, None]),
        (values.tunnel_lifetime, ["0s", "5", "Token", "", None, 5, "none"]),
        (values.size, ["", "64KB", "64kib", "1.5MiB", 1.5, True, None, "0", 0, -1, "٥", "5\n", []]),
        (values.version, [0, 2]),
        (values.text, ["", " ", " a", "a ", "a\nb", "a\x00", "\x7f"]),
        (values.name, ["", "a/b", "a b", "a" * 65, "é", "a\n"]),
        (values.route_name, ["", "none", "a b", "a" * 65, "é", "a\n"]),
        (values.variable_name, ["", "1A", "A-B", "s3cret!", "A\n"]),
        (values.method, ["", "get", "Get", "CONNECT", "TRACE", "GE T", "GET\n", "É"]),
        (values.header_name, ["", "X A", "X:", "X\n", "é"]),
        (values.header_value, [" a", "a ", "a\r\nb", "é", "\x00"]),
        (
            values.token_header_name,
            [
                "Host",
                "host",
                "CONNECTION",
                "Content-Length",
                "Transfer-Encoding",
                "TE",
                "Via",
                "Cookie",
                "X-Forwarded-For",
                "Forwarded",
                "Proxy-Authorization",
                "X-Request-ID",
                "",
                "X A",
            ],
        ),
        (values.scope, ["", "a b", 'a"b', "a\\b", "é", "a\n"]),
        (values.authentication_context, ["", "a b", 'a"b', "a\\b", "é", "a\n"]),
        (
            values.actor_pattern,
            [
                "",
                "a\n",
                "a*b",
                "**",
                7,
                None,
                [],
                ["a"],
                {},
                {"sub": "a"},
                {"iss": "https://a"},
                {"iss": "https://a", "sub": "a", "x": 1},
                {"iss": "", "sub": "a"},
                {"iss": None, "sub": "a"},
                {"iss": "https://a", "sub": 7},
                {"iss": "https://a", "sub": "a*b"},
            ],
        ),
        (
            values.absolute_uri,
            ["", "api", "/x", "https:", "https://x/#f", "https://x/ y", "https://x/%zz", "é:x", "a:b\n"],
        ),
        (values.token_type, ["", "access-token", "urn:x#f"]),
        (
            values.extra_parameter,
            [
                "",
                "a b",
                "é",
                "grant_type",
                "subject_token",
                "subject_token_type",
                "actor_token",
                "actor_token_type",
                "requested_token_type",
                "audience",
                "resource",
                "scope",
                "assertion",
                "client_id",
                "client_secret",
                "client_assertion",
                "client_assertion_type",
                "authorization_details",
                "requested_token_use",
            ],
        ),
        (
            values.authorization_detail,
            [
                {},
                {"type": ""},
                {"type": 1},
                {"type": "a", "x": date(2026, 1, 1)},
                {"type": "a", "x": math.nan},
                {"type": "a", 1: 2},
            ],
        ),
        (values.claim_path, ["", ".", "a.", ".a", "a..b", "a\nb"]),
        (values.claim_values, [None, [], {}, [None], [["a"]], {"a": 1}]),
    ],
)
def test_what_is_wrong_is_refused_without_repeating_it(check: Check, bad: list[Any]) -> None:
    for value in bad:
        with pytest.raises(ValueError, match=r".") as refused:
            check(value)
        if isinstance(value, str) and len(value) > 12:
            assert value not in str(refused.value)


@given(st.integers(0, 999_999_999), st.sampled_from(["ms", "s", "m", "h"]))
def test_durations_grow_with_their_number(number: int, unit: str) -> None:
    assert values.duration(f"{number}{unit}") <= values.duration(f"{min(number + 1, 999_999_999)}{unit}")


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.text())))
def test_no_value_raises_anything_else(value: object) -> None:
    for check in (values.duration, values.positive_duration, values.size, values.claim_values):
        try:
            check(value)
        except ValueError:
            continue


@given(st.text())
def test_no_text_raises_anything_else(value: str) -> None:
    for check in (
        values.text,
        values.name,
        values.route_name,
        values.variable_name,
        values.method,
        values.header_name,
        values.header_value,
        values.token_header_name,
        values.scope,
        values.absolute_uri,
        values.token_type,
        values.extra_parameter,
        values.claim_path,
    ):
        try:
            check(value)
        except ValueError:
            continue
