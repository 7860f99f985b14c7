"""Every dialect against the server it is made for, as that is documented: what is exchanged comes out as it should, and
no switch of any dialect can be another one without something coming out otherwise.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from inspect import get_annotations
from pathlib import Path
from typing import Any, get_args

import pytest

from sidecar.config import dialects
from sidecar.exchange.dialects import DIALECTS, Dialect
from sidecar.exchange.dialects.errors import Cause, DescribedError
from sidecar.exchange.grants import GRANTS
from sidecar.snapshot import peers
from tests.support.vendors import VENDORS, vendor_server
from tests.support.vendors.exchanges import carried_out, cases, prepared

every_vendor = pytest.mark.parametrize("name", DIALECTS)

#: Switches about types of tokens, which some grants never name.
ABOUT_TYPES = {"issued_token_type", "subject_token_types", "actor_token"}


def test_every_dialect_has_a_server_that_speaks_it() -> None:
    assert list(VENDORS) == list(DIALECTS)


def test_the_default_is_the_rfc() -> None:
    assert DIALECTS["rfc8693"] == Dialect()


@every_vendor
async def test_what_is_exchanged_with_it(name: str, tmp_path: Path) -> None:
    vendor = VENDORS[name]()
    async with vendor_server(vendor) as server:
        for case in cases(VENDORS[name]):
            outcome = await carried_out(prepared(VENDORS[name], server.port, tmp_path, case), vendor)
            assert (outcome.result, case.says in outcome.finding) == (case.expected, True), (case.name, outcome)


@every_vendor
async def test_every_switch_is_noticed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = VENDORS[name]()
    unnoticed = []
    async with vendor_server(vendor) as server:
        exchanges = [prepared(VENDORS[name], server.port, tmp_path, case) for case in cases(VENDORS[name])]
        as_it_is = [await carried_out(exchange, vendor) for exchange in exchanges]
        for switch, value in flips(DIALECTS[name]):
            flipped = {**DIALECTS, name: replace(DIALECTS[name], **{switch: value})}
            monkeypatch.setattr(peers, "DIALECTS", flipped)
            monkeypatch.setattr(dialects, "DIALECTS", flipped)
            for exchange, before in zip(exchanges, as_it_is, strict=True):
                if await carried_out(exchange, vendor) != before:
                    break
            else:
                unnoticed.append((switch, value))
    assert unnoticed == []


def flips(dialect: Dialect) -> Iterator[tuple[str, Any]]:
    """Return every switch with each value that it might wrongly have."""
    yield from (("grant", grant) for grant in GRANTS if grant != dialect.grant)
    for switch, declared in get_annotations(Dialect).items():
        if switch == "grant" or (switch in ABOUT_TYPES and not GRANTS[dialect.grant].names_types):
            continue
        value = getattr(dialect, switch)
        if declared is bool:
            yield switch, not value
        elif get_args(declared) and isinstance(value, str) and switch != "requested_token_type":
            yield from ((switch, other) for other in get_args(declared) if other != value)
        else:
            yield from ((switch, other) for other in others(switch, value))


def others(switch: str, value: Any) -> Iterator[Any]:
    """Return other values of a switch that is no choice between a few."""
    match switch:
        case "subject_claim":
            yield "oid" if value == "sub" else "sub"
        case "requested_token_type":
            yield None if value else "urn:ietf:params:oauth:token-type:access_token"
        case "subject_token_types":
            yield () if value else ("urn:example:another",)
        case "extra_audience":
            yield () if value else ("billing-api",)
        case "extra_scope":
            yield () if value else ("https://billing.example/orders.read", "Orders.Delete")
        case "errors":
            yield from ({code: cause for code, cause in value.items() if code != left_out} for left_out in value)
            yield {**value, "invalid_scope": Cause.POLICY}
        case "described_errors":
            yield from (tuple(each for each in value if each is not left_out) for left_out in value)
            for number, each in enumerate(value):
                wrong = Cause.SERVER if each.cause is not Cause.SERVER else Cause.POLICY
                yield (*value[:number], replace(each, cause=wrong), *value[number + 1 :])
            yield (*value, DescribedError("invalid_scope", "", Cause.POLICY))
        case _:
            raise AssertionError(f"{switch} has no other value here")


def test_every_switch_can_be_flipped() -> None:
    for dialect in DIALECTS.values():
        flipped = {switch for switch, _ in flips(dialect)}
        missing = {each.name for each in fields(Dialect)} - flipped
        assert missing == (set() if GRANTS[dialect.grant].names_types else ABOUT_TYPES)
