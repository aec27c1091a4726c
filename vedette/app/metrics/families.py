"""The metrics made from a reading of the journal: names, meanings, labels. docs/metrics.md describes each of them.

Labels are names that operators configured, rules that are loaded, and constants; never what a record says.
"""

from __future__ import annotations

import platform
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from vedette.app.metrics.reading import NOTHING_RECEIVED
from vedette.journal.protocol import TRIMMED
from vedette.pipeline.detector import OTHER_RULE
from vedette.pipeline.stretch import LATENCY_BUCKETS_S
from vedette.schema.limits import IN_FLIGHT_BYTES_MAX, SECOND_NS
from vedette.schema.text import safe_text
from vedette.schema.verdict import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vedette.app.metrics.reading import DeliveryReading, Reading, SourceReading
    from vedette.pipeline.detector import InForce
    from vedette.schema.rule import RuleInfo

TITLE_CHARS_MAX: Final = 200
"""Characters of a label that names a rule."""

_SOURCES: Final = (
    ("received", "Records that were made durable, or recognised as repeated."),
    ("duplicate", "Records that had been received before; their repetition was dropped."),
    ("processed", "Records that detection looked at."),
    ("filtered", "Records that hold nothing to look at, such as empty lines and headers."),
    ("dead_lettered", "Records that could not be used; `vedette dead-letters list` shows why."),
    ("refused", "Records refused or lost before receipt; their sender may still have them."),
)
_DELIVERED: Final = (
    ("delivered", "Alert revisions (or events) that a sink has taken."),
    ("superseded", "Alert revisions that were not sent because a newer one of the same alert was."),
    ("expired", "Alert revisions (or events) given up because the backlog of the sink was over its limits."),
    ("suppressed", "Alert revisions (or events) that the filter of the sink held back."),
)
_PENDING: Final = (
    (
        "routed",
        "Alert revisions (or events) meant for a sink so far; falls when the filter holds back what was waiting.",
    ),
    ("dead_lettered", "Alert revisions (or events) that a sink refused for good and that were not replayed since."),
    ("waiting", "Alert revisions (or events) that a sink has not taken yet."),
)


class Live(NamedTuple):
    """What the running agent knows beside its journal."""

    version: str
    sources: Iterable[str]
    rules: Iterable[RuleInfo]
    rule_set: InForce
    open_alerts: int
    watermark_lags_ns: Mapping[str, int]
    intake_works: bool
    in_flight_bytes: int
    sinks_failing: Mapping[str, bool]


def agent_families(live: Live) -> Iterator[Metric]:
    """Yield what the running agent knows itself."""
    build = InfoMetricFamily("vedette_build", "1; the version of Vedette and of the Python that runs it.")
    build.add_metric((), {"version": live.version, "python": platform.python_version()})
    yield build
    rules = _distinct(live.rules)
    info = InfoMetricFamily("vedette_rule", "1 for each loaded rule; join it by `rule` to have titles and levels.")
    for label, rule in rules.items():
        title, pack = safe_text(rule.title, TITLE_CHARS_MAX), safe_text(rule.pack, TITLE_CHARS_MAX)
        info.add_metric((), {"rule": label, "title": title, "level": str(rule.level), "pack": pack})
    yield info
    rule_set = InfoMetricFamily(
        "vedette_rule_set",
        "1; the hashes of the rules and the detection settings in force. Agents with the same detect the same.",
    )
    rule_set.add_metric((), {"rules": live.rule_set.rules, "settings": live.rule_set.settings})
    yield rule_set
    yield GaugeMetricFamily("vedette_rules_loaded", "Rules that detection uses.", len(rules))
    yield GaugeMetricFamily("vedette_alerts_open", "Alerts that further findings can still join.", live.open_alerts)
    yield GaugeMetricFamily(
        "vedette_intake_writable", "1 while records can be made durable, 0 while they are refused.", live.intake_works
    )
    for name, meaning, size in (
        ("vedette_intake_in_flight_bytes", "Bytes taken in that are not durable yet.", live.in_flight_bytes),
        (
            "vedette_intake_in_flight_bytes_max",
            "Beyond so many of them senders are told to come back later.",
            IN_FLIGHT_BYTES_MAX,
        ),
    ):
        yield GaugeMetricFamily(name, meaning, size)
    yield _by_label(
        "vedette_watermark_lag_seconds",
        "How far a source's event time was behind when its last event came that a correlation "
        "watches. Windows that wait for the source end so much later.",
        "source",
        {source: max(0, lag_ns) / SECOND_NS for source, lag_ns in live.watermark_lags_ns.items()},
    )
    yield _by_label(
        "vedette_sink_failing", "1 while the last try with a sink failed, else 0.", "sink", live.sinks_failing
    )


def _by_label(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=(label,))
    for value, number in sorted(values.items()):
        family.add_metric((value,), number)
    return family


def journal_families(reading: Reading, live: Live) -> Iterator[Metric]:
    """Yield what the committed rows say. A source that sent nothing yet counts 0: a counter must not begin later."""
    sources = {**dict.fromkeys(live.sources, NOTHING_RECEIVED), **reading.sources}
    reading = reading._replace(sources=dict(sorted(sources.items())))
    yield from _source_families(reading)
    yield from _detection_families(reading, _distinct(live.rules))
    yield from _delivery_families(reading)
    yield GaugeMetricFamily("vedette_data_folder_bytes", "Bytes that the data folder takes.", reading.folder_bytes)
    yield GaugeMetricFamily(
        "vedette_data_folder_free_bytes", "Bytes that are free on the data folder's file system.", reading.free_bytes
    )


def _distinct(rules: Iterable[RuleInfo]) -> dict[str, RuleInfo]:
    return {_rule_label(rule.rule_id): rule for rule in rules}


def _rule_label(rule_id: str) -> str:
    return safe_text(rule_id, TITLE_CHARS_MAX)


def _age_s(since_ns: int, now_ns: int) -> float:
    return max(0, now_ns - since_ns) / SECOND_NS if since_ns else 0.0


# --- sources ----------------------------------------------------------------------------------------------------------
def _source_families(reading: Reading) -> Iterator[Metric]:
    for name, meaning in _SOURCES:
        yield _counter(f"vedette_records_{name}", meaning, reading.sources, name)
    lost = CounterMetricFamily(
        "vedette_records_lost",
        "Records that the source itself reports as lost: `falco_drops`, `hubble_lost_events`, `vpc_skipdata`.",
        labels=("source", "kind"),
    )
    for labels, count in sorted(reading.losses.items()):
        lost.add_metric(labels, count)
    yield lost
    yield _gauge("vedette_records_waiting", "Records that detection has not looked at yet.", reading.sources, "waiting")
    yield _by_label(
        "vedette_records_waiting_age_seconds",
        "How long the oldest record of a source has been waiting for detection; 0 if none waits. "
        "Beyond the first 1,000 waiting records it may say too much, never too little.",
        "source",
        {name: _age_s(source.waiting_since_ns, reading.now_ns) for name, source in reading.sources.items()},
    )
    yield _by_label(
        "vedette_ledger_missing_records",
        "Records that the ledger does not account for: 0, or Vedette has a bug. Missing while "
        "more than 1,000 records wait, or commits follow each other too fast to read between "
        "them.",
        "source",
        {name: source.missing for name, source in reading.sources.items() if source.missing is not None},
    )
    yield _latency(
        reading,
        "detection_latency",
        "From the arrival of a record to what detection made of it; the commit of that comes on top.",
        "source",
        reading.sources,
    )


def _counter(name: str, meaning: str, sources: Mapping[str, SourceReading], field: str) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=("source",))
    for source, account in sources.items():
        family.add_metric((source,), getattr(account, field))
    return family


def _gauge(name: str, meaning: str, sources: Mapping[str, SourceReading], field: str) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=("source",))
    for source, account in sources.items():
        family.add_metric((source,), getattr(account, field))
    return family


# --- detection --------------------------------------------------------------------------------------------------------
def _detection_families(reading: Reading, rules: Mapping[str, RuleInfo]) -> Iterator[Metric]:
    findings = CounterMetricFamily("vedette_findings", "Events that matched a rule.", labels=("source", "rule"))
    alerts = CounterMetricFamily("vedette_alerts_opened", "Alerts opened.", labels=("source", "level", "rule"))
    left_out = CounterMetricFamily(
        "vedette_correlation_left_out",
        "Matches that a correlation could not use: `late`, `no_group`, `no_value`, `shortened`, `evicted`.",
        labels=("reason", "rule"),
    )
    forgotten = CounterMetricFamily(
        "vedette_behaviour_left_out",
        "What detectors of behaviour could not learn or keep.",
        labels=("reason", "rule"),
    )
    shadow_findings = CounterMetricFamily(
        "vedette_shadow_findings", "Events that matched a rule in shadow.", labels=("source", "rule")
    )
    shadow_alerts = CounterMetricFamily(
        "vedette_shadow_alerts", "Alerts that rules in shadow would have opened.", labels=("source", "level", "rule")
    )
    excepted = CounterMetricFamily(
        "vedette_exception_hits", "Events that an exception kept a rule from matching.", labels=("exception", "rule")
    )
    for metric, family in (
        ("findings", findings),
        ("alerts", alerts),
        ("correlation_left_out", left_out),
        ("behaviour_left_out", forgotten),
        ("shadow_findings", shadow_findings),
        ("shadow_alerts", shadow_alerts),
        ("exception_hits", excepted),
    ):
        for labels, count in _by_rule(reading, metric, rules).items():
            family.add_metric(labels, count)
        yield family
    verdicts = CounterMetricFamily(
        "vedette_verdicts",
        "Verdicts on alerts that analysts gave: `true_positive`, `false_positive`, `benign`.",
        labels=("verdict",),
    )
    for judgement in Judgement:
        verdicts.add_metric((judgement.value,), reading.tallies.get(("verdicts", judgement.value), 0))
    yield verdicts
    trimmed = "Settled alert revisions that went early because the core log was over its bound in bytes."
    yield CounterMetricFamily("vedette_alerts_trimmed", trimmed, value=reading.tallies.get(TRIMMED, 0))
    for name, meaning, value in (
        ("vedette_intake_sequence", "Number of the last record that was made durable.", reading.last_seq),
        ("vedette_detection_sequence", "Number of the last record that detection has finished.", reading.cursor.seq),
        (
            "vedette_checkpoint_sequence",
            "Number of the record up to which detection's state is saved; a restart goes on from there.",
            reading.checkpoint_seq,
        ),
        (
            "vedette_detection_lag_seconds",
            "How long the oldest record of all has been waiting for detection; 0 if none waits.",
            _age_s(reading.waiting_since_ns, reading.now_ns),
        ),
        (
            "vedette_detection_generation",
            "Generation of alert versions; rises when a restart could not reproduce what had been committed.",
            reading.cursor.generation,
        ),
    ):
        yield GaugeMetricFamily(name, meaning, value)


def _by_rule(reading: Reading, metric: str, rules: Mapping[str, RuleInfo]) -> dict[tuple[str, ...], int]:
    """Counts by labels, the last of which is a rule. Rules that were unloaded since are left out: back, they go on."""
    counts: dict[tuple[str, ...], int] = {}
    for (name, *others, rule_id), count in sorted(reading.tallies.items()):
        rule = _rule_label(rule_id)
        if name == metric and (rule in rules or rule == OTHER_RULE):
            labels = (*(safe_text(other, TITLE_CHARS_MAX) for other in others), rule)
            counts[labels] = counts.get(labels, 0) + count
    return counts


# --- deliveries -------------------------------------------------------------------------------------------------------
def _delivery_families(reading: Reading) -> Iterator[Metric]:
    deliveries = reading.deliveries
    for name, meaning in _DELIVERED:
        counter = CounterMetricFamily(f"vedette_deliveries_{name}", meaning, labels=("sink",))
        yield _filled(counter, deliveries, name)
    for name, meaning in _PENDING:
        gauge = GaugeMetricFamily(f"vedette_deliveries_{name}", meaning, labels=("sink",))
        yield _filled(gauge, deliveries, name)
    yield _by_label(
        "vedette_deliveries_waiting_age_seconds",
        "How long the oldest of what a sink has not taken yet has been waiting; 0 if nothing waits.",
        "sink",
        {name: _age_s(delivery.waiting_since_ns, reading.now_ns) for name, delivery in deliveries.items()},
    )
    yield _by_label(
        "vedette_ledger_missing_deliveries",
        "Alert revisions (or events) that the ledger does not account for: 0, or Vedette has a bug.",
        "sink",
        {name: delivery.missing for name, delivery in deliveries.items() if delivery.missing is not None},
    )
    yield _latency(
        reading,
        "delivery_latency",
        "From the arrival of the record that made an alert revision (or of the event) to its delivery.",
        "sink",
        deliveries,
    )


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily, deliveries: Mapping[str, DeliveryReading], field: str
) -> Metric:
    for name, account in deliveries.items():
        family.add_metric((name,), getattr(account, field))
    return family


def _latency(reading: Reading, metric: str, meaning: str, label: str, names: Iterable[str]) -> Metric:
    family = HistogramMetricFamily(f"vedette_{metric}_seconds", meaning, labels=(label,))
    bounds = [*(f"{bound_s:g}" for bound_s in LATENCY_BUCKETS_S), "+Inf"]
    for name in names:
        counts = (reading.tallies.get((f"{metric}_bucket", name, bound), 0) for bound in bounds)
        sum_s = reading.tallies.get((f"{metric}_ms_sum", name), 0) / 1000
        family.add_metric((name,), list(zip(bounds, accumulate(counts), strict=True)), sum_s)
    return family
