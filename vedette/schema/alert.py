"""Alerts: the state that roll-up keeps while findings join, and the revisions that leave for the sinks."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from vedette.schema.event import Facts
from vedette.schema.finding import Clause
from vedette.schema.rule import RuleInfo
from vedette.schema.verdict import Verdict

GENERATION_FACTOR: Final = 1 << 32


class Evidence(msgspec.Struct, omit_defaults=True):
    """One sample event of an alert. `raw` is the record as received, bounded; the whole stands in the intake log."""

    seq: int
    time_ns: int
    arrival_ns: int
    source: str
    format: str
    uid: str
    event_ids: tuple[str, ...] = ()
    origin: str = ""
    record: int = 0
    raw: str = ""
    cut: bool = False
    """Whether `raw` is only the beginning."""


class Contribution(msgspec.Struct):
    """What one rule adds to an alert that several share. Times are event times, ns since the epoch.

    `seq`, `source` and `clauses` are those of the rule's first finding, and `what` tells it in a sentence that is safe
    to show. `count`: its findings.
    """

    rule: RuleInfo
    seq: int
    source: str
    what: str
    clauses: tuple[Clause, ...]
    first_seen_ns: int
    last_seen_ns: int
    count: int = 1


class AlertState(msgspec.Struct):
    """An alert while findings can join it: findings with one dedup key, from its opening until `closes_ns`.

    All times are ns since the epoch. `opened_ns`, `closes_ns`, `next_ns` are arrival times; `first_seen_ns` and
    `last_seen_ns` are event times. `seq` is the opening record's. Facts and clauses are those of the first finding of
    `rule`, the first sample is its event: of a shared alert the most severe rule so far, the first one among equals.
    """

    alert_id: str
    rule: RuleInfo
    dedup_values: tuple[str, ...]
    cluster: str
    labels: dict[str, str]
    seq: int
    opened_ns: int
    closes_ns: int
    first_seen_ns: int
    last_seen_ns: int
    facts: Facts
    clauses: tuple[Clause, ...]
    count: int = 1
    revision: int = 0
    """Revisions that left so far."""
    pending: bool = False
    """Whether findings joined since the last revision."""
    next_ns: int = 0
    """The next revision leaves at this arrival time at the earliest."""
    interval_ns: int = 0
    evidence: list[Evidence] = []
    dedup_as: str = ""
    """What stands for the rule in the dedup key, so that several share the alert; "" for the rule itself."""
    contributions: list[Contribution] = []
    """Of a shared alert: the rules, in the order of their first findings. It only grows."""
    unlisted: int = 0
    """Findings of rules for which there was no room among the contributions."""
    verdict: Verdict | None = None
    """What an analyst decided; a rule that raises the level afterwards puts that aside."""


class Activity(IntEnum):
    """OCSF `activity_id` of a Detection Finding: what a revision says happened to the alert."""

    CREATE = 1
    UPDATE = 2
    CLOSE = 3


class Origin(NamedTuple):
    """What deliveries may ask of a rule that contributed to an alert."""

    rule_id: str
    source: str
    tags: tuple[str, ...]


class AlertRevision(NamedTuple):
    """One state of an alert that left detection.

    `document` is the OCSF Detection Finding as JSON bytes. `opened_ns` is the arrival of the opening record. Of two
    revisions of one alert the one with the greater `version` holds. What deliveries are routed by is frozen in revision
    1: `opened_ns`, `level`, `rule_id`, `source` (the configured name of the opening record's source), `cluster`, `tags`
    (the rule's) and `ticket_key`, which is opaque: what shares it belongs into one ticket. Of an alert that several
    rules share, `level` may rise from one revision to the next, and the set of its `origins` grow.
    """

    alert_id: str
    generation: int
    revision: int
    opened_ns: int
    level: str
    rule_id: str
    document: bytes
    source: str = ""
    cluster: str = ""
    tags: tuple[str, ...] = ()
    ticket_key: str = ""
    joined: tuple[Origin, ...] = ()
    """The other rules of a shared alert; the most severe one stands in the fields above."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All rules that contributed, the most severe one first."""
        return (Origin(self.rule_id, self.source, self.tags), *self.joined)

    @property
    def version(self) -> int:
        """External version: `generation · 2³² + revision`."""
        return self.generation * GENERATION_FACTOR + self.revision


AlertDocument = dict[str, Any]
"""An OCSF Detection Finding (class_uid 2004) as plain dicts; see docs/alerts.md."""
