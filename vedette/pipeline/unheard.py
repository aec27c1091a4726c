"""Matches that alert nobody, and are counted: those of rules in shadow, and those that an exception let pass.

A rule in shadow has a roll-up of its own, whose revisions nobody gets: it tells how many alerts there would have been.
What is remembered for people (since when, how many, the last ones) is state like any other, so it is the same after a
restart. Everything here costs matches something, never events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from detectors.watching import Excepting
from vedette.pipeline.document_message import sentence
from vedette.pipeline.rollup import RollUp
from vedette.schema.alert import Activity
from vedette.schema.operator import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.engine import Engine
    from vedette.pipeline.rollup import Emission, Finding
    from vedette.schema.finding import Match
    from vedette.schema.operator import Operator
    from vedette.schema.rule import RuleInfo
    from vedette.schema.settings import DetectionSettings, RollUpSettings, SourceLabels

SAMPLES_MAX: Final = 5
"""Latest alerts of a rule in shadow that are remembered, each by a sentence."""
REPORTED: Final = "falco:"
"""Begins the ids of rules that the sensor reports: they are not loaded, and known by their name alone."""


class Sample(msgspec.Struct, frozen=True):
    """An alert that a rule in shadow would have opened: the time of its event (ns) and what happened, safe to show."""

    time_ns: int
    seq: int
    what: str


class Tally(msgspec.Struct):
    """What is known of a rule in shadow, or of an exception and a rule.

    `since_ns` is arrival time, `last_ns` the event time of the latest finding (0: none yet), `last_seq` its record.
    """

    since_ns: int
    findings: int = 0
    alerts: int = 0
    last_ns: int = 0
    last_seq: int = 0
    samples: list[Sample] = []


class Tallies:
    """Tallies by key. Implements `vedette.schema.operator.Operator`."""

    version = 1

    def __init__(self, name: str) -> None:
        """Start with none."""
        self.name = name
        self.state: KeyedState[Tally] = KeyedState(Tally)

    def keep(self, keys: Iterable[str], arrival_ns: int) -> None:
        """Begin to count for keys that are new, and forget all others."""
        wanted = dict.fromkeys(keys)
        for key in [key for key in self.state if key not in wanted]:
            self.state.pop(key)
        for key in wanted:
            if self.state.get(key) is None:
                self.state.put(key, Tally(arrival_ns))

    def count(self, key: str, time_ns: int, seq: int, arrival_ns: int) -> Tally:
        """Count a finding."""
        tally = self.state.get(key)
        if tally is None:  # what was saved is of another version, and was reset
            tally = Tally(arrival_ns)
            self.state.put(key, tally)
        self.state.touch(key)
        tally.findings += 1
        if time_ns >= tally.last_ns:
            tally.last_ns, tally.last_seq = time_ns, seq
        return tally

    def as_document(self) -> dict[str, Any]:
        """Return all of them as plain objects."""
        return {key: msgspec.to_builtins(self.state.get(key)) for key in self.state}

    def rebuild(self) -> None:
        """Nothing is derived."""


class Unheard:
    """All that detection counts instead of alerting."""

    def __init__(self, settings: RollUpSettings) -> None:
        """Start without rules in shadow and without exceptions."""
        self.shadow = Tallies("shadow")
        self.exceptions = Tallies("exceptions")
        self._rollup = RollUp(settings, "shadow_rollup")
        self._shadow_ids: dict[str, None] = {}
        self._excepting = Excepting((), ())

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The stateful parts, for checkpoints."""
        return (self._rollup, self.shadow, self.exceptions)

    @property
    def any(self) -> bool:
        """Whether there is anything to count."""
        return bool(self._shadow_ids or self._excepting.pairs)

    # --- what is in force ---------------------------------------------------------------------------------------------
    def use(self, settings: DetectionSettings, engine: Engine, watching: Engine) -> None:
        """Put rules and settings in force; `watching` is what the stream is matched with."""
        self._rollup.settings = settings.rollup
        silent = [*settings.shadow, *(f"{REPORTED}{name}" for name, alert in engine.alerts.items() if alert.shadow)]
        heard = frozenset(shadow_ids(settings.heard, engine.infos))
        ids = shadow_ids(silent, engine.infos)
        self._shadow_ids = dict.fromkeys(rule_id for rule_id in ids if rule_id not in heard)
        self._excepting = Excepting(engine.rules, watching.rules)

    def keep(self, arrival_ns: int) -> None:
        """Begin to count for what is new in force, and forget what no longer is."""
        self.shadow.keep(self._shadow_ids, arrival_ns)
        self.exceptions.keep((exception_key(*pair) for pair in self._excepting.pairs), arrival_ns)

    def as_document(self) -> dict[str, Any]:
        """Return what was counted, as plain objects: `shadow` by rule, `exceptions` by exception and rule."""
        return {tallies.name: tallies.as_document() for tallies in (self.shadow, self.exceptions)}

    def is_in_shadow(self, rule: RuleInfo) -> bool:
        """Whether a rule or correlation alerts nobody."""
        return rule.rule_id in self._shadow_ids

    # --- the stream ---------------------------------------------------------------------------------------------------
    def advance(self, arrival_ns: int) -> None:
        """Let arrival time go on."""
        self._rollup.advance(arrival_ns)

    def judge(self, match: Match) -> tuple[list[str], Match]:
        """Count, and return, the exceptions that keep a rule from matching; without any, its match stands."""
        titles, judged = self._excepting.judge(match)
        for title in titles:
            key = exception_key(title, match.rule.rule_id)
            record = match.event.record
            self.exceptions.count(key, match.event.time_ns, record.seq, record.arrival_ns)
        return titles, judged

    def add(self, match: Match, labels: SourceLabels) -> bool:
        """Take a match of a rule in shadow; say whether it would have opened an alert."""
        event, record = match.event, match.event.record
        tally = self.shadow.count(match.rule.rule_id, event.time_ns, record.seq, record.arrival_ns)
        return _opened(tally, self._rollup.add(match, labels))

    def add_firing(self, firing: Finding, labels: SourceLabels) -> bool:
        """Take what a correlation or a detector of behaviour in shadow found; as `add`."""
        rule_id = firing.info.rule_id
        tally = self.shadow.count(rule_id, firing.time_ns, firing.seq, firing.arrival_ns)
        return _opened(tally, self._rollup.add_firing(firing, labels))


def _opened(tally: Tally, emissions: Iterable[Emission]) -> bool:
    """Count the alert that a finding would have opened, if it would have."""
    created = next((emission.alert for emission in emissions if emission.activity is Activity.CREATE), None)
    if created is None:
        return False
    tally.alerts += 1
    tally.samples = [*tally.samples, Sample(created.last_seen_ns, created.seq, sentence(created.facts))][-SAMPLES_MAX:]
    return True


def shadow_ids(names: Iterable[str], rules: Iterable[RuleInfo]) -> list[str]:
    """Return the ids of the rules that are named by pack, id or title, and those that only the sensor knows."""
    wanted = frozenset(names)
    loaded = [rule.rule_id for rule in rules if not wanted.isdisjoint((rule.pack, rule.rule_id, rule.title))]
    return [*loaded, *(name for name in sorted(wanted) if name.startswith(REPORTED))]


def exception_key(title: str, rule_id: str) -> str:
    """Name an exception and a rule."""
    return orjson.dumps((title, rule_id)).decode()
