"""The law that every stateful operator is tested with.

    run(log) == restore(checkpoint(log[:k])) + log[k:]      byte for byte

`assert_law` runs an operator whole, then again cut in two at many places, with the state carried over by nothing but
checkpoints — complete ones, and incremental ones taken in slices while the operator goes on. Under other values of
PYTHONHASHSEED, `digest_of` must come out the same (see `tests/vedette/pipeline/law`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from random import Random

    from vedette.schema.operator import Operator, Saved

Input = TypeVar("Input")
Input_contra = TypeVar("Input_contra", contravariant=True)


class Bench(Protocol[Input_contra]):
    """An operator on the test bench: fed one input at a time, what it emits rendered as bytes."""

    @property
    def operators(self) -> Sequence[Operator]:
        """The operators whose state checkpoints carry."""
        ...

    def feed(self, item: Input_contra) -> Iterable[bytes]:
        """Take one input and render all that was emitted."""
        ...

    def restored(self) -> None:
        """Called after the state was restored."""
        ...


class Checkpoints:
    """A checkpoint store in memory, with the same meaning as the journal's."""

    def __init__(self) -> None:
        """Start without a checkpoint."""
        self.rows: dict[str, dict[str, Saved]] = {}

    def save(self, operators: Sequence[Operator], *, keys_max: int, between: Callable[[], None] | None = None) -> None:
        """Freeze, then drain in slices, calling `between` after each (the operator may go on there)."""
        for operator in operators:
            operator.state.freeze()
        for operator in operators:
            saved = self.rows.setdefault(operator.name, {})
            while rows := operator.state.drain(keys_max):
                for row in rows:
                    if row.value:
                        saved[row.key] = row
                    else:
                        saved.pop(row.key, None)
                if between is not None:
                    between()

    def restore(self, operators: Sequence[Operator]) -> None:
        """Put the checkpoint into fresh operators."""
        for operator in operators:
            operator.state.restore(self.rows.get(operator.name, {}).values())


class Law(Generic[Input]):
    """The law for one kind of bench on one log."""

    def __init__(self, make: Callable[[], Bench[Input]], log: Sequence[Input]) -> None:
        """`make` returns a fresh bench."""
        self._make = make
        self._log = log

    def run(self) -> list[bytes]:
        """Everything that an uninterrupted run emits."""
        bench = self._make()
        return [piece for item in self._log for piece in bench.feed(item)]

    def run_cut(self, cuts: Sequence[int], random: Random) -> list[bytes]:
        """Everything emitted when the process ends after each of `cuts` inputs and restores its last checkpoint.

        The checkpoint is complete somewhere before the cut; the inputs in between are replayed without emitting.
        """
        emitted: list[bytes] = []
        bench, store, at = self._make(), Checkpoints(), 0
        for cut in [*sorted(cuts), len(self._log)]:
            saved_at = random.randint(at, cut)
            emitted += self._feed(bench, at, saved_at)
            at = saved_at
            pending = iter(range(at, cut))
            during: list[bytes] = []

            def step(
                bench: Bench[Input] = bench, pending: Iterable[int] = pending, during: list[bytes] = during
            ) -> None:
                for number in pending:
                    during.extend(bench.feed(self._log[number]))
                    return

            store.save(bench.operators, keys_max=random.randint(1, 5), between=step)
            for _ in range(at, cut):
                step()
            emitted += during
            bench = self._make()
            store.restore(bench.operators)
            bench.restored()
            self._feed(bench, saved_at, cut)
            at = cut
        return emitted

    def _feed(self, bench: Bench[Input], start: int, end: int) -> list[bytes]:
        return [piece for item in self._log[start:end] for piece in bench.feed(item)]


def digest_of(pieces: Iterable[bytes]) -> str:
    """Digest everything emitted, in order."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()


def assert_law(make: Callable[[], Bench[Input]], log: Sequence[Input], random: Random, *, rounds: int = 10) -> str:
    """Check the law at random cuts; return the digest of what was emitted."""
    law = Law(make, log)
    whole = law.run()
    for _ in range(rounds):
        cuts = random.sample(range(len(log) + 1), k=min(random.randint(1, 4), len(log) + 1))
        again = law.run_cut(cuts, random)
        assert again == whole, f"cut at {sorted(cuts)}: {len(again)} pieces emitted, {len(whole)} without cuts"
    return digest_of(whole)
