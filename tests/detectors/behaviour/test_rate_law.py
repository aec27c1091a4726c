"""Rates and volumes after a restart: as if there had been none.

All shipped definitions of both types, with shorter times to learn and lower floors, on simulated days with attacks.
Run as a program it prints the digest of what they tell and know, so that processes with different hash seeds can be
compared.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from collector.decoders import DECODERS
from collector.enrichers.workload import likely_owner
from detectors.behaviour.definition import content_hash
from detectors.behaviour.flow_view import FlowView
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.types import SETTINGS
from detectors.behaviour.watch import Watch
from detectors.packs import shipped_pack_texts
from vedette.schema.observation import Kind, Observation, Observer
from vedette.testing.law import assert_law
from vedette.testing.simulator import FLOW_FIELDS, Simulation, SimulationConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from detectors.behaviour.definition import Definition
    from vedette.schema.operator import Operator

TYPES: Final = ("egress_volume", "rate")
ATTACKS: Final = ("api_flood", "forbidden_enumeration", "mass_delete", "burst_exfiltration")
CHANGED: Final[dict[str, dict[str, Any]]] = {
    "rate": {"learn_for_ns": 6 * 3600 * 10**9, "count_min": 2, "at_once": 0.05, "false_share": 0.1},
    "egress_volume": {"learn_for_ns": 6 * 3600 * 10**9, "hour_mb_min": 0.1, "day_mb_min": 0.2, "slow_mb_min": 0.1},
}


def _eager(found: Definition) -> Definition:
    changed = replace(found, settings=replace(found.settings, **CHANGED[found.type]))
    return replace(changed, content_hash=content_hash(changed))


@cache
def definitions() -> tuple[Definition, ...]:
    texts = [text for text in shipped_pack_texts() if text.pack == "behaviour"]
    return tuple(_eager(found) for found in load_definitions(texts, SETTINGS).definitions if found.type in TYPES)


@cache
def log() -> tuple[Observation, ...]:
    """Some of what three simulated days show, part of it minutes out of order, and all of the attacks."""
    rng = random.Random(3)
    seen: list[Observation] = []
    for number, record in enumerate(Simulation(SimulationConfig(9, 3, 9, 2, ATTACKS)).records()):
        if record.label is None and number % (24 if record.format == "kube_audit" else 4):
            continue
        decoder = DECODERS[record.format]
        assert isinstance(decoder, Observer)
        found = decoder.observe(record.payload, FLOW_FIELDS if record.format == "vpc_flow" else "", None)
        if found is not None and found.kind is not Kind.LIFE:
            found.source, found.format, found.seq = record.format, record.format, number
            if found.pod and not found.workload:
                found.workload = (likely_owner(found.pod) or found).name
            found.arrival_ns = found.time_ns + rng.choice((0, 0, 0, 10**9, 10**11))
            seen.append(found)
    seen.sort(key=lambda one: (one.arrival_ns, one.seq))
    flows = FlowView()
    connections = (flows.take(one) for one in seen)
    return tuple(one for one in connections if one is not None)


class Bench:
    """The detectors, fed observation by observation; now and then all that they know is looked at."""

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
        found = [*self.watch.advance(item.arrival_ns), *self.watch.observe(item)]
        pieces = [repr((told.group, told.clauses(), told.last)).encode() for told in found]
        return [*pieces, *self.known()] if item.seq % 5_000 == 0 else pieces

    def known(self) -> Iterable[bytes]:
        encode = msgspec.msgpack.Encoder().encode
        return [key.encode() + encode(one.state.get(key)) for one in self.operators for key in sorted(one.state)]


def test_a_restart_anywhere_changes_nothing_nor_does_the_seed_of_hashes() -> None:
    digest = assert_law(Bench, log(), random.Random(1), rounds=2)
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    program = [sys.executable, str(Path(__file__))]
    again = subprocess.run(program, check=True, capture_output=True, text=True, env=environment)
    assert again.stdout == digest


def test_the_log_is_worth_it() -> None:
    bench = Bench()
    told = [
        found.definition.type
        for item in log()
        for found in (*bench.watch.advance(item.arrival_ns), *bench.watch.observe(item))
    ]
    assert set(told) == set(TYPES)
    assert len(told) >= 20


if __name__ == "__main__":
    sys.stdout.write(assert_law(Bench, log(), random.Random(2), rounds=1))
