from sidecar.snapshot.parts import Parts


class Part:
    """Something that is open until it is closed."""

    def __init__(self) -> None:
        self.open = True

    async def close(self) -> None:
        self.open = False


def test_what_is_made_of_the_same_is_the_same() -> None:
    first = Parts()
    made = first.keep(("pool", "a"), {"size": [1]}, Part)
    assert first.made[("pool", "a")].value is made
    then = Parts(first)
    assert then.keep(("pool", "a"), {"size": [1]}, Part) is made
    assert then.keep(("pool", "b"), {"size": [1]}, Part) is not made
    assert Parts(first).keep(("pool", "a"), {"size": [2]}, Part) is not made


async def test_what_the_next_did_not_take_over_is_closed() -> None:
    first = Parts()
    kept, changed, gone = (first.keep(("pool", name), 1, Part, Part.close) for name in "abc")
    first.keep(("plain", "d"), 1, list)
    then = Parts(first)
    then.keep(("pool", "a"), 1, Part, Part.close)
    new = then.keep(("pool", "b"), 2, Part, Part.close)
    for close in first.closers(then):
        await close()
    assert [part.open for part in (kept, changed, gone, new)] == [True, False, False, True]
    for close in then.closers():
        await close()
    assert not kept.open
    assert not new.open


def test_what_was_not_taken_over_is_not_there_for_the_one_after() -> None:
    first = Parts()
    made = first.keep(("pool", "a"), 1, Part)
    then = Parts(first)
    then.settle()
    assert Parts(then).keep(("pool", "a"), 1, Part) is not made
    assert then.keep(("pool", "a"), 1, Part) is not made
