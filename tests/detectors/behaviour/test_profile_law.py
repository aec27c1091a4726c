"""Profiles after a restart: as if there had been none, with decisions of operators and severe alerts in between.

All shipped definitions of both types, with shorter times to learn, on simulated days with attacks. Run as a program it
prints the digest of what they tell and of what was learned: processes with different hash seeds can be compared.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from collector.decoders import DECODERS
from collector.enrichers.workload import likely_owner
from detectors.behaviour.definition import content_hash
from detectors.behaviour.flow_view import FlowView
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.profiles.control import Action, decide, take_in
from detectors.behaviour.profiles.freezes import workload_name
from detectors.behaviour.profiles.reading import profile_id, readings, rows_of
from detectors.behaviour.profiles.transfer import pack
from detectors.behaviour.types import SETTINGS
from detectors.behaviour.watch import Watch
from detectors.packs import shipped_pack_texts
from vedette.schema.observation import Observation, Observer
from vedette.testing.law import assert_law
from vedette.testing.simulator import FLOW_FIELDS, Simulation, SimulationConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from detectors.behaviour.definition import Definition
    from vedette.schema.operator import Operator

TYPES: Final = ("profile", "new_edge")
ATTACKS: Final = ("drift", "credential_files_read", "lateral_edge", "service_account_new_verb", "new_process")
HOUR_NS: Final = 3600 * 10**9
DECIDED: Final = 401
"""Every so many observations an operator decides something."""


def _shortened(found: Definition) -> Definition:
    times = {"learn_for_ns": 8 * HOUR_NS, "partial_for_ns": 12 * HOUR_NS, "settle_for_ns": 3 * HOUR_NS}
    changed = replace(found, settings=replace(found.settings, learn_hours=4, **times))
    return replace(changed, content_hash=content_hash(changed))


@cache
def definitions() -> tuple[Definition, ...]:
    texts = [text for text in shipped_pack_texts() if text.pack == "behaviour"]
    return tuple(_shortened(found) for found in load_definitions(texts, SETTINGS).definitions if found.type in TYPES)


@cache
def log() -> tuple[Observation, ...]:
    """Connections, programs, files and calls of two simulated days, some a minute and a half late."""
    rng = random.Random(3)
    flows, seen = FlowView(), list[Observation]()
    for number, record in enumerate(Simulation(SimulationConfig(12, 2, 9, 1, ATTACKS)).records()):
        decoder = DECODERS[record.format]
        assert isinstance(decoder, Observer)
        found = decoder.observe(record.payload, FLOW_FIELDS if record.format == "vpc_flow" else "", None)
        if found is None or (record.label is None and number % 4 and record.format != "falco"):
            continue
        found.source, found.format, found.seq = record.format, record.format, number
        owner = likely_owner(found.pod, found.node) if found.pod else None
        if owner and not found.workload:
            found.workload_kind, found.workload = owner.kind, owner.name
        found.arrival_ns = found.time_ns + rng.choice((0, 0, 0, 10**9, 9 * 10**10))
        shown = flows.take(found)
        if shown is not None:
            seen.append(shown)
    return tuple(sorted(seen, key=lambda one: (one.arrival_ns, one.seq)))


class Bench:
    """The detectors, fed observation by observation; every now and then somebody decides something."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.watch.use(definitions())

    @property
    def operators(self) -> Sequence[Operator]:
        return [found for found in self.watch.operators if found.name == "behaviour_profiles"]

    def restored(self) -> None:
        for operator in self.operators:
            operator.rebuild()
        self.watch.use(definitions())

    def feed(self, item: Observation) -> Iterable[bytes]:
        told = [*self.watch.observe(item), *self.watch.advance(item.arrival_ns)]
        yield from (repr((one.group, one.clauses(), one.last)).encode() for one in told)
        if item.seq % DECIDED == 0:
            self._decide(item)
            yield msgspec.json.encode(readings(self.watch.profiles))

    def _decide(self, item: Observation) -> None:
        profiles, turn = self.watch.profiles, item.seq // DECIDED
        rows = list(rows_of(profiles.state))
        key, _ = rows[turn % len(rows)]
        if turn % 5 < 3:
            action = (Action.LOCK, Action.FORGET, Action.UNLOCK)[turn % 5]
            decide(profiles, action, [profile_id(key)], "ann", item.arrival_ns)
        elif turn % 5 == 3:
            profiles.freezes.freeze(item.cluster, workload_name(item.namespace, item.workload), item.time_ns)
        else:
            take_in(profiles, pack(row for _, row in rows[: turn % 7]), "bob", item.arrival_ns)


def test_a_restart_anywhere_changes_nothing_nor_does_the_seed_of_hashes() -> None:
    digest = assert_law(Bench, log(), random.Random(1), rounds=3)
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    program = [sys.executable, str(Path(__file__))]
    again = subprocess.run(program, check=True, capture_output=True, text=True, env=environment)
    assert again.stdout == digest


def test_the_log_is_worth_it() -> None:
    bench = Bench()
    told = {
        found.info.title
        for item in log()
        for found in (*bench.watch.observe(item), *bench.watch.advance(item.arrival_ns))
    }
    reasons = {reason for reason, _, _ in bench.watch.take_left_out()}
    assert len(told) >= 4
    assert reasons >= {"learning", "partial", "repeated"}


if __name__ == "__main__":
    sys.stdout.write(assert_law(Bench, log(), random.Random(2), rounds=1))
