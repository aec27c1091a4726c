"""Detection again, over what a sieve left of the log: the agent's own detector, with rules of the log or with others.

Control records are obeyed as they were then. Where other rules were given, no rules of the log come into force, and
those that settings keep in shadow alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vedette.pipeline.backtest.recall import Recall
from vedette.pipeline.control_record import OP_RULES, OP_SETTINGS, ControlRecord, decode_control, encode_control
from vedette.pipeline.detector import Detector
from vedette.pipeline.effects import Effects
from vedette.schema.record import CONTROL_FORMAT, CONTROL_SOURCE, Record, Run
from vedette.schema.settings import decode_settings, encode_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from detectors.engine import Engine
    from vedette.pipeline.backtest.recall import Found
    from vedette.pipeline.backtest.sieve import Sifted
    from vedette.pipeline.detector import InForce
    from vedette.schema.alert import AlertState
    from vedette.schema.event import Decoder
    from vedette.schema.level import Level
    from vedette.schema.operator import Saved

_GIVEN: Final = "given"
"""Names the rules that were given, where the detector wants a hash."""


class BacktestAlert(NamedTuple):
    """An alert as it stood when it closed, or when the log ended. Times in ns; its strings may be hostile.

    `entity` are the values of the dedup key; `event_uid` and `event_ids` name the opening event.
    """

    alert_id: str
    rule_id: str
    title: str
    level: Level
    cluster: str
    entity: tuple[str, ...]
    findings: int
    seq: int
    opened_ns: int
    closes_ns: int
    first_seen_ns: int
    last_seen_ns: int
    source: str
    event_uid: str
    event_ids: tuple[str, ...]
    shared_as: str = ""
    """What stands for the rule in the dedup key, where that is not the rule itself."""


class Begin(NamedTuple):
    """What a rerun begins with: the rules and settings in force (hashes, "" for none), and the state by operator.

    `arrival_ns` is when the first record arrived.
    """

    rules: str = ""
    settings: str = ""
    state: Mapping[str, Sequence[Saved]] = {}
    arrival_ns: int = 0


class RuleSet(NamedTuple):
    """Rules to try: those that were given, or (None) those of the log, of which `of_log` has each set by its hash."""

    given: Engine | None
    of_log: Mapping[str, Engine] = {}

    @property
    def engines(self) -> list[Engine]:
        """All sets of rules that come into it."""
        return list(self.of_log.values()) if self.given is None else [self.given]


class _Recalling(Detector):
    """A detector that does not ask rules what a sieve has found."""

    def __init__(self, decoders: Mapping[str, Decoder], blob: Callable[[str], bytes | None]) -> None:
        self.found: dict[int, Found] = {}
        super().__init__(decoders, blob)

    def _use(self, in_force: InForce) -> None:
        super()._use(in_force)
        # Detectors of behaviour look at records that rules let go, too: then there is nothing to recall.
        if not self.observing.any:
            self._examiner = Recall(self.engine, self._decoders, self.found)


class Rerun:
    """One rule set over the log. Alerts are handed to `take`, each once, as they close."""

    def __init__(
        self,
        rules: RuleSet,
        begin: Begin,
        decoders: Mapping[str, Decoder],
        blob: Callable[[str], bytes | None],
        take: Callable[[BacktestAlert], None],
    ) -> None:
        """Begin with a state; `blob` returns settings by their hash."""
        self._rules = rules
        self._take = take
        self._detector = _Recalling(decoders, blob if rules.given is None else lambda digest: _heard(blob(digest)))
        self._effects = Effects(b"", 1, rebuilding=True)
        self._begin(begin)
        self._detector.rollup.on_close = lambda alert: take(_summary(alert))
        self.unusable = 0
        """Records that could not be used."""

    def _begin(self, begin: Begin) -> None:
        """Restore the state, and put rules and settings in force as the log would."""
        detector, given = self._detector, self._rules.given
        for operator in detector.operators:
            operator.state.restore(begin.state.get(operator.name, ()))
        if given is not None:
            detector.adopt(_GIVEN, given)
        elif begin.rules:
            detector.adopt(begin.rules, self._rules.of_log[begin.rules])
        rules = begin.rules if given is None else _GIVEN
        if begin.state:
            detector.control.change(rules=rules)
            detector.restored()
        # Rules first: others than those in force are forgotten with every change.
        controls = [ControlRecord(OP_RULES, hash=rules), ControlRecord(OP_SETTINGS, hash=begin.settings)]
        run = Run(CONTROL_SOURCE, CONTROL_FORMAT, 1)
        records = [Record(0, begin.arrival_ns, encode_control(control), run, 1) for control in controls if control.hash]
        detector.feed(records, self._effects)
        assert not self._effects.dead_letters, "what was in force can be put in force"

    def feed(self, chunks: Iterable[Sifted]) -> None:
        """Detect on what is left of the next chunks of the log."""
        for chunk in chunks:
            self._detector.begin(chunk.head, self._effects)
            if chunk.records:
                self._detector.found.update(chunk.found)
                records = chunk.records if not chunk.head.runs else self._obeyed(chunk.records)
                self._detector.feed(records, self._effects)
                self._detector.found.clear()
        self.unusable += len(self._effects.take(0, 0).dead_letters)

    def finish(self) -> None:
        """Hand the alerts that are open out, as they stand."""
        state = self._detector.rollup.state
        for key in state:
            alert = state.get(key)
            assert alert is not None, "iterated keys exist"
            self._take(_summary(alert))

    def _obeyed(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            control = _control(record) if record.run.format == CONTROL_FORMAT else None
            if control is not None and control.op == OP_RULES:
                if self._rules.given is not None:
                    if control.settings:
                        held = ControlRecord(OP_SETTINGS, hash=control.settings)
                        yield record._replace(payload=encode_control(held))
                    continue
                self._detector.adopt(control.hash, self._rules.of_log[control.hash])
            yield record


def _control(record: Record) -> ControlRecord | None:
    try:
        return decode_control(record.payload)
    except msgspec.MsgspecError:  # the detector refuses it
        return None


def _heard(settings: bytes | None) -> bytes | None:
    """Let the rules of settings that are in shadow alert: what they would do is what is asked."""
    if settings is None:
        return None
    return encode_settings(msgspec.structs.replace(decode_settings(settings), shadow=()))


def _summary(alert: AlertState) -> BacktestAlert:
    rule, sample = alert.rule, alert.evidence[0]
    return BacktestAlert(
        alert.alert_id,
        rule.rule_id,
        rule.title,
        rule.level,
        alert.cluster,
        alert.dedup_values,
        alert.count,
        alert.seq,
        alert.opened_ns,
        alert.closes_ns,
        alert.first_seen_ns,
        alert.last_seen_ns,
        sample.source,
        sample.uid,
        sample.event_ids,
        rule.dedup_as,
    )
