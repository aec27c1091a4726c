"""Whatever happens to a log, every line that was written is read once, and in order.

Left out is what nobody can decide: truncating a file whose last lines were neither read nor copied loses them, and a
file that was truncated and then written again with the very same bytes can't be told from an untouched one (here every
line is unique).
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

if TYPE_CHECKING:
    from tests.collector.sources.files.conftest import Reading


class Logs(RuleBasedStateMachine):
    """Two logs that are written, rotated in every way, and read with restarts and crashes in between."""

    def __init__(self, reading_class: type[Reading]) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vedette-files-"))
        self.away = self.folder / "away"
        self.away.mkdir()
        self.reading = reading_class(self.folder)
        self.written: list[list[bytes]] = []
        self.live: dict[str, list[bytes]] = {}
        self.partial: dict[str, bytes] = {}
        self.rotations = 0
        self.number = 0
        for name in ("a", "b"):
            self._create(name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _create(self, name: str) -> None:
        self._path(name).touch()
        self.live[name] = []
        self.written.append(self.live[name])

    def _line(self, size: int) -> bytes:
        self.number += 1
        return b"%d:" % self.number + b"x" * size

    def _append(self, name: str, data: bytes) -> None:
        with self._path(name).open("ab") as file:
            file.write(data)

    def _end_line(self, name: str) -> None:
        if name in self.partial:
            self.live[name].append(self.partial.pop(name))
            self._append(name, b"\n")

    def _rotated(self, name: str, folder: Path) -> Path:
        self.rotations += 1
        return folder / f"{name}.log.{self.rotations}"

    names = st.sampled_from(["a", "b"])

    @rule(name=names, sizes=st.lists(st.sampled_from([0, 10, 2000, 700_000]), max_size=4))
    def write_lines(self, name: str, sizes: list[int]) -> None:
        self._end_line(name)
        lines = [self._line(size) for size in sizes]
        self.live[name] += lines
        self._append(name, b"".join(line + b"\n" for line in lines))

    @rule(name=names, size=st.sampled_from([0, 10, 1500]))
    def write_part_of_a_line(self, name: str, size: int) -> None:
        part = self._line(size)
        self.partial[name] = self.partial.get(name, b"") + part
        self._append(name, part)

    @rule(name=names)
    def rename(self, name: str) -> None:
        self._end_line(name)
        self._path(name).rename(self._rotated(name, self.folder))
        self._create(name)

    @rule(name=names)
    def rename_out_of_sight(self, name: str) -> None:
        self._end_line(name)
        self.reading.round()
        self._append(name, b"".join(line + b"\n" for line in self._more(name)))
        self._path(name).rename(self._rotated(name, self.away))
        self._create(name)
        self.reading.settle()

    def _more(self, name: str) -> list[bytes]:
        lines = [self._line(5), self._line(50)]
        self.live[name] += lines
        return lines

    @rule(name=names, keep=st.booleans(), down=st.booleans(), regrow=st.booleans())
    def copy_and_truncate(self, name: str, keep: bool, down: bool, regrow: bool) -> None:
        self._end_line(name)
        self.reading.settle()
        if keep:
            self._append(name, b"".join(line + b"\n" for line in self._more(name)))
            shutil.copyfile(self._path(name), self._rotated(name, self.folder))
        if down:
            self.reading.restart()
        size = self._path(name).stat().st_size
        self._path(name).write_bytes(b"")
        self.live[name] = []
        self.written.append(self.live[name])
        if regrow:
            self.write_lines(name, [10, size])
        self.reading.settle()

    @rule(name=names)
    def rename_and_compress(self, name: str) -> None:
        self._end_line(name)
        rotated = self._path(name).rename(self._rotated(name, self.folder))
        self._create(name)
        rotated.with_name(f"{rotated.name}.gz").write_bytes(gzip.compress(rotated.read_bytes(), 1))
        rotated.unlink()

    @rule(name=names)
    def delete(self, name: str) -> None:
        self._end_line(name)
        self.reading.settle()
        self._path(name).unlink()
        self._create(name)

    @rule()
    def read_some(self) -> None:
        self.reading.round()

    @rule()
    def read_all(self) -> None:
        self.reading.settle()

    @rule()
    def wait(self) -> None:
        self.reading.wait_out()

    @rule()
    def restart(self) -> None:
        self.reading.restart()

    @rule(rounds=st.integers(0, 2))
    def crash(self, rounds: int) -> None:
        for _ in range(rounds):
            self.reading.round(commit=False)
        self.reading.restart()

    @precondition(lambda self: self.reading.got)
    @invariant()
    def nothing_is_read_twice(self) -> None:
        assert len(set(self.reading.items)) == len(self.reading.got)

    def teardown(self) -> None:
        try:
            for name in ("a", "b"):
                self._end_line(name)
            self.reading.wait_out()
            place = {item: at for at, item in enumerate(self.reading.items)}
            for generation in self.written:
                assert [line for line in generation if line not in place] == []
                order = [place[line] for line in generation]
                assert order == sorted(order)
            assert len(place) == sum(map(len, self.written))
        finally:
            self.reading.watch.close()
            shutil.rmtree(self.folder)


def test_every_line_is_read_once(reading_class: type[Reading]) -> None:
    effort = settings(max_examples=40, stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow])
    machine = cast("type[RuleBasedStateMachine]", partial(Logs, reading_class))
    run_state_machine_as_test(machine, settings=effort)
