"""A clock that stands still until it is moved; both of its hands can be moved apart."""

from dataclasses import dataclass

from sidecar.model.clock import Clock


@dataclass
class FakeClock:
    """Seconds on a monotonic and a wall clock, both set by the test."""

    monotonic: float = 1000.0
    wall: float = 1_700_000_000.0

    @property
    def clock(self) -> Clock:
        """The clock to hand to what is tested."""
        return Clock(lambda: self.monotonic, lambda: self.wall)

    def advance(self, seconds: float) -> None:
        """Let time pass on both."""
        self.monotonic += seconds
        self.wall += seconds
