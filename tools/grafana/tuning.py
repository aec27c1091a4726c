"""The dashboard of those who tune rules: which are noisy, which never match, what is hidden, what rules cost."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from tools.grafana.panels import AGENT, Query, bars, board, choice, gained, number, rate, rows, series

_RULE: Final = f'{AGENT}, rule=~"$rule"'
_INFO: Final = f"max by (rule, title, level, pack) (vedette_rule_info{{{_RULE}}})"
_TITLED: Final = f"* on (rule) group_left (title) max by (rule, title) (vedette_rule_info{{{_RULE}}})"


def rule_tuning() -> Dashboard:
    """Make the dashboard."""
    made = board("vedette-tuning", "Vedette: rule tuning", "Noise, silence, shadow, exceptions and cost of rules.")
    made.with_variable(choice("rule", "Rule", "label_values(vedette_rule_info, rule)"))
    for part in (_now, _noise, _hidden, _correlations, _cost):
        part(made)
    return made


def _by_rule(metric: str) -> str:
    return f"sum by (rule) ({metric}{{{_RULE}}})"


def _now(made: Dashboard) -> None:
    silent = f"count({_never_matched()}) or vector(0)"
    left_out = f"sum(vedette_correlation_left_out_total{{{_RULE}}}) or vector(0)"
    shadow = f"sum({_by_rule('vedette_shadow_findings_total')})"
    for title, about, expression in (
        ("Rules loaded", "That this dashboard is about.", f"count({_INFO})"),
        ("Never matched", "Since the journal began: no need for them here, or blind ones.", silent),
        ("Events in shadow", "Matches of rules that alert nobody.", shadow),
        ("Events let pass", "By exceptions.", f"sum({_by_rule('vedette_exception_hits_total')})"),
        ("Left out of correlations", "Late, or without what they group by.", left_out),
        ("Reloads refused", "Since the agents started.", f"sum(vedette_rule_reload_failures_total{{{AGENT}}})"),
    ):
        made.with_panel(number(title, about, "short", Query(expression)))


def _noise(made: Dashboard) -> None:
    made.with_row(Row("Noise"))
    alerts = f"topk(20, sum by (title) ({_by_rule('vedette_alerts_opened_total')} {_TITLED}))"
    matched = f"topk(20, sum by (title) ({_by_rule('vedette_findings_total')} {_TITLED}))"
    made.with_panel(bars("Alerts", "Rules that cost people most.", "short", Query(alerts, "{{title}}")))
    made.with_panel(bars("Events that matched", "Rules that match most.", "short", Query(matched, "{{title}}")))
    opened = gained("vedette_alerts_opened_total", _RULE, "$__rate_interval")
    over_time = f"topk(10, sum by (title) (sum by (rule) ({opened}) {_TITLED}))"
    made.with_panel(
        series("Alerts over time", "The ten noisiest rules.", "short", Query(over_time, "{{title}}"), width=12)
    )
    ratio = f"({_by_rule('vedette_findings_total')} / {_by_rule('vedette_alerts_opened_total')}) {_TITLED}"
    about = "Many events an alert: it is rolled up well. One: each event is an alert; see `dedup_by`."
    made.with_panel(bars("Events an alert", about, "short", Query(f"topk(20, {ratio})", "{{title}}")))


def _hidden(made: Dashboard) -> None:
    made.with_row(Row("What alerts nobody"))
    shadow = {
        "events": f"sum by (title) ({_by_rule('vedette_shadow_findings_total')} {_TITLED})",
        "alerts it would have opened": f"sum by (title) ({_by_rule('vedette_shadow_alerts_total')} {_TITLED})",
    }
    made.with_panel(rows("Rules in shadow", "What they would have done.", shadow, width=12))
    hits = f"sum by (exception, rule) (vedette_exception_hits_total{{{_RULE}}}) {_TITLED}"
    made.with_panel(rows("Exceptions", "Events that they let pass.", {"events": hits}, width=12))
    about = "Test them, or take them out."
    made.with_panel(rows("Rules that never matched", about, {"loaded": _never_matched()}, width=24))


def _never_matched() -> str:
    metrics = ("vedette_findings_total", "vedette_shadow_findings_total", "vedette_exception_hits_total")
    return " unless on (rule) ".join((_INFO, *map(_by_rule, metrics)))


def _correlations(made: Dashboard) -> None:
    made.with_row(Row("Correlations"))
    left_out = f"sum by (reason, rule) (vedette_correlation_left_out_total{{{_RULE}}}) {_TITLED}"
    about = "Since the journal began. Late: the window was closed. No group, no value: the event lacks the field."
    shown = Query(f"topk(20, {left_out})", "{{reason}}: {{title}}")
    made.with_panel(bars("Matches left out", about, "short", shown))
    late = f"max by (source) (vedette_watermark_lag_seconds{{{AGENT}}})"
    made.with_panel(series("Event time behind", "By source.", "s", Query(late, "{{source}}"), width=12))


def _cost(made: Dashboard) -> None:
    made.with_row(Row("Cost and changes"))
    busy = rate("vedette_detection_busy_seconds_total", "instance")
    processed = f"sum by (instance) (rate(vedette_records_processed_total{{{AGENT}}}[$__rate_interval]))"
    about = "With all rules. `vedette rules stats` measures each rule alone."
    made.with_panel(series("Time a record", about, "s", Query(f"{busy} / {processed}", "{{instance}}")))
    made.with_panel(series("Busy", "Of one core.", "percentunit", Query(busy, "{{instance}}")))
    loaded = f"count by (pack, level) ({_INFO})"
    made.with_panel(rows("Rules by pack and level", "What is loaded.", {"rules": loaded}, width=8))
