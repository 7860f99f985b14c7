from dataclasses import replace

from tests.support.values import request


def test_values_are_those_of_all_lines_of_a_name_in_order() -> None:
    head = request((b"Accept", b"a"), (b"X-A", b""), (b"accept", b"b"), (b"ACCEPT", b"a"), (b"Accepts", b"c"))
    assert head.values(b"accept") == [b"a", b"b", b"a"]
    assert head.values(b"x-a") == [b""]
    assert head.values(b"missing") == []


def test_nothing_that_a_caller_wrote_is_in_a_repr() -> None:
    head = request((b"Authorization", b"canary"), path=b"/canary", query=b"canary")
    assert "canary" not in repr(replace(head, authority=b"canary"))
