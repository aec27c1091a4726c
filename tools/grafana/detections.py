"""The dashboard of analysts and those who plan their shifts: what is found, where, and how soon it is on their list."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from tools.grafana.panels import AGENT, Query, bars, board, choice, gained, number, quantile, rows, series

CHOSEN: Final = f'{AGENT}, source=~"$source", level=~"$level"'
"""What chooses the alerts."""
TITLED: Final = "* on (job, instance, rule) group_left (title, pack) vedette_rule_info"
"""Joins the titles of rules; what Falco reports under names of its own (`other`) has none, and is left out."""


def detections() -> Dashboard:
    """Make the dashboard."""
    made = board("vedette-detections", "Vedette: detections", "What is found, by level, source and rule.")
    made.with_variable(choice("source", "Source", "label_values(vedette_records_received_total, source)"))
    made.with_variable(choice("level", "Level", "label_values(vedette_alerts_opened_total, level)"))
    opened = gained("vedette_alerts_opened_total", CHOSEN, "$__range")
    found = gained("vedette_findings_total", f'{AGENT}, source=~"$source"', "$__range")
    stored = quantile(0.99, "vedette_delivery_latency_seconds", "").replace("$__rate_interval", "$__range")
    ever = f"count(sum by (rule) (vedette_findings_total{{{AGENT}}}) > 0)"
    for title, about, unit, expression in (
        ("Alerts", "Opened in this time.", "short", f"sum({opened})"),
        ("Events that matched", "In this time.", "short", f"sum({found})"),
        ("Open alerts", "Further events can still join them.", "short", f"sum(vedette_alerts_open{{{AGENT}}})"),
        ("Rules loaded", "By the agent that has most.", "short", f"max(vedette_rules_loaded{{{AGENT}}})"),
        (
            "Rules that found something",
            "Since the journal began.",
            "short",
            ever,
        ),
        ("Time to the analyst", "99 of 100 alerts are there so soon.", "s", stored),
    ):
        made.with_panel(number(title, about, unit, Query(expression)))
    _over_time(made)
    _by_rule(made, opened)
    return made


def _over_time(made: Dashboard) -> None:
    made.with_row(Row("Over time"))
    for by in ("level", "source"):
        opened = f"sum by ({by}) ({gained('vedette_alerts_opened_total', CHOSEN, '$__rate_interval')})"
        made.with_panel(series(f"Alerts by {by}", "Opened.", "short", Query(opened, f"{{{{{by}}}}}")))
    events = f'sum by (source) (rate(vedette_findings_total{{{AGENT}, source=~"$source"}}[$__rate_interval]))'
    made.with_panel(series("Events by source", "That matched, per second.", "reqps", Query(events, "{{source}}")))


def _by_rule(made: Dashboard, opened: str) -> None:
    made.with_row(Row("By rule"))
    by_title = f"topk(15, sum by (title) ({opened} {TITLED}))"
    by_pack = f"sum by (pack) ({opened} {TITLED})"
    made.with_panel(bars("Rules that alerted most", "In this time.", "short", Query(by_title, "{{title}}"), width=16))
    made.with_panel(bars("Alerts by pack", "In this time.", "short", Query(by_pack, "{{pack}}"), width=8))
    since = {
        "alerts": f"sum by (title, pack, level) (vedette_alerts_opened_total{{{CHOSEN}}} {TITLED})",
    }
    made.with_panel(rows("All rules that alerted", "Since the journal began.", since, width=16))
    others = f'sum by (source, level) (vedette_alerts_opened_total{{{CHOSEN}, rule="other"}})'
    made.with_panel(rows("What Falco's own rules reported", "Since the journal began.", {"alerts": others}, width=8))
