"""KeyedState: a checkpoint taken in slices, with changes in between, restores what was there at the freeze."""

from random import Random

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vedette.schema.operator import KeyedState, Saved

keys = st.sampled_from([f"k{number}" for number in range(12)])


class Value(msgspec.Struct):
    number: int
    ratio: float


def content(state: KeyedState[Value]) -> list[tuple[str, int, float]]:
    return [(key, value.number, value.ratio) for key in state if (value := state.get(key)) is not None]


class Checkpoints(RuleBasedStateMachine):
    """An operator's life: it changes keys at any time, while checkpoints are frozen, drained, finished or abandoned.

    `rows` is what the journal's complete checkpoint holds; a restart puts it into a fresh state.
    """

    @initialize()
    def begin(self) -> None:
        self.state = KeyedState(Value)
        self.rows: dict[str, Saved] = {}
        self.staged: list[Saved] | None = None
        self.at_freeze: list[tuple[str, int, float]] = []
        self.complete: list[tuple[str, int, float]] = []

    # --- the owner ----------------------------------------------------------------------------------------------------
    @rule(key=keys, number=st.integers(-5, 5), ratio=st.floats(allow_nan=False))
    def put_or_change(self, key: str, number: int, ratio: float) -> None:
        if self.state.get(key) is None:
            self.state.put(key, Value(number, ratio))
        else:
            self.state.touch(key)
            value = self.state.get(key)
            assert value is not None
            value.number, value.ratio = number, ratio

    @rule(key=keys)
    def pop(self, key: str) -> None:
        if self.state.get(key) is not None:
            self.state.pop(key)
        assert self.state.get(key) is None

    @rule(key=keys, number=st.integers(-5, 5))
    def replace(self, key: str, number: int) -> None:
        """Forget and put again: the key moves to the end."""
        if self.state.get(key) is not None:
            self.state.pop(key)
        self.state.put(key, Value(number, 0.5))
        assert list(self.state)[-1] == key

    # --- checkpoints --------------------------------------------------------------------------------------------------
    @precondition(lambda self: self.staged is None)
    @rule()
    def freeze(self) -> None:
        self.state.freeze()
        self.staged, self.at_freeze = [], content(self.state)

    @precondition(lambda self: self.staged is not None)
    @rule(keys_max=st.integers(1, 4))
    def drain(self, keys_max: int) -> None:
        assert self.staged is not None
        saved = self.state.drain(keys_max)
        self.staged += saved
        if not saved:
            assert len({row.key for row in self.staged}) == len(self.staged), "each key is saved once"
            for row in self.staged:
                if row.value:
                    self.rows[row.key] = row
                else:
                    self.rows.pop(row.key, None)
            self.staged, self.complete = None, self.at_freeze

    @rule()
    def restart(self) -> None:
        """A crash: what was staged is forgotten, the complete checkpoint comes back."""
        self.state, self.staged = KeyedState(Value), None
        self.state.restore(sorted(self.rows.values(), key=lambda row: row.order))
        assert content(self.state) == self.complete

    @invariant()
    def the_checkpoint_holds_the_state_at_its_freeze_in_order(self) -> None:
        fresh = KeyedState(Value)
        fresh.restore(self.rows.values())
        assert content(fresh) == self.complete
        assert len(fresh) == len(self.complete)


TestCheckpoints = Checkpoints.TestCase
TestCheckpoints.settings = settings(max_examples=60, stateful_step_count=50)


def test_the_rows_may_come_in_any_order_and_later_entries_win() -> None:
    rows = [Saved("a", 0, b"\x82\xa6number\x01\xa5ratio\xca\x00\x00\x00\x00"), Saved("b", 1, b"")]
    later = Saved("a", 2, rows[0].value.replace(b"\x01", b"\x02"))
    state = KeyedState(Value)
    state.restore([*rows, later])
    assert content(state) == [("a", 2, 0.0)]
    state.put("c", Value(3, 0.0))
    assert list(state) == ["a", "c"]


@pytest.mark.parametrize("value", [0.1, 1e-320, -0.0, 2**53 + 1.0, float("inf")])
def test_floats_keep_their_bits(value: float) -> None:
    state, fresh = KeyedState(Value), KeyedState(Value)
    state.put("k", Value(1, value))
    state.freeze()
    fresh.restore(state.drain(1))
    restored = fresh.get("k")
    assert restored is not None
    assert restored.ratio.hex() == value.hex()


def test_put_is_for_new_keys() -> None:
    state = KeyedState(Value)
    state.put("k", Value(1, 0.0))
    with pytest.raises(AssertionError, match="put is for new keys"):
        state.put("k", Value(2, 0.0))


@pytest.mark.parametrize("changed", [False, True], ids=["frozen", "changed since"])
def test_one_checkpoint_after_the_other(changed: bool) -> None:
    state = KeyedState(Value)
    state.put("k", Value(1, 0.0))
    state.freeze()
    if changed:
        state.touch("k")
    with pytest.raises(AssertionError, match="not drained"):
        state.freeze()


def test_only_what_changed_is_saved() -> None:
    state = KeyedState(Value)
    for number in range(100):
        state.put(str(number), Value(number, 0.0))
    state.freeze()
    assert len(state.drain(1_000)) == 100
    assert state.drain(1) == []
    chosen = Random(1).sample(range(100), 7)
    for number in chosen:
        state.touch(str(number))
    state.freeze()
    assert {row.key for row in state.drain(1_000)} == {str(number) for number in chosen}
