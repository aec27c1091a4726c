"""Benches for the law: every stateful operator of detection, and the detector as a whole, on seeded logs.

Run as a program (`python law_bench.py SEED`) it prints the digests of what everything emits, so that a test can compare
processes with different hash seeds.
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from collector.decoders import DECODERS
from detectors.rule import RuleText
from vedette.journal.protocol import Chunk
from vedette.pipeline.control_record import OP_RULES, OP_SETTINGS, OP_START, OP_STOP, ControlRecord, encode_control
from vedette.pipeline.detector import Detector, records_of
from vedette.pipeline.effects import Effects
from vedette.pipeline.rulesets import encode_rules, hash_of
from vedette.schema.record import CONTROL_FORMAT, CONTROL_SOURCE, Run
from vedette.schema.settings import DetectionSettings, RollUpSettings, encode_settings
from vedette.testing.law import assert_law

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vedette.schema.operator import Operator

RULES = """
title: Exec into a pod
id: 3f0a1c9e-5f0e-4f7e-9a63-0d6f2c9d1a01
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.subresource: exec}, condition: selection}
level: medium
---
title: Secrets read
id: 3f0a1c9e-5f0e-4f7e-9a63-0d6f2c9d1a02
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.resource: secrets, verb: [get, list]}, condition: selection}
level: low
vedette: {dedup_by: ['@event']}
---
title: Pod touched
id: pod-touched
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.resource: pods}, condition: selection}
level: low
vedette: {dedup_as: pod, dedup_by: [objectRef.namespace, objectRef.name]}
---
title: Exec by bob
id: bobs-exec
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.subresource: exec, user.username: bob}, condition: selection}
level: high
tags: [attack.t1609]
vedette: {dedup_as: pod, dedup_by: [objectRef.namespace, objectRef.name]}
---
title: Ann may exec
logsource: {product: kubernetes, service: audit}
filter:
  rules: [3f0a1c9e-5f0e-4f7e-9a63-0d6f2c9d1a01, pod-touched]
  ann: {user.username: ann, objectRef.namespace: a}
  condition: not ann
---
title: Many execs
id: many-execs
correlation:
  {type: event_count, rules: [3f0a1c9e-5f0e-4f7e-9a63-0d6f2c9d1a01], group-by: [user.username, objectRef.namespace],
   timespan: 1m, generate: true, condition: {gte: 2}}
---
title: Execs, then secrets
id: execs-secrets
correlation:
  {type: temporal_ordered, rules: [many-execs, 3f0a1c9e-5f0e-4f7e-9a63-0d6f2c9d1a02], group-by: [user.username],
   timespan: 2m, generate: true}
---
title: Few secrets
id: few-secrets
correlation:
  {type: value_count, rules: [3f0a1c9e-5f0e-4f7e-9a63-0d6f2c9d1a02], group-by: [user.username, objectRef.namespace],
   timespan: 30s, generate: true, condition: {field: objectRef.name, lt: 2}}
---
title: No secrets any more
id: no-secrets
correlation:
  {type: event_count, rules: [few-secrets], group-by: [user.username], timespan: 1m, condition: {eq: 0}}
"""
CORRELATIONS = ("many-execs", "execs-secrets", "no-secrets")
"""Those that alert; `few-secrets` has one over it that keeps it silent."""
OTHER_RULES = RULES.replace("level: medium", "level: high").replace("timespan: 2m", "timespan: 3m")
BLOBS = {
    hash_of(content): content
    for content in (
        encode_rules([RuleText("law.yml", RULES, "law")]),
        encode_rules([RuleText("law.yml", OTHER_RULES, "law")]),
        encode_settings(
            DetectionSettings(
                cluster="one",
                rollup=RollUpSettings(window_ns=40 * 10**9),
                shadow=("Pod touched", "execs-secrets", "falco:never"),
            )
        ),
        encode_settings(DetectionSettings(cluster="two", rollup=RollUpSettings(open_alerts_max=8))),
    )
}
RULE_HASHES = list(BLOBS)[:2]
SETTING_HASHES = list(BLOBS)[2:]


class DetectorBench:
    """A detector fed chunk by chunk."""

    def __init__(self) -> None:
        self.detector = Detector(DECODERS, BLOBS.get)
        self.detector.correlator.events_max = 60
        self.effects = Effects(b"", 1)

    @property
    def operators(self) -> Sequence[Operator]:
        return self.detector.operators

    def restored(self) -> None:
        self.detector.restored()

    def feed(self, item: Chunk) -> Iterable[bytes]:
        self.detector.begin(item, self.effects)
        self.detector.feed(records_of(item), self.effects)
        done = self.effects.take(item.last_seq, item.arrival_ns)
        pieces = [revision.document for revision in done.alerts]
        letters = (repr(letter).encode() for letter in done.dead_letters)
        counts = (repr(sorted(found.items())).encode() for found in (done.counts, done.tallies))
        unheard = self.detector.unheard
        tallies = [(key, tally.state.get(key)) for tally in (unheard.shadow, unheard.exceptions) for key in tally.state]
        return [*pieces, *letters, *counts, repr(tallies).encode()]


def audit_event(rng: random.Random, number: int, arrival_ns: int) -> bytes:
    """An audit event that often matches a rule; now and then it is broken, very late or from the future."""
    if rng.random() < 0.03:
        return rng.choice([b"{", b"[]", b"\xff", b'{"kind":"Event"', b""])
    delay_s = rng.choices([rng.uniform(0, 90), rng.uniform(0, 5), 1000, -1000], [3, 6, 1, 1])[0]
    happened = datetime.fromtimestamp(arrival_ns / 10**9 - delay_s, UTC)
    return orjson.dumps(
        {
            "kind": "Event",
            "auditID": f"{number:036d}",
            "stage": "ResponseComplete",
            "verb": rng.choice(["get", "list", "create"]),
            "user": {"username": rng.choice(["ann", "bob", "system:serviceaccount:a:b"])},
            "sourceIPs": ["10.0.0.1"],
            "objectRef": {
                "resource": rng.choice(["pods", "secrets"]),
                "subresource": rng.choice(["exec", "log"]),
                "namespace": rng.choice("abcdefgh"),
                "name": f"n{rng.randrange(5)}",
            },
            "responseStatus": {"code": 200},
            "stageTimestamp": f"{happened:%Y-%m-%dT%H:%M:%S.%fZ}",
        }
    )


def random_log(seed: int, chunks: int) -> list[Chunk]:
    """A log as intake writes it: chunks of several sources, changes of rules and settings, ticks, time going on."""
    rng = random.Random(seed)
    log: list[Chunk] = []
    seq, arrival_ns = 1, 1_763_632_800 * 10**9
    for _ in range(chunks):
        arrival_ns += rng.choice([0, 10**6, 10**9, 3 * 10**9, 30 * 10**9])
        runs, items = _random_runs(rng, seq, arrival_ns)
        if not log:
            runs.insert(0, Run(CONTROL_SOURCE, CONTROL_FORMAT, 1))
            items.insert(0, encode_control(ControlRecord(OP_RULES, hash=RULE_HASHES[0])))
        log.append(Chunk(seq, arrival_ns, runs, items, sum(map(len, items))))
        seq += len(items)
    return log


def _random_runs(rng: random.Random, seq: int, arrival_ns: int) -> tuple[list[Run], list[bytes]]:
    runs: list[Run] = []
    items: list[bytes] = []
    for _ in range(rng.randint(1, 4)):
        kind = rng.random()
        if kind < 0.1:
            op, hashes = rng.choice(
                [
                    (OP_RULES, RULE_HASHES),
                    (OP_SETTINGS, SETTING_HASHES),
                    (OP_STOP, [""]),
                    (OP_START, [""]),
                    ("tick", [""]),
                ]
            )
            runs.append(Run(CONTROL_SOURCE, CONTROL_FORMAT, 1))
            items.append(encode_control(ControlRecord(op, hash=rng.choice(hashes))))
            continue
        count = rng.randint(1, 12)
        runs.append(Run(rng.choice(["audit", "backup"]), "kube_audit", count, hashed=True))
        items += [audit_event(rng, seq + len(items) + number, arrival_ns) for number in range(count)]
    return runs, items


def main() -> None:
    """Print the digest for a seed."""
    seed = int(sys.argv[1])
    sys.stdout.write(assert_law(DetectorBench, random_log(seed, 60), random.Random(seed), rounds=1))


if __name__ == "__main__":
    main()
