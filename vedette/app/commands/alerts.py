"""`vedette alerts`."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from vedette.app.terminal import ConfigFile, DataDir, Format, put, put_json, put_table, time_text

if TYPE_CHECKING:
    from sinks.store import AlertRow

app = App(
    name="alerts",
    help="List, show and close alerts in the embedded store.",
    help_epilogue="`vedette alerts list --help` shows examples.",
)

Sink = Annotated[str | None, Parameter(help="Name of the store sink. Default: the first one of the configuration.")]
LevelName = Literal["informational", "low", "medium", "high", "critical"]
JudgementName = Literal["true_positive", "false_positive", "benign"]


@app.command(
    name="list",
    help_epilogue="""Examples:
  vedette alerts list --since 2h --min-level high
  vedette alerts list --text "exec kube-system" --status new
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
    status: Annotated[
        Literal["new", "resolved"] | None, Parameter(help="`new`: nobody has closed it; `resolved`: somebody has.")
    ] = None,
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
        status=None if status is None else status.capitalize(),
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


@app.command(
    help_epilogue="""Examples:
  vedette alerts close 534745d1 --verdict true_positive --reason "token rotated, INC-204"
  vedette alerts close 534745d1 --verdict false_positive --reason "the scanner of the platform team"

Exit status: 0 told and kept; 2 the call is wrong, or there is no such alert; 3 no agent is running, or it is behind."""
)
def close(
    alert_id: Annotated[str, Parameter(name="ID", help="Its id, or the beginning of it.")],
    /,
    *,
    verdict: Annotated[
        JudgementName,
        Parameter(
            help="`true_positive`: what the rule is there to find; `false_positive`: the rule is wrong about it;"
            " `benign`: the rule is right, and it was allowed."
        ),
    ],
    reason: Annotated[str, Parameter(help="Why, for those who look later; up to 1,024 characters.")] = "",
    analyst: Annotated[str | None, Parameter(help="Who says so. Default: the name of this user.")] = None,
    sink: Sink = None,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Close an alert with a verdict, and tell every destination that has it.

    The running agent keeps the verdict, and lets a revision of the alert go out that says so. Findings that join \
afterwards are counted, and the alert stays closed; one of a more severe rule opens it again. A later verdict takes \
the place of an earlier one. `vedette rules backtest --diff` names true positives that a change of rules would hide.
    """
    from vedette.app.agent_client import ask_in  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415
    from vedette.schema.errors import ConfigError  # noqa: PLC0415
    from vedette.schema.limits import TEXT_CHARS_MAX  # noqa: PLC0415
    from vedette.schema.text import clip_text, safe_text, whole_text  # noqa: PLC0415

    if len(reason) > TEXT_CHARS_MAX:
        raise ConfigError(f"--reason has {len(reason)} characters; say it in {TEXT_CHARS_MAX}, and name the ticket")
    who = user_name() if analyst is None else analyst
    asked = {"alert": alert_id, "judgement": verdict, "analyst": who, "reason": reason, "sink": sink or ""}
    words = {key: clip_text(whole_text(value)) for key, value in asked.items()}
    answer = ask_in(find_folder(config, data_dir), "verdict", **words)
    if format == "json":
        put_json({**answer, "verdict": verdict})
    else:
        put(safe_text(f"{answer['alert_id']} is closed as {verdict.replace('_', ' ')}: {answer['title']}"))
    return 0


def user_name() -> str:
    """Return the name of whoever runs the command; a container may have none."""
    import getpass  # noqa: PLC0415 - keeps the start fast

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _put_rows(rows: list[AlertRow]) -> None:
    put_table(
        ("ID", "OPENED", "LEVEL", "STATUS", "COUNT", "CLUSTER", "ALERT"),
        [
            (
                row.alert_id[:12],
                time_text(row.opened_ns),
                row.level.value,
                row.status,
                row.count,
                row.cluster,
                row.message,
            )
            for row in rows
        ],
    )


def _document(row: AlertRow) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    document: dict[str, Any] = msgspec.structs.asdict(row)
    for name in ("opened", "first_seen", "last_seen"):
        document[name] = time_text(document.pop(f"{name}_ns"))
    return document
