"""`vedette rules stats`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import ConfigFile, DataDir, Format, put_json, put_table

if TYPE_CHECKING:
    from vedette.app.workbench.stats import RuleStats

app = App(
    name="stats",
    help_epilogue="""Examples:
  vedette rules stats --since 7d
  vedette rules stats --sort cost --limit 10
  vedette rules stats --limit 0 --format json | jq -r 'select(.alerts == 0) | .title'

Exit status: 0; 2 the rules can't be used, or there is no store for --since; 3 the data folder can't be read.""",
)


@app.default
def stats(
    *,
    since: Annotated[
        str | None,
        Parameter(
            help="Alerts of the embedded store opened since: 30m, 2h, 7d (ago), or a date. Default: all since the "
            "journal began."
        ),
    ] = None,
    sort: Annotated[Literal["noise", "cost"], Parameter(help="By alerts and findings, or by cost.")] = "noise",
    limit: Annotated[int, Parameter(help="How many rules to show; 0 for all.")] = 30,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show which rules find the most, and what each costs.

    Alerts, findings and how many entities (actor, namespace and name) they were about; with --since those of alerts \
in the embedded store, without it all since the journal began, and the findings of rules in shadow. Cost is CPU \
time an event if the rule is looked at alone, measured now on up to 1,000 of the newest events of its log source, \
with the share of them that it matches. Reads the data folder, with or without a running agent, and changes nothing.
    """
    from vedette.app.moments import parse_moment  # noqa: PLC0415 - keeps the start fast
    from vedette.app.workbench.stats import read_stats  # noqa: PLC0415

    since_ns = None if since is None else parse_moment(since, now_ns=time.time_ns())
    found = read_stats(config, data_dir, since_ns)
    if sort == "cost":
        found.sort(key=lambda one: (-(one.cost.us if one.cost else -1), one.title))
    shown = found[:limit] if limit > 0 else found
    if format == "json":
        for one in shown:
            put_json(_document(one))
    else:
        put_table(
            ("ALERTS", "FINDINGS", "ENTITIES", "MATCHES %", "US/EVENT", "LEVEL", "TITLE"), [_row(one) for one in shown]
        )
    return ExitStatus.OK


def _row(one: RuleStats) -> tuple[object, ...]:
    share = f"{100 * one.cost.matches / one.cost.events:.2f}" if one.cost else ""
    cost = f"{one.cost.us:.2f}" if one.cost else ""
    return one.alerts, one.findings, one.entities, share, cost, one.level, one.title


def _document(one: RuleStats) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    document: dict[str, Any] = msgspec.structs.asdict(one)
    cost = one.cost
    return {
        **document,
        "cost": None if cost is None else {"us_per_event": cost.us, "events": cost.events, "matches": cost.matches},
    }
