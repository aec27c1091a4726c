"""What alerts nobody: rules in shadow and exceptions, through the detector as control records put them in force."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.decoders import DECODERS
from detectors.rule import RuleText
from vedette.journal.protocol import Chunk, DetectCommit
from vedette.pipeline.control_record import OP_RULES, ControlRecord, encode_control
from vedette.pipeline.detector import Detector, records_of
from vedette.pipeline.effects import Effects
from vedette.pipeline.rulesets import encode_rules, hash_of
from vedette.pipeline.unheard import SAMPLES_MAX, shadow_ids
from vedette.schema.level import Level
from vedette.schema.record import CONTROL_FORMAT, CONTROL_SOURCE, Run
from vedette.schema.rule import RuleInfo
from vedette.schema.settings import DetectionSettings, encode_settings

SECOND = 1_000_000_000
RULES = """
title: Exec
id: exec
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.subresource: exec}, condition: selection}
level: low
vedette: {dedup_by: [user.username]}
---
title: Two execs
id: two-execs
correlation:
  {type: event_count, rules: [exec], group-by: [user.username], timespan: 1m, generate: true, condition: {gte: 2}}
"""
TELEMETRY_RULES = """
title: One of them
id: one-of-them
logsource: {product: falco}
detection: {selection: {rule: Telemetry}, condition: selection}
level: low
---
title: Two of them
id: two-of-them
level: low
correlation: {type: event_count, rules: [one-of-them], timespan: 1m, group-by: [rule], condition: {gte: 2}}
"""
TELEMETRY_TABLE = """falco_alerts:
  Telemetry: {shadow: true}
  Other: {shadow: false}
"""
EXCEPTION = """
---
title: Backup may exec
filter: {rules: [exec], backup: {user.username: backup}, condition: not backup}
"""


class World:
    """A detector, fed with whatever happens."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.detector = Detector(DECODERS, self.blobs.get)
        self.seq = 0
        self.effects = Effects(b"", 1)

    def use(self, rules: str = RULES, *shadow: str, heard: tuple[str, ...] = (), table: str = "") -> None:
        tables = [RuleText("alerts.yml", table, "own")] if table else []
        content = encode_rules([RuleText("rules.yml", rules, "own"), *tables])
        settings = encode_settings(DetectionSettings(shadow=shadow, heard=heard))
        self.blobs |= {hash_of(content): content, hash_of(settings): settings}
        record = ControlRecord(OP_RULES, hash=hash_of(content), settings=hash_of(settings))
        self.feed(Run(CONTROL_SOURCE, CONTROL_FORMAT, 1), encode_control(record))

    def feed(self, run: Run, *items: bytes) -> DetectCommit:
        self.seq += 1
        chunk = Chunk(self.seq, self.seq * SECOND, [run], list(items), 1)
        self.detector.begin(chunk, self.effects)
        self.detector.feed(records_of(chunk), self.effects)
        return self.effects.take(chunk.last_seq, chunk.arrival_ns)

    def exec(self, user: str = "ann") -> DetectCommit:
        event = {"kind": "Event", "auditID": str(self.seq), "verb": "create", "user": {"username": user}}
        target = {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "cart-0"}
        return self.feed(Run("audit", "kube_audit", 1), orjson.dumps({**event, "objectRef": target}))

    def report(self, rule: str) -> DetectCommit:
        alert = {"rule": rule, "priority": "Informational", "output": "x", "output_fields": {}}
        return self.feed(Run("falco", "falco", 1), orjson.dumps(alert))

    def told(self) -> dict[str, Any]:
        return self.detector.unheard.as_document()


@pytest.fixture
def world() -> World:
    return World()


def rules_of(commit: DetectCommit) -> list[str]:
    return [alert.rule_id for alert in commit.alerts]


# --- shadow -----------------------------------------------------------------------------------------------------------
def test_a_rule_in_shadow_counts_and_alerts_nobody(world: World) -> None:
    world.use(RULES, "exec", "two-execs")
    commits = [world.exec() for _ in range(3)] + [world.exec("bob")]
    assert [rules_of(commit) for commit in commits] == [[], [], [], []]
    assert commits[0].tallies == {
        ("shadow_findings", "audit", "exec"): 1,
        ("shadow_alerts", "audit", "low", "exec"): 1,
    }
    told = world.told()["shadow"]
    assert (told["exec"]["findings"], told["exec"]["alerts"], told["exec"]["since_ns"]) == (4, 2, SECOND)
    assert [sample["what"][:3] for sample in told["exec"]["samples"]] == ["ann", "bob"]
    assert told["exec"]["last_ns"] == 5 * SECOND
    assert told["two-execs"]["alerts"] == 1, "a correlation still sees what is in shadow"


def test_a_correlation_alerts_on_matches_of_a_rule_in_shadow(world: World) -> None:
    world.use(RULES, "Exec")
    assert [rules_of(world.exec()) for _ in range(2)] == [[], ["two-execs"]]


def test_a_correlation_in_shadow_silences_no_rule(world: World) -> None:
    world.use(RULES, "two-execs")
    assert [rules_of(world.exec(user)) for user in ("ann", "ann", "bob")] == [["exec"], [], ["exec"]]


def test_out_of_shadow_a_rule_alerts_and_in_again_it_counts_anew(world: World) -> None:
    world.use(RULES, "own")
    world.exec()
    world.use()
    assert rules_of(world.exec("bob")) == ["exec"]
    assert rules_of(world.exec()) == ["exec", "two-execs"], "what was in shadow opened no alert that it could join"
    assert world.told()["shadow"] == {}
    world.use(RULES, "exec")
    assert rules_of(world.exec()) == []
    assert world.told()["shadow"]["exec"]["findings"] == 1


def test_another_rule_set_keeps_the_counts_of_what_stays(world: World) -> None:
    world.use(RULES, "exec")
    world.exec()
    world.use(RULES.replace("level: low", "level: high"), "exec")
    told = world.told()["shadow"]["exec"]
    assert (told["findings"], told["since_ns"]) == (1, SECOND)


def test_what_falco_reports_can_be_in_shadow(world: World) -> None:
    world.use(RULES, "falco:Terminal shell in container")
    first, other = world.report("Terminal shell in container"), world.report("Another")
    assert (rules_of(first), rules_of(other)) == ([], ["falco:Another"])
    assert first.tallies[("shadow_findings", "falco", "other")] == 1, "labels are names of loaded rules alone"


def test_a_table_keeps_what_falco_reports_in_shadow(world: World) -> None:
    world.use(TELEMETRY_RULES, table=TELEMETRY_TABLE)
    assert rules_of(world.report("Telemetry")) == []
    assert rules_of(world.report("Telemetry")) == ["two-of-them"], "rules and correlations still see it"
    told = world.told()["shadow"]
    assert list(told) == ["falco:Telemetry"]
    assert (told["falco:Telemetry"]["findings"], told["falco:Telemetry"]["alerts"]) == (2, 1)
    assert len(told["falco:Telemetry"]["samples"]) == 1
    assert rules_of(world.report("Other")) == ["falco:Other"]


def test_what_a_table_keeps_in_shadow_can_be_heard(world: World) -> None:
    world.use(RULES, table=TELEMETRY_TABLE, heard=("falco:Telemetry",))
    assert rules_of(world.report("Telemetry")) == ["falco:Telemetry"]
    assert world.told()["shadow"] == {}


def test_a_rule_of_a_pack_in_shadow_can_be_heard(world: World) -> None:
    world.use(RULES, "own", heard=("Exec",))
    assert rules_of(world.exec()) == ["exec"]
    assert list(world.told()["shadow"]) == ["two-execs"]


CROWD = """
title: A crowd
id: crowd
level: low
logsource: {product: vedette, category: call}
detection: {execs: {resource: pods/exec}, condition: execs}
behaviour: {type: distinct_count, by: [name], value: [actor], at_least: 2}
"""


@pytest.mark.parametrize("name", ["crowd", "A crowd", "own"], ids=["id", "title", "pack"])
def test_a_detector_of_behaviour_in_shadow_counts_and_alerts_nobody(world: World, name: str) -> None:
    world.use(CROWD)
    assert [rules_of(world.exec(user)) for user in ("ann", "bob")] == [[], ["crowd"]]
    world = World()
    world.use(CROWD, name)
    commits = [world.exec(user) for user in ("ann", "bob")]
    assert [rules_of(commit) for commit in commits] == [[], []]
    assert commits[1].tallies == {
        ("shadow_findings", "audit", "crowd"): 1,
        ("shadow_alerts", "audit", "low", "crowd"): 1,
    }
    told = world.told()["shadow"]["crowd"]
    assert (told["findings"], told["alerts"], told["since_ns"]) == (1, 1, SECOND)


def test_samples_are_the_latest_and_bounded(world: World) -> None:
    world.use(RULES, "exec")
    for number in range(20):
        world.exec(f"user{number}\x1b[2J")
    samples = world.told()["shadow"]["exec"]["samples"]
    assert [sample["seq"] for sample in samples] == list(range(21 - SAMPLES_MAX + 1, 22))
    assert all(sample["what"].isprintable() for sample in samples)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["one"], ["one"]),
        (["Two"], ["two"]),
        (["pack"], ["one", "two"]),
        (["pack", "one"], ["one", "two"]),
        (["nothing"], []),
        (["falco:x"], ["falco:x"]),
    ],
)
def test_names_of_shadow(names: list[str], expected: list[str]) -> None:
    rules = [RuleInfo("one", "One", Level.LOW, pack="pack"), RuleInfo("two", "Two", Level.LOW, pack="pack")]
    assert shadow_ids(names, rules) == expected


# --- exceptions -------------------------------------------------------------------------------------------------------
def test_an_exception_is_counted_where_it_was_needed(world: World) -> None:
    world.use(RULES + EXCEPTION)
    assert [rules_of(world.exec(user)) for user in ("backup", "ann", "backup")] == [[], ["exec"], []]
    (tally,) = world.told()["exceptions"].values()
    assert (tally["findings"], tally["last_seq"], tally["since_ns"]) == (2, 4, SECOND)
    assert world.exec("backup").tallies == {("exception_hits", "Backup may exec", "exec"): 1}


def test_what_is_excepted_is_nothing_to_correlations_and_to_shadow(world: World) -> None:
    world.use(RULES + EXCEPTION, "exec")
    for _ in range(3):
        assert rules_of(world.exec("backup")) == []
    assert world.told()["shadow"]["exec"]["findings"] == 0


def test_alerts_say_the_same_with_exceptions_counted(world: World) -> None:
    world.use(RULES + EXCEPTION)
    (alert,) = world.exec().alerts
    where = [clause["where"] for clause in orjson.loads(alert.document)["unmapped"]["explanation"]]
    assert where == ["selection.objectRef.subresource", "Backup may exec: backup.user.username"]


def test_an_exception_that_is_gone_is_forgotten(world: World) -> None:
    world.use(RULES + EXCEPTION)
    world.exec("backup")
    world.use()
    assert world.told()["exceptions"] == {}
    assert rules_of(world.exec("backup")) == ["exec"]
