"""`vedette alerts`."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from vedette.app.terminal import ConfigFile, DataDir, Format, put_json, put_table, time_text

if TYPE_CHECKING:
    from sinks.store import AlertRow

app = App(
    name="alerts",
    help="List and show alerts in the embedded store.",
    help_epilogue="`vedette alerts list --help` shows examples.",
)

Sink = Annotated[str | None, Parameter(help="Name of the store sink. Default: the first one of the configuration.")]
LevelName = Literal["informational", "low", "medium", "high", "critical"]


@app.command(
    name="list",
    help_epilogue="""Examples:
  vedette alerts list --since 2h --min-level high
  vedette alerts list --text "exec kube-system"
  vedette alerts list --format json | jq -r .alert_id""",
)
def list_alerts(  # noqa: PLR0913 - one parameter for each filter that people ask for
    *,
    since: Annotated[str | None, Parameter(help="Opened at or after: 30m, 2h, 7d (ago), or a date and time.")] = None,
    until: Annotated[str | None, Parameter(help="Opened before; as --since.")] = None,
    min_level: Annotated[LevelName, Parameter(help="The lowest level to list.")] = "informational",
    rule: Annotated[str | None, Parameter(help="Id or exact title of the rule.")] = None,
    cluster: Annotated[str | None, Parameter(help="Exact name of the cluster.")] = None,
    namespace: Annotated[str | None, Parameter(help="Exact name of the namespace.")] = None,
    actor: Annotated[str | None, Parameter(help="Exact name of the user or service account.")] = None,
    text: Annotated[
        str, Parameter(help="Words that all occur in the alert's own fields, in any part and any case.")
    ] = "",
    limit: Annotated[int, Parameter(help="How many to list at most.")] = 50,
    after: Annotated[str, Parameter(help="Go on after the `cursor` of the last alert (of --format json).")] = "",
    sink: Sink = None,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """List alerts, the latest opened first."""
    from sinks.store import AlertFilter  # noqa: PLC0415 - keeps the start fast
    from vedette.app.moments import parse_moment  # noqa: PLC0415
    from vedette.app.store_access import open_store  # noqa: PLC0415
    from vedette.schema.level import Level  # noqa: PLC0415

    now_ns = time.time_ns()
    wanted = AlertFilter(
        since_ns=None if since is None else parse_moment(since, now_ns=now_ns),
        until_ns=None if until is None else parse_moment(until, now_ns=now_ns),
        min_level=Level(min_level),
        rule=rule,
        cluster=cluster,
        namespace=namespace,
        actor=actor,
        text=text,
        after=after,
    )
    with contextlib.closing(open_store(config, data_dir, sink)) as store:
        rows = store.list(wanted, limit=max(0, limit))
    if format == "json":
        for row in rows:
            put_json(_document(row))
    else:
        _put_rows(rows)
    return 0


@app.command(
    help_epilogue="""Examples:
  vedette alerts show 534745d1
  vedette alerts show 534745d1 --format json | jq '.evidences[0].data.raw | fromjson'"""
)
def show(
    alert_id: Annotated[str, Parameter(name="ID", help="Its id, or the beginning of it.")],
    /,
    *,
    sink: Sink = None,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show one alert: what happened, who did it, why the rule matched, and sample events.

    As JSON it is the whole document, an OCSF Detection Finding.
    """
    from vedette.app.alert_text import put_alert_text  # noqa: PLC0415 - keeps the start fast
    from vedette.app.store_access import open_store  # noqa: PLC0415

    with contextlib.closing(open_store(config, data_dir, sink)) as store:
        document = store.get(alert_id)
    if format == "json":
        put_json(document)
    else:
        put_alert_text(document)
    return 0


def _put_rows(rows: list[AlertRow]) -> None:
    put_table(
        ("ID", "OPENED", "LEVEL", "COUNT", "CLUSTER", "ALERT"),
        [
            (row.alert_id[:12], time_text(row.opened_ns), row.level.value, row.count, row.cluster, row.message)
            for row in rows
        ],
    )


def _document(row: AlertRow) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    document: dict[str, Any] = msgspec.structs.asdict(row)
    for name in ("opened", "first_seen", "last_seen"):
        document[name] = time_text(document.pop(f"{name}_ns"))
    return document
