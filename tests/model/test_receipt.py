from sidecar.model.receipt import Occasion, Receipt


def test_nothing_that_a_caller_wrote_is_in_a_repr() -> None:
    occasion = Occasion("id", "GET", b"/canary", b"canary")
    assert "canary" not in repr(Receipt(occasion, "canary"))
