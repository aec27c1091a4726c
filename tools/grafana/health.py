"""The dashboard of those who run Vedette: is all well, and if not, which stage is it."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from tools.grafana.panels import AGENT, Query, board, number, quantile, rate, rows, series

_BY_SOURCE: Final = "{{source}}"
_BY_SINK: Final = "{{sink}}"


def pipeline_health() -> Dashboard:
    """Make the dashboard."""
    made = board("vedette-health", "Vedette: pipeline health", "Rates, errors, durations and saturation of each stage.")
    for part in (_now, _intake, _detection, _delivery, _ledger, _process):
        part(made)
    return made


def _now(made: Dashboard) -> None:
    missing = " + ".join(
        f"(sum(abs(vedette_ledger_missing_{what}{{{AGENT}}})) or vector(0))" for what in ("records", "deliveries")
    )
    for title, about, unit, expression, bad_from, bad_below in (
        ("Intake", "1 while every agent can store records.", "short", "min(vedette_intake_writable{%s})", None, 1),
        ("Journal", "1 while every agent can be counted.", "short", "min(vedette_journal_readable{%s})", None, 1),
        ("Oldest record waiting", "Detection's lag.", "s", "max(vedette_detection_lag_seconds{%s})", 60, None),
        (
            "Oldest delivery waiting",
            "Of the slowest sink.",
            "s",
            "max(vedette_deliveries_waiting_age_seconds{%s})",
            300,
            None,
        ),
        ("Sinks failing", "Their deliveries wait.", "short", "sum(vedette_sink_failing{%s})", 1, None),
    ):
        made.with_panel(number(title, about, unit, Query(expression % AGENT), bad_from=bad_from, bad_below=bad_below))
    made.with_panel(number("Not accounted for", "The ledger's gap: 0, or a bug.", "short", Query(missing), bad_from=1))


def _intake(made: Dashboard) -> None:
    made.with_row(Row("Intake"))
    received, repeated = (rate(f"vedette_records_{name}_total", "source") for name in ("received", "duplicate"))
    refused = rate("vedette_records_refused_total", "source")
    lost = f"sum(rate(vedette_records_lost_total{{{AGENT}}}[$__rate_interval])) or vector(0)"
    answers = rate("vedette_http_requests_total", "source, outcome")
    made.with_panel(series("Records received", "And made durable.", "reqps", Query(received, _BY_SOURCE)))
    made.with_panel(
        series(
            "Refused, repeated, lost",
            "Refused: the sender may still have them. Lost: the source itself says so.",
            "reqps",
            Query(refused, "refused {{source}}"),
            Query(repeated, "repeated {{source}}"),
            Query(lost, "lost"),
        )
    )
    made.with_panel(series("HTTP answers", "By outcome.", "reqps", Query(answers, "{{source}} {{outcome}}")))
    made.with_panel(
        series("Group commits", "How long the disk takes.", "s", *_quantiles("vedette_intake_commit_seconds", ""))
    )
    full = f"vedette_intake_in_flight_bytes{{{AGENT}}} / vedette_intake_in_flight_bytes_max{{{AGENT}}}"
    made.with_panel(
        series("Intake in use", "At 100 % senders are sent away.", "percentunit", Query(full, "{{instance}}"))
    )
    failures = rate("vedette_intake_write_failures_total", "instance")
    made.with_panel(series("Failed commits", "The disk refuses.", "reqps", Query(failures, "{{instance}}")))


def _detection(made: Dashboard) -> None:
    made.with_row(Row("Detection"))
    processed, dead = (rate(f"vedette_records_{name}_total", "source") for name in ("processed", "dead_lettered"))
    made.with_panel(series("Records looked at", "Per second.", "reqps", Query(processed, _BY_SOURCE)))
    made.with_panel(series("Dead letters", "Records that can't be used.", "reqps", Query(dead, _BY_SOURCE)))
    made.with_panel(
        series("Latency", "From arrival to detection.", "s", *_quantiles("vedette_detection_latency_seconds", "source"))
    )
    busy = rate("vedette_detection_busy_seconds_total", "instance")
    made.with_panel(series("Busy", "Near 100 % it begins to lag.", "percentunit", Query(busy, "{{instance}}")))
    for title, about, unit, metric in (
        ("Records waiting", "For detection.", "short", "vedette_records_waiting"),
        ("Oldest waiting", "By source.", "s", "vedette_records_waiting_age_seconds"),
        ("Event time behind", "Windows close so much later.", "s", "vedette_watermark_lag_seconds"),
    ):
        by_source = Query(f"max by (source) ({metric}{{{AGENT}}})", _BY_SOURCE)
        made.with_panel(series(title, about, unit, by_source))
    made.with_panel(series("Commits", "Of detection.", "s", *_quantiles("vedette_detection_commit_seconds", "")))
    behind = f"vedette_detection_sequence{{{AGENT}}} - vedette_checkpoint_sequence{{{AGENT}}}"
    made.with_panel(
        series("Behind the checkpoint", "Records that a restart replays.", "short", Query(behind, "{{instance}}"))
    )


def _delivery(made: Dashboard) -> None:
    made.with_row(Row("Delivery"))
    delivered = rate("vedette_deliveries_delivered_total", "sink")
    made.with_panel(series("Delivered", "Alerts (or events) per second.", "reqps", Query(delivered, _BY_SINK)))
    made.with_panel(
        series(
            "End to end",
            "From the arrival of a record to the delivery of what it made.",
            "s",
            *_quantiles("vedette_delivery_latency_seconds", "sink"),
        )
    )
    made.with_panel(
        series("Answers of sinks", "How long a send takes.", "s", *_quantiles("vedette_delivery_send_seconds", "sink"))
    )
    for title, about, unit, metric in (
        ("Deliveries waiting", "By sink.", "short", "vedette_deliveries_waiting"),
        ("Oldest waiting delivery", "By sink.", "s", "vedette_deliveries_waiting_age_seconds"),
    ):
        made.with_panel(series(title, about, unit, Query(f"max by (sink) ({metric}{{{AGENT}}})", _BY_SINK)))
    dead = f"sum by (sink) (vedette_deliveries_dead_lettered{{{AGENT}}})"
    expired = f"sum by (sink) (vedette_deliveries_expired_total{{{AGENT}}})"
    made.with_panel(
        series(
            "Refused for good, given up",
            "Since the journal began, but for what was replayed.",
            "short",
            Query(dead, "refused {{sink}}"),
            Query(expired, "given up {{sink}}"),
        )
    )


def _ledger(made: Dashboard) -> None:
    made.with_row(Row("Ledger"))
    of_sources = ("received", "duplicate", "processed", "filtered", "dead_lettered", "refused")
    columns = {
        name.replace("_", " "): f"sum by (source) (vedette_records_{name}_total{{{AGENT}}})" for name in of_sources
    }
    columns["waiting"] = f"sum by (source) (vedette_records_waiting{{{AGENT}}})"
    about = "Received = duplicate + processed + filtered + dead lettered + waiting; refused stands beside."
    made.with_panel(rows("Records", about, columns, width=12))
    of_sinks = {"routed": "", "delivered": "_total", "superseded": "_total", "dead_lettered": "", "expired": "_total"}
    columns = {
        name.replace("_", " "): f"sum by (sink) (vedette_deliveries_{name}{suffix}{{{AGENT}}})"
        for name, suffix in {**of_sinks, "waiting": ""}.items()
    }
    about = "Routed = delivered + superseded + dead lettered + expired + waiting."
    made.with_panel(rows("Deliveries", about, columns, width=12))


def _process(made: Dashboard) -> None:
    made.with_row(Row("Process"))
    cpu = f"rate(process_cpu_seconds_total{{{AGENT}}}[$__rate_interval])"
    memory = f"process_resident_memory_bytes{{{AGENT}}}"
    made.with_panel(series("CPU", "Cores.", "short", Query(cpu, "{{instance}}"), width=6))
    made.with_panel(series("Memory", "Resident.", "bytes", Query(memory, "{{instance}}"), width=6))
    disk = (Query(f"vedette_data_folder_{part}{{{AGENT}}}", f"{name} {{{{instance}}}}") for part, name in _DISK)
    made.with_panel(series("Disk", "Of the data folder.", "bytes", *disk, width=6))
    started = f"time() - process_start_time_seconds{{{AGENT}}}"
    made.with_panel(series("Running for", "It drops with a restart.", "s", Query(started, "{{instance}}"), width=6))
    versions = f"count by (instance, version, python) (vedette_build_info{{{AGENT}}})"
    in_force = f"count by (instance, rules, settings) (vedette_rule_set_info{{{AGENT}}})"
    made.with_panel(rows("Versions", "What runs where.", {"agents": versions}, width=12))
    made.with_panel(rows("Rule sets", "Equal hashes detect the same.", {"agents": in_force}, width=12))


_DISK: Final = (("bytes", "taken"), ("free_bytes", "free"))


def _quantiles(metric: str, by: str) -> tuple[Query, Query]:
    legend = f" {{{{{by}}}}}" if by else ""
    return Query(quantile(0.5, metric, by), f"p50{legend}"), Query(quantile(0.99, metric, by), f"p99{legend}")
