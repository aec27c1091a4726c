"""First-seen values, distinct counts and credentials in two places after a restart: as if there had been none.

All shipped definitions of the three types, with shorter times to learn, on two simulated days with attacks. Run as a
program it prints the digest of what they tell, so that processes with different hash seeds can be compared.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from collector.decoders import DECODERS
from detectors.behaviour.definition import content_hash
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.types import SETTINGS
from detectors.behaviour.watch import Watch
from detectors.packs import shipped_pack_texts
from vedette.schema.observation import Observation, Observer
from vedette.testing.law import assert_law
from vedette.testing.simulator import Simulation, SimulationConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from detectors.behaviour.definition import Definition
    from vedette.schema.operator import Operator

TYPES: Final = ("credential_addresses", "distinct_count", "first_seen")
ATTACKS: Final = (
    "service_account_new_verb",
    "secret_harvest",
    "credential_in_two_networks",
    "night_exec",
    "mass_delete",
)
LEARN_FOR_NS: Final = 6 * 3600 * 10**9


def _shortened(found: Definition) -> Definition:
    changed = replace(found, settings=replace(found.settings, learn_for_ns=LEARN_FOR_NS))
    return replace(changed, content_hash=content_hash(changed))


@cache
def definitions() -> tuple[Definition, ...]:
    texts = [text for text in shipped_pack_texts() if text.pack == "behaviour"]
    return tuple(_shortened(found) for found in load_definitions(texts, SETTINGS).definitions if found.type in TYPES)


@cache
def log() -> tuple[Observation, ...]:
    """Every third observation of two simulated days, some minutes out of order, and all of the attacks'."""
    rng = random.Random(3)
    seen: list[Observation] = []
    for number, record in enumerate(Simulation(SimulationConfig(12, 2, 9, 1, ATTACKS)).records()):
        if record.format == "vpc_flow" or (record.label is None and number % 3):
            continue
        decoder = DECODERS[record.format]
        assert isinstance(decoder, Observer)
        found = decoder.observe(record.payload, "", None)
        if found is not None:
            found.source, found.format, found.seq = record.format, record.format, number
            found.arrival_ns = found.time_ns + rng.choice((0, 0, 0, 10**9, 10**11))
            seen.append(found)
    return tuple(sorted(seen, key=lambda one: (one.arrival_ns, one.seq)))


class Bench:
    """The detectors, fed observation by observation."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.watch.use(definitions())

    @property
    def operators(self) -> Sequence[Operator]:
        return [found for found in self.watch.operators if found.name.removeprefix("behaviour_") in TYPES]

    def restored(self) -> None:
        for operator in self.operators:
            operator.rebuild()
        self.watch.use(definitions())

    def feed(self, item: Observation) -> Iterable[bytes]:
        return [repr((told.group, told.clauses(), told.last)).encode() for told in self.watch.observe(item)]


def test_a_restart_anywhere_changes_nothing_nor_does_the_seed_of_hashes() -> None:
    digest = assert_law(Bench, log(), random.Random(1), rounds=4)
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    program = [sys.executable, str(Path(__file__))]
    again = subprocess.run(program, check=True, capture_output=True, text=True, env=environment)
    assert again.stdout == digest


def test_the_log_is_worth_it() -> None:
    bench = Bench()
    told = {(found.definition.type, found.info.title) for item in log() for found in bench.watch.observe(item)}
    assert {name for name, _ in told} == set(TYPES)
    assert len(told) >= 7


if __name__ == "__main__":
    sys.stdout.write(assert_law(Bench, log(), random.Random(2), rounds=1))
