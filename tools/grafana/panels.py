"""Panels as these dashboards have them: a query or two, a unit, and a sentence that says what to look for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, VizOrientation
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
AGENT: Final = 'job=~"$job", instance=~"$instance"'
"""What chooses the agents; every query has it."""
WIDTH: Final = 24
"""Columns of a dashboard."""
_TAG: Final = "vedette"


class Query(NamedTuple):
    """A query, and the name of what it draws."""

    expression: str
    legend: str = ""


def series(title: str, about: str, unit: str, *queries: Query, width: int = 8) -> timeseries.Panel:
    """Draw queries over time."""
    panel = timeseries.Panel().title(title).description(about).unit(unit).datasource(SOURCE).min(0)
    panel.height(8).span(width).line_width(1).fill_opacity(8).span_nulls(span_nulls=True)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    panel.legend(legend.show_legend(show_legend=True))
    for number, query in enumerate(queries):
        panel.with_target(_target(query, number))
    return panel


def number(
    title: str, about: str, unit: str, query: Query, *, bad_from: float | None = None, bad_below: float | None = None
) -> stat.Panel:
    """Show one number of now; red from `bad_from` on, or below `bad_below`."""
    panel = stat.Panel().title(title).description(about).unit(unit).datasource(SOURCE).height(4).span(4)
    steps = [Threshold(None, "green")]
    if bad_from is not None:
        steps = [Threshold(None, "green"), Threshold(bad_from, "red")]
    elif bad_below is not None:
        steps = [Threshold(None, "red"), Threshold(bad_below, "green")]
    panel.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
    return panel.with_target(_target(query, 0).instant())


def bars(title: str, about: str, unit: str, query: Query, width: int = 12) -> bargauge.Panel:
    """Compare the values of now."""
    panel = bargauge.Panel().title(title).description(about).unit(unit).datasource(SOURCE).height(9).span(width)
    panel.orientation(VizOrientation.HORIZONTAL).min(0)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
    return panel.with_target(_target(query, 0).instant())


def rows(title: str, about: str, queries: Mapping[str, str], width: int = 24) -> table.Panel:
    """List the values of now, one column for each query; the rows are joined by their labels."""
    panel = table.Panel().title(title).description(about).datasource(SOURCE).height(9).span(width)
    for place, expression in enumerate(queries.values()):
        target = _target(Query(expression), place).instant()
        panel.with_target(target.format(PromQueryFormat.TABLE))
    names = {f"Value #{_letter(place)}": name for place, name in enumerate(queries)}
    if len(names) == 1:
        names = dict(zip(["Value"], names.values(), strict=True))
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    organize = {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": {}}
    return panel.with_transformation(DataTransformerConfig(id_val="organize", options=organize))


def board(uid: str, title: str, about: str) -> dashboard.Dashboard:
    """Begin a dashboard: data source, agents, links to the others."""
    made = dashboard.Dashboard(title).uid(uid).description(about).tags([_TAG]).time("now-6h", "now").refresh("30s")
    made.editable().tooltip(DashboardCursorSync.CROSSHAIR).timezone("browser")
    link = dashboard.DashboardLink("Vedette").type(DashboardLinkType.DASHBOARDS).tags([_TAG])
    made.link(link.as_dropdown(as_dropdown=True).keep_time(keep_time=True).include_vars(include_vars=True))
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    made.with_variable(choice("job", "Job", "label_values(vedette_build_info, job)"))
    return made.with_variable(choice("instance", "Agent", 'label_values(vedette_build_info{job=~"$job"}, instance)'))


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Let people choose some of a label's values, or all."""
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    variable.current(VariableOption(selected=True, text="All", value="$__all"))
    return variable.multi(multi=True).include_all(include_all=True).all_value(".*")


def rate(metric: str, by: str, others: str = "") -> str:
    """Return what a counter gains in a second, by some labels."""
    return f"sum by ({by}) (rate({metric}{{{AGENT}{others}}}[$__rate_interval]))"


def gained(metric: str, chosen: str, window: str) -> str:
    """Return what counters gained in a window, all of it where a series began within.

    Series of a rule begin with its first match, at that value; `increase` alone leaves out each rule's first alert.
    """
    counter = f"{metric}{{{chosen}}}"
    return f"((({counter} unless last_over_time({counter}[1d] offset {window})) + 0) or increase({counter}[{window}]))"


def quantile(share: float, metric: str, by: str) -> str:
    """Return a quantile of a histogram, by a label; by nothing with an empty one."""
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{AGENT}}}[$__rate_interval])))"


def _target(query: Query, place: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend or "__auto")
    return target.ref_id(_letter(place)).datasource(SOURCE)


def _letter(place: int) -> str:
    return chr(ord("A") + place)
