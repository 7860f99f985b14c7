from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from sidecar.model.memory import Memory

MOST = 4


class Remembering(RuleBasedStateMachine):
    """A memory beside a list of what was used, the longest ago first."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: Memory[int, str] = Memory(MOST)
        self.model: dict[int, str] = {}

    @rule(key=st.integers(0, 9), value=st.text(max_size=2))
    def put(self, key: int, value: str) -> None:
        self.memory.put(key, value)
        self.model.pop(key, None)
        self.model[key] = value
        if len(self.model) > MOST:
            del self.model[next(iter(self.model))]
        assert len(self.memory) == len(self.model)

    @rule(key=st.integers(0, 9))
    def get(self, key: int) -> None:
        assert self.memory.get(key) == self.model.get(key)
        if key in self.model:
            self.model[key] = self.model.pop(key)

    @rule(part=st.text(max_size=1))
    def forget(self, part: str) -> None:
        taken = [key for key, value in self.model.items() if part in value]
        assert self.memory.forget(lambda value: part in value) == len(taken)
        for key in taken:
            del self.model[key]
        assert len(self.memory) == len(self.model)

    @rule()
    def clear(self) -> None:
        self.memory.clear()
        self.model.clear()
        assert len(self.memory) == 0


TestRemembering = Remembering.TestCase
