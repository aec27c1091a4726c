"""The page: a golden file, what Prometheus reads from it, hostile rules, and the docs that describe it."""

from __future__ import annotations

import importlib
import itertools
import os
import pkgutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain
from prometheus_client.samples import Sample

import collector
import sinks
import vedette
from vedette.app.metrics import scraper
from vedette.app.metrics.families import Live
from vedette.app.metrics.reading import Reading
from vedette.app.metrics.scraper import OPENMETRICS, PLAIN, Page
from vedette.journal.protocol import Tallies
from vedette.schema.level import Level
from vedette.schema.text import safe_text

from .budget import Described, counted, described, series_max
from .conftest import EXEC, HOSTILE_TITLE, LIVE, READING, TALLIES, rule

GOLDEN = Path(__file__).parent / "golden"
PARSERS: dict[str, Callable[[str], Iterable[Metric]]] = {PLAIN: parse_plain, OPENMETRICS: parse_openmetrics}


@pytest.fixture
def without_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the process counts: it differs from run to run."""
    monkeypatch.setattr(scraper, "REGISTRY", CollectorRegistry())
    monkeypatch.setattr("platform.python_version", lambda: "3.11.0")


def samples(reading: Reading | None = READING, live: Live = LIVE, content_type: str = PLAIN) -> list[Sample]:
    page = Page(reading, live).render(content_type).decode()
    return [sample for family in PARSERS[content_type](page) for sample in family.samples]


def values(name: str, reading: Reading | None = READING, live: Live = LIVE) -> dict[tuple[str, ...], float]:
    """Values by label values, in the order of the labels' names."""
    found = [sample for sample in samples(reading, live) if sample.name == name]
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in found}


# --- the whole page ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content_type", "name"),
    [pytest.param(PLAIN, "plain.txt", id="plain"), pytest.param(OPENMETRICS, "openmetrics.txt", id="openmetrics")],
)
@pytest.mark.usefixtures("without_process")
def test_the_page_is_the_golden_one(content_type: str, name: str) -> None:
    """Rewrite with VEDETTE_GOLDEN=update and review the difference."""
    page = Page(READING, LIVE).render(content_type).decode()
    file = GOLDEN / name
    if os.environ.get("VEDETTE_GOLDEN") == "update":
        file.write_text(page, "utf-8")
    assert page == file.read_text("utf-8")


@pytest.mark.parametrize("content_type", PARSERS)
def test_both_formats_say_the_same_with_the_metrics_of_the_process(content_type: str) -> None:
    found = samples(content_type=content_type)
    assert any(sample.name == "process_cpu_seconds_total" for sample in found)
    assert len({(sample.name, *sorted(sample.labels.items())) for sample in found}) == len(found), "no series twice"
    assert not [sample for sample in found if sample.name.endswith("_created")]


# --- single values ----------------------------------------------------------------------------------------------------
def test_the_sums_of_the_ledger_hold_on_the_page() -> None:
    def sources(name: str) -> float:
        return sum(values(f"vedette_records_{name}").values())

    parts = ["duplicate_total", "processed_total", "filtered_total", "dead_lettered_total", "waiting"]
    assert sources("received_total") == sum(map(sources, parts)) == 120

    def sinks(name: str) -> float:
        return sum(values(f"vedette_deliveries_{name}").values())

    parts = ["delivered_total", "superseded_total", "dead_lettered", "expired_total", "waiting"]
    assert sinks("routed") == sum(map(sinks, parts)) == 17


def test_a_source_that_sent_nothing_yet_begins_at_zero() -> None:
    assert values("vedette_records_received_total")[("silent",)] == 0


def test_ages_count_from_now_and_are_zero_where_nothing_waits() -> None:
    assert values("vedette_records_waiting_age_seconds") == {("audit",): 90, ("falco",): 0, ("silent",): 0}
    assert values("vedette_deliveries_waiting_age_seconds") == {("search",): 30, ("store",): 0}


def test_what_works_and_what_lags_is_told_by_name() -> None:
    assert values("vedette_sink_failing") == {("search",): 1, ("store",): 0}
    assert values("vedette_watermark_lag_seconds") == {("audit",): 4, ("falco",): 0}
    assert values("vedette_rule_set_info") == {("4f1c", "9a02"): 1}
    assert values("vedette_intake_in_flight_bytes") == {(): 1_024}


def test_what_a_reading_cannot_tell_is_left_out() -> None:
    sources = {**READING.sources, "falco": READING.sources["falco"]._replace(missing=None)}
    found = values("vedette_ledger_missing_records", READING._replace(sources=sources))
    assert found == {("audit",): 0, ("silent",): 0}
    assert values("vedette_ledger_missing_deliveries") == {("search",): 0}


def test_latencies_are_a_cumulative_histogram() -> None:
    assert values("vedette_detection_latency_seconds_bucket")["0.01", "audit"] == 0
    assert values("vedette_detection_latency_seconds_bucket")["0.025", "audit"] == 80
    assert values("vedette_detection_latency_seconds_sum")[("audit",)] == 1.6
    assert values("vedette_delivery_latency_seconds_bucket")["0.05", "store"] == 5
    assert values("vedette_delivery_latency_seconds_bucket")["1", "store"] == 7
    assert values("vedette_delivery_latency_seconds_bucket")["+Inf", "store"] == 8
    assert values("vedette_delivery_latency_seconds_bucket")["+Inf", "search"] == 0
    assert values("vedette_delivery_latency_seconds_count")[("store",)] == 8
    assert values("vedette_delivery_latency_seconds_sum")[("store",)] == 7.25


def test_a_journal_that_cannot_be_read_leaves_the_process_and_says_so() -> None:
    assert values("vedette_journal_readable", None) == {(): 0}
    assert values("vedette_intake_writable", None, LIVE._replace(intake_works=False)) == {(): 0}
    assert not values("vedette_records_received_total", None)
    assert values("process_cpu_seconds_total", None)


# --- rules ------------------------------------------------------------------------------------------------------------
def test_rules_that_are_not_loaded_have_no_series() -> None:
    assert values("vedette_findings_total") == {(EXEC, "audit"): 40, ("other", "falco"): 7}
    assert values("vedette_alerts_opened_total") == {("high", EXEC, "audit"): 4, ("critical", "other", "falco"): 2}


def test_what_alerts_nobody_is_counted_apart() -> None:
    assert values("vedette_shadow_findings_total") == {(EXEC, "audit"): 6}
    assert values("vedette_shadow_alerts_total") == {("high", EXEC, "audit"): 2}
    assert values("vedette_exception_hits_total") == {(r"a\x1b\x0a", EXEC): 5}


def test_verdicts_begin_at_zero_and_only_known_ones_are_told() -> None:
    found = values("vedette_verdicts_total")
    assert found == {("benign",): 3, ("false_positive",): 0, ("true_positive",): 0}


def test_what_the_core_log_let_go_early_is_counted() -> None:
    assert values("vedette_alerts_trimmed_total") == {(): 250}


@pytest.mark.parametrize("content_type", PARSERS)
def test_a_hostile_rule_stays_inside_its_label(content_type: str) -> None:
    hostile = 'x"} 1\nvedette_up 1\\'
    live = LIVE._replace(rules=[rule(hostile, HOSTILE_TITLE, Level.LOW)])
    (info,) = [sample for sample in samples(live=live, content_type=content_type) if sample.name == "vedette_rule_info"]
    assert info.labels["rule"] == safe_text(hostile)
    assert info.labels["title"] == safe_text(HOSTILE_TITLE)
    assert "\n" not in info.labels["rule"] + info.labels["title"]


def test_a_rule_that_is_there_twice_is_one_series() -> None:
    assert values("vedette_rules_loaded", live=LIVE._replace(rules=[rule("a", "A"), rule("a", "B")])) == {(): 1}


# --- the docs ---------------------------------------------------------------------------------------------------------
def served() -> dict[str, Described]:
    for package in (collector, sinks, vedette):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: dict[str, Described] = {}
    for family in Page(READING, LIVE).collect():
        if family.name.startswith("vedette_"):
            labels = {label for sample in family.samples for label in sample.labels if label != "le"}
            found[shown(family)] = Described(family.type, frozenset(labels or declared(family.name)))
    return found


def shown(family: Metric) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    return f"{family.name}{suffix}"


def declared(name: str) -> set[str]:
    """Labels of a counter of the process that did not move yet."""
    counter = REGISTRY._names_to_collectors.get(name)
    return set(getattr(counter, "_labelnames", ()))


def test_the_docs_describe_each_metric_and_no_other() -> None:
    assert described() == served()


# --- the budget -------------------------------------------------------------------------------------------------------
def test_the_docs_say_how_many_series_there_are_at_most() -> None:
    assert sum(series_max(s=2, d=1, r=100, e=0).values()) <= 3_900


def test_a_journal_full_of_hostile_names_stays_within_the_budget_of_each_metric() -> None:
    names = [f'{number}"}} \n{{x="' for number in range(2_000)]
    hostile: Tallies = {}
    for name, level in zip(names, itertools.cycle(Level)):
        hostile |= {
            ("findings", "falco", name): 1,
            ("shadow_findings", "falco", name): 1,
            ("alerts", "falco", str(level), name): 1,
            ("alerts", "falco", str(level), "other"): 1,
            ("shadow_alerts", "falco", str(level), name): 1,
            ("correlation_left_out", "late", name): 1,
            ("behaviour_left_out", "evicted", name): 1,
            ("exception_hits", "an exception", name): 1,
            ("detection_latency_bucket", name, "1"): 1,
            ("delivery_latency_bucket", name, "1"): 1,
        }
    other_tests = counted(samples(READING))  # what this process counts itself has their sinks and sources in it
    found = counted(samples(READING._replace(tallies={**TALLIES, **hostile})))
    budget = {name: max(count, other_tests[name]) for name, count in series_max(s=3, d=2, r=2, e=1).items()}
    ours = {name: count for name, count in found.items() if name.startswith("vedette_")}
    assert {name: count for name, count in ours.items() if count > budget[name]} == {}
    assert ours["vedette_alerts_opened_total"] == 1 + len(Level), "what a rule that is loaded found, and the others'"
