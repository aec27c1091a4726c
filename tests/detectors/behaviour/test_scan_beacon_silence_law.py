"""Scans, beacons and silence hold the law on simulated days, whatever the hash seed; floats and all."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

import orjson
from msgspec.structs import replace

from detectors.behaviour.loading import load_definitions
from detectors.behaviour.types import SETTINGS
from detectors.behaviour.watch import Watch
from detectors.packs import shipped_pack_texts
from vedette.schema.limits import SECOND_NS
from vedette.testing.behaviour import BehaviourWatch
from vedette.testing.law import Law, assert_law, digest_of
from vedette.testing.simulator import Simulation, SimulationConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from detectors.behaviour.definition import Definition
    from detectors.behaviour.deviation import Deviation
    from vedette.schema.observation import Observation
    from vedette.schema.operator import Operator

TYPES = ("scan", "beacon", "silence")
SEED = 5
ATTACKS = ("port_scan", "host_sweep", "forbidden_enumeration", "beacon", "sensor_killed", "source_silent")


@lru_cache
def definitions() -> tuple[Definition, ...]:
    """The shipped ones, in a hurry: what they learn in days they learn here in hours."""
    texts = [text for text in shipped_pack_texts() if text.pack == "behaviour"]
    hasty = [replace(text, text=text.text.replace("type: beacon", "type: beacon\n  learn_for: 20h")) for text in texts]
    return tuple(found for found in load_definitions(hasty, SETTINGS).definitions if found.type in TYPES)


class Collector(Watch):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Observation] = []

    def observe(self, seen: Observation) -> list[Deviation]:
        self.seen.append(seen)
        return []


@lru_cache
def log() -> list[list[Observation]]:
    """What is observed on two days of a small cluster, in pieces."""
    config = SimulationConfig(pods=8, days=2, seed=SEED, learning_days=1, attacks=ATTACKS)
    collector, watch = Collector(), BehaviourWatch([])
    watch.observing.watch = collector
    for record in Simulation(config).records():
        watch.feed(record)
    seen = collector.seen
    return [seen[at : at + 100] for at in range(0, len(seen), 100)]


class Bench:
    """The detectors with their definitions, fed with pieces of observations; some come after a pause."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.watch.use(definitions())

    @property
    def operators(self) -> Sequence[Operator]:
        return self.watch.operators

    def restored(self) -> None:
        for operator in self.operators:
            operator.rebuild()
        self.watch.use(definitions())

    def feed(self, item: list[Observation]) -> Iterable[bytes]:
        if item[0].arrival_ns // SECOND_NS % 37 == 0:
            self.watch.resume(item[0].arrival_ns)
        for seen in item:
            found = [*self.watch.advance(seen.arrival_ns), *self.watch.observe(seen)]
            yield from map(_rendered, found)


def _rendered(told: Deviation) -> bytes:
    traces = [trace.seq for trace in (*told.traces, told.last)]
    return orjson.dumps((told.info.title, told.group, told.normal, told.seen, told.unusual, told.evidence, traces))


def test_the_law_holds() -> None:
    assert_law(Bench, log(), Random(SEED), rounds=1)


def test_every_type_has_something_to_say_and_hash_seeds_change_nothing() -> None:
    said = Law(Bench, log()).run()
    titles = {orjson.loads(piece)[0] for piece in said}
    assert {found.type for found in definitions() if found.info.title in titles} == set(TYPES)
    other = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert other.stdout == digest_of(said)


if __name__ == "__main__":
    sys.stdout.write(digest_of(Law(Bench, log()).run()))
