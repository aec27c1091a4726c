"""Detection as a deterministic function of the intake log: chunks in, effects out.

No clock, no I/O but the lookup of blobs that control records name. What it remembers is in its operators.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, cast

import msgspec
from prometheus_client import Counter

from detectors.correlation.correlator import Correlator
from detectors.correlation.finding import EventFinding
from detectors.engine import Engine
from detectors.watching import Watcher
from vedette.journal.protocol import DetectCount
from vedette.pipeline.control_record import (
    OP_PROFILE,
    OP_RULES,
    OP_SETTINGS,
    OP_START,
    OP_STOP,
    OP_VERDICT,
    ControlRecord,
    decode_control,
)
from vedette.pipeline.document import build_document, encode_document
from vedette.pipeline.examiner import Examiner
from vedette.pipeline.observing import Observing
from vedette.pipeline.profiling import decide_on_profiles, freeze_profiles
from vedette.pipeline.rollup import RollUp, evidence_of
from vedette.pipeline.sharing import origins_of
from vedette.pipeline.unheard import Unheard
from vedette.pipeline.verdicts import revise_closed
from vedette.pipeline.watching import compile_watching
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.alert import Activity, AlertRevision
from vedette.schema.errors import DecodeError
from vedette.schema.event import Nature
from vedette.schema.limits import SECOND_NS
from vedette.schema.operator import KeyedState, Operator
from vedette.schema.record import CONTROL_FORMAT, Record
from vedette.schema.settings import DetectionSettings, SourceLabels, decode_settings
from vedette.schema.verdict import make_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from detectors.correlation.finding import Firing
    from detectors.screen import Screen
    from vedette.journal.protocol import Chunk
    from vedette.pipeline.effects import Effects
    from vedette.pipeline.rollup import Emission, Finding
    from vedette.schema.alert import Origin
    from vedette.schema.event import Decoder, Document
    from vedette.schema.finding import Match
    from vedette.schema.record import Run

OTHER_RULE: Final = "other"
"""What rules that are not loaded are called in metrics: labels must not grow with what attackers send."""


@dataclass(frozen=True, slots=True)
class DetectionBug(OperationalEvent):
    """Detection failed on a record in a way it should not; the record went to the dead letters."""

    component = "pipeline.detect"
    message = "a record broke detection; this is a bug, please report it with the dead letter"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter(
        "vedette_detection_bugs_total", "Records that broke detection: please report them."
    )
    seq: int
    source: str
    error: str


class InForce(msgspec.Struct):
    """Hashes of the rule set and the settings in force."""

    rules: str = ""
    settings: str = ""


class ControlOperator:
    """Remembers which rules and settings are in force. Implements `vedette.schema.operator.Operator`."""

    name = "control"
    version = 1
    _KEY = "in_force"

    def __init__(self) -> None:
        """Start with no rules and default settings."""
        self.state: KeyedState[InForce] = KeyedState(InForce)

    @property
    def in_force(self) -> InForce:
        """What is in force now."""
        return self.state.get(self._KEY) or InForce()

    def change(self, *, rules: str = "", settings: str = "") -> None:
        """Put other rules or settings in force."""
        current = self.state.get(self._KEY)
        if current is None:
            self.state.put(self._KEY, InForce(rules, settings))
            return
        self.state.touch(self._KEY)
        current.rules = rules or current.rules
        current.settings = settings or current.settings

    def rebuild(self) -> None:
        """Nothing is derived here; the detector looks at `in_force`."""


class Detector:
    """The composition of decoders, rules and operators. Fed with whole chunks in log order."""

    def __init__(
        self, decoders: Mapping[str, Decoder], blob: Callable[[str], bytes | None], rule_cache: Path | None = None
    ) -> None:
        """Begin with no rules. `blob` returns what a control record names by its hash; see `compile_rules`."""
        self._decoders = decoders
        self._rule_cache = rule_cache
        self._blob = blob
        self._engines: dict[str, Engine] = {"": Engine([], decoders)}
        self._watching: dict[str, Engine] = {}
        self.engine = self._engines[""]
        self._examiner = Examiner(self.engine, decoders)
        self._rule_ids = frozenset[str]()
        self._settings = DetectionSettings()
        self._labels: dict[str, SourceLabels] = {}
        self.control = ControlOperator()
        self.rollup = RollUp(self._settings.rollup)
        self.correlator = Correlator()
        self.unheard = Unheard(self._settings.rollup)
        self.observing = Observing(decoders)
        self._correlates = False
        self._plain = True

    @property
    def operators(self) -> tuple[Operator, ...]:
        """All stateful parts, for checkpoints."""
        own = (self.control, self.rollup, self.correlator.watermarks, self.correlator)
        return (*own, *self.unheard.operators, *self.observing.operators)

    def restored(self) -> None:
        """Put in force what the restored state says."""
        for operator in self.operators:
            operator.rebuild()
        self.prepare([self.control.in_force.rules])
        self._use(self.control.in_force)

    # --- rule sets ----------------------------------------------------------------------------------------------------
    def wanted(self, chunk: Chunk) -> list[str]:
        """Name the rule sets that a chunk puts in force and that are not compiled yet."""
        if not any(run.format == CONTROL_FORMAT for run in chunk.runs):
            return []
        controls = (_control(record) for record in records_of(chunk) if record.run.format == CONTROL_FORMAT)
        return [control.hash for control in controls if control.op == OP_RULES and control.hash not in self._engines]

    def prepare(self, hashes: Iterable[str]) -> None:
        """Compile rule sets ahead of their control records; costly, made for a thread of its own.

        Raises:
            RuleError: a rule that was accepted once can't be used any more.
        """
        for digest in hashes:
            if digest not in self._engines:
                content = self._blob(digest)
                assert content is not None, "a control record's blob is stored before it"
                self.adopt(digest, *compile_watching(content, self._decoders, self._rule_cache))

    def adopt(self, digest: str, engine: Engine, watching: Engine | None = None) -> None:
        """Take a rule set that was compiled elsewhere, ahead of its control record; see `compile_watching`."""
        self._engines[digest] = engine
        self._watching[digest] = watching or engine

    # --- the stream ---------------------------------------------------------------------------------------------------
    def begin(self, chunk: Chunk, effects: Effects) -> None:
        """Let arrival time go on to the chunk's; to be called once before its records are fed."""
        self._emit(self.rollup.advance(chunk.arrival_ns), effects)
        self.unheard.advance(chunk.arrival_ns)
        starts = (self._correlates or self.observing.any) and _starts(chunk)
        if self._correlates:
            if starts:
                self.correlator.resume(chunk.arrival_ns)
            self._fire(self.correlator.advance(chunk.arrival_ns), effects)
        if self.observing.any:
            if starts:
                self.observing.watch.resume(chunk.arrival_ns)
            self._deviate(self.observing.advance(chunk.arrival_ns), effects)
            self._tally_left_out(effects)

    def feed(self, records: Iterable[Record], effects: Effects) -> None:
        """Detect on some records of the chunk that was begun, in order."""
        run: Run | None = None
        screen: Screen | None = None
        count = DetectCount()
        second = 0
        for record in records:
            try:
                if record.run is not run:
                    run, second = record.run, record.arrival_ns // SECOND_NS
                    screen = self._examiner.screen(run)
                    if screen is not None:
                        count = effects.count(run.source)
                        self._hear(record, effects)
                left = None if screen is None else screen.look(record.payload, second)
                if left == 0:
                    count.processed += 1
                elif left is None or screen is None:
                    self._feed(record, None, effects, watched=self.observing.any)
                elif left == screen.watched:
                    self._watch(record, None, effects)
                    count.processed += 1
                else:
                    self._feed(record, left & screen.rules, effects, watched=bool(left & screen.watched))
            except Exception as error:  # noqa: BLE001 - one poisonous record must not stop all detection for ever
                _refuse(record, error, effects)

    def _hear(self, record: Record, effects: Effects) -> None:
        """Take note that a source speaks, since most of its records are let go unseen."""
        if self.observing.any:
            cluster = self._labels_of(record.run.source).cluster
            self._deviate(self.observing.hear(record, cluster), effects)

    def _feed(self, record: Record, possible: int | None, effects: Effects, *, watched: bool) -> None:
        source = record.run.source
        if record.run.format == CONTROL_FORMAT:
            self._obey(_control(record), record.arrival_ns, effects)
            return
        examined = self._examiner.look(record, possible)
        if watched:
            self._watch(record, None if examined.event is None else examined.event.head, effects)
        for match in examined.matches:
            if not self._plain:
                self._take(match, source, effects)
                continue
            effects.tally("findings", source, self._rule_label(match.rule.rule_id))
            self._emit(self.rollup.add(match, self._labels_of(source)), effects)
        for loss in examined.losses:
            effects.lost(source, loss)
        if examined.event is not None and examined.event.broken is not None:
            raise examined.event.broken
        if examined.nature is Nature.EMPTY:
            effects.count(source).filtered += 1
        else:
            effects.count(source).processed += 1

    def _take(self, match: Match, source: str, effects: Effects) -> None:
        """Take a match where there are correlations, exceptions or rules in shadow."""
        if isinstance(match.rule, Watcher):
            titles, match = self.unheard.judge(match)
            if titles:
                for title in titles:
                    effects.tally("exception_hits", title, match.rule.rule_id)
                return
        rule, labels = match.rule, self._labels_of(source)
        rule_id = rule.rule_id
        if self.unheard.is_in_shadow(rule):
            if rule_id not in self.correlator.silent:
                effects.tally("shadow_findings", source, self._rule_label(rule_id))
                if self.unheard.add(match, labels):
                    effects.tally("shadow_alerts", source, str(rule.level), self._rule_label(rule_id))
        elif rule_id not in self.correlator.silent:
            effects.tally("findings", source, self._rule_label(rule_id))
            self._emit(self.rollup.add(match, labels), effects)
        if self._correlates and self.correlator.refers_to(rule_id):
            finding = EventFinding(match.event, labels.cluster, evidence_of)
            self._fire(self.correlator.observe(rule_id, finding), effects)

    def _watch(self, record: Record, head: Document | None, effects: Effects) -> None:
        """Let a record be learned from, and held against what was learned."""
        cluster = self._labels_of(record.run.source).cluster
        self._deviate(self.observing.look(record, head, cluster), effects)

    def _deviate(self, deviations: Iterable[Finding], effects: Effects) -> None:
        for deviation in deviations:
            self._report(deviation, effects)

    def _tally_left_out(self, effects: Effects) -> None:
        for reason, rule_id, count in self.observing.watch.take_left_out():
            effects.tally("behaviour_left_out", reason, self._rule_label(rule_id), count=count)

    def _report(self, finding: Finding, effects: Effects) -> None:
        """Roll up what a correlation or a detector of behaviour found."""
        rule, source = finding.info, finding.source
        if self.unheard.is_in_shadow(rule):
            effects.tally("shadow_findings", source, rule.rule_id)
            if self.unheard.add_firing(finding, self._labels_of(source)):
                effects.tally("shadow_alerts", source, str(rule.level), rule.rule_id)
            return
        effects.tally("findings", source, self._rule_label(rule.rule_id))
        self._emit(self.rollup.add_firing(finding, self._labels_of(source)), effects)

    def _fire(self, firings: list[Firing], effects: Effects) -> None:
        for firing in firings:
            if firing.info.rule_id not in self.correlator.silent:
                self._report(firing, effects)
        for (reason, rule_id), count in self.correlator.left_out.items():
            effects.tally("correlation_left_out", reason, self._rule_label(rule_id), count=count)
        self.correlator.left_out.clear()

    def _obey(self, control: ControlRecord, arrival_ns: int, effects: Effects) -> None:
        if control.op == OP_RULES:
            self.prepare([control.hash])
            self.control.change(rules=control.hash, settings=control.settings)
        elif control.op == OP_SETTINGS:
            self.control.change(settings=control.hash)
        else:
            if control.op == OP_STOP:
                self._emit(self.rollup.flush(arrival_ns), effects)
            elif control.op == OP_VERDICT:
                self._judge(control, arrival_ns, effects)
            elif control.op == OP_PROFILE:
                decide_on_profiles(self.observing.watch.profiles, control, self._blob, arrival_ns)
            return
        self._use(self.control.in_force)
        self.unheard.keep(arrival_ns)

    def _judge(self, control: ControlRecord, arrival_ns: int, effects: Effects) -> None:
        """Let an alert say what was decided: one that is open, or one whose last document the record brings."""
        if control.judgement is None:
            raise DecodeError("broken control record", "a verdict without a judgement")
        verdict = make_verdict(control.judgement, control.analyst, control.detail, arrival_ns)
        emissions = self.rollup.judge(control.alert, verdict)
        if emissions is not None:
            self._emit(emissions, effects)
        elif control.final:
            effects.alert(revise_closed(control.document, verdict, effects.generation))
        else:
            return
        effects.tally("verdicts", control.judgement.value)

    def _use(self, in_force: InForce) -> None:
        self.engine = self._engines[in_force.rules]
        watching = self._watching.get(in_force.rules, self.engine)
        self._engines = {"": self._engines[""], in_force.rules: self.engine}
        self._watching = {in_force.rules: watching}
        self._examiner = Examiner(watching, self._decoders)
        self._rule_ids = frozenset(info.rule_id for info in self.engine.infos)
        self.correlator.use(self.engine.correlations)
        self._correlates = bool(self.engine.correlations)
        self.observing.use(self.engine.definitions)
        content = self._blob(in_force.settings) if in_force.settings else None
        self._settings = decode_settings(content) if content else DetectionSettings()
        self._labels = {}
        self.rollup.settings = self._settings.rollup
        self.unheard.use(self._settings, self.engine, watching)
        self._plain = not self._correlates and not self.unheard.any

    def _labels_of(self, source: str) -> SourceLabels:
        labels = self._labels.get(source)
        if labels is None:
            labels = self._labels[source] = self._settings.of(source)
        return labels

    def _rule_label(self, rule_id: str) -> str:
        """A rule as a label of metrics: Falco's rule names are input, so only loaded rules have one of their own."""
        return rule_id if rule_id in self._rule_ids else OTHER_RULE

    def _emit(self, emissions: list[Emission], effects: Effects) -> None:
        for alert, activity, arrival_ns in emissions:
            generation = effects.generation
            source = alert.evidence[0].source
            joined: tuple[Origin, ...] = ()
            if alert.dedup_as:
                origins = origins_of(alert)
                source, joined = origins[0].source, origins[1:]
            document, ticket_key = b"", ""
            if not effects.rebuilding:
                built = build_document(alert, generation=generation, activity=activity, now_ns=arrival_ns)
                document, ticket_key = encode_document(built), built["metadata"]["correlation_uid"]
            effects.alert(
                AlertRevision(
                    alert.alert_id,
                    generation,
                    alert.revision,
                    alert.opened_ns,
                    str(alert.rule.level),
                    alert.rule.rule_id,
                    document,
                    source,
                    alert.cluster,
                    alert.rule.tags,
                    ticket_key,
                    joined,
                )
            )
            if activity is Activity.CREATE:
                freeze_profiles(self.observing.watch.profiles, alert)
                effects.tally("alerts", source, str(alert.rule.level), self._rule_label(alert.rule.rule_id))


def records_of(chunk: Chunk) -> list[Record]:
    """Number the records of a chunk."""
    records: list[Record] = []
    seq, at = chunk.seq, 0
    for run in chunk.runs:
        records += _records_of_run(chunk, run, seq + at, at)
        at += run.count
    return records


def _records_of_run(chunk: Chunk, run: Run, seq: int, at: int) -> list[Record]:
    arrival_ns, first, step = chunk.arrival_ns, run.record, 1 if run.origin else 0
    # A NamedTuple's own constructor is twice as slow, and this runs for every record.
    new = cast("Callable[[type[Record], tuple[int, int, bytes, Run, int]], Record]", tuple.__new__)
    return [
        new(Record, (seq + number, arrival_ns, payload, run, first + step * number))
        for number, payload in enumerate(chunk.items[at : at + run.count])
    ]


def _refuse(record: Record, error: Exception, effects: Effects) -> None:
    effects.count(record.run.source).dead_lettered += 1
    if isinstance(error, DecodeError):
        effects.dead_letter(record, error.reason, error.detail)
    else:
        DetectionBug(record.seq, record.run.source, repr(error)).emit()
        effects.dead_letter(record, "detection failed", type(error).__name__)


def _starts(chunk: Chunk) -> bool:
    """Say whether the agent started with this chunk: nobody watched since the one before."""
    if not any(run.format == CONTROL_FORMAT for run in chunk.runs):
        return False
    controls = [record for record in records_of(chunk) if record.run.format == CONTROL_FORMAT]
    with contextlib.suppress(DecodeError):  # which is refused when it is fed
        return any(_control(record).op == OP_START for record in controls)
    return False


def _control(record: Record) -> ControlRecord:
    try:
        return decode_control(record.payload)
    except msgspec.MsgspecError as error:
        raise DecodeError("broken control record", str(error)) from error
