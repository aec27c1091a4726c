"""`vedette exceptions`."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from vedette.app.commands.reload import say_reloaded
from vedette.app.terminal import ConfigFile, DataDir, Flag, Format, count_text, put, put_json, put_table, say, time_text
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from vedette.app.tuning.exception_trial import Trial
    from vedette.app.tuning.exceptions import Proposal, Standing
    from vedette.app.tuning.unheard import Counted

_SHOWN_MAX = 20
"""Alerts of a trial that are shown; all are counted."""

app = App(
    name="exceptions",
    help="List exceptions of rules with what they did, add them, end them.",
    help_epilogue="`vedette exceptions add --help` shows examples.",
)


@app.command(
    name="list",
    help_epilogue="""Examples:
  vedette exceptions list
  vedette exceptions list --format json | jq -r 'select(.state != "active") | .title'""",
)
def list_exceptions(*, format: Format = "table", config: ConfigFile = None, data_dir: DataDir = None) -> int:  # noqa: A002
    """List the exceptions of the configured rules: who answers for them, until when, and how often they were needed.

    A hit is an event that the rule would match, and that the exception lets pass.
    """
    from vedette.app.config_file import load_config  # noqa: PLC0415 - keeps the start fast
    from vedette.app.tuning.exceptions import standings, utc_today  # noqa: PLC0415

    found = standings(load_config(config).rules, _counted(config, data_dir), utc_today())
    if format == "json":
        for one in found:
            put_json(_document(one))
    else:
        put_table(
            ("EXCEPTION", "RULES", "OWNER", "TICKET", "REASON", "EXPIRES", "HITS", "LAST HIT", "STATE"),
            [
                (
                    one.written.title,
                    _rules(one),
                    one.written.info.owner,
                    one.written.info.ticket,
                    one.written.info.reason,
                    one.written.info.expires,
                    sum(one.hits.values()),
                    time_text(one.last_ns),
                    one.state,
                )
                for one in found
            ],
        )
    return 0


@app.command(
    name="add",
    help_epilogue="""Examples:
  vedette exceptions add "Privileged Container Requested" --field user.username=system:serviceaccount:kube-system:cni \
--owner platform --reason "the CNI needs it" --ticket SEC-123 --expires 90d
  vedette exceptions add 6bba3550-0274-46d4-a3ff-c067e80c40d3 --field 'user.username|startswith=system:node:' \
--owner sre --reason "kubelets" --expires 2027-03-31 --yes

Exit status: 0 done, or shown; 2 there is no such rule, or the rules can't be used with the exception.""",
)
def add(  # noqa: PLR0913 - all that an exception says
    rule: Annotated[str, Parameter(name="RULE", help="A rule's id or title.")],
    /,
    *,
    field: Annotated[
        list[str],
        Parameter(
            negative="",
            help="NAME=VALUE that an event must have to pass; can be given several times. NAME may end in "
            "`|startswith`, `|endswith`, `|contains`, `|cidr` or `|re`.",
        ),
    ],
    owner: Annotated[str, Parameter(help="Who answers for the exception.")],
    reason: Annotated[str, Parameter(help="Why it is harmless.")],
    expires: Annotated[
        str, Parameter(help="The last day on which it holds: 2026-12-31, or 90d for 90 days from today.")
    ],
    ticket: Annotated[str, Parameter(help="Where it was decided.")] = "",
    title: Annotated[str, Parameter(help="What it is called. Default: the rule's title and the first value.")] = "",
    file: Annotated[
        Path | None,
        Parameter(
            help="File that it goes into, behind what is there. Default: one of its own in the first folder of "
            "`rules.paths`."
        ),
    ] = None,
    since: Annotated[str, Parameter(help="How far to look back for alerts that it would have hidden.")] = "30d",
    yes: Annotated[Flag, Parameter(help="Write it, and let the running agent read its rules again.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show an exception for a rule and the alerts that it would have hidden; with --yes, write it and put it in force.

    Everything is checked before anything is written. Values mean what they say: `*` is a star.
    """
    from detectors.sigma.metadata import ExceptionInfo  # noqa: PLC0415 - keeps the start fast
    from vedette.app.config_file import load_config  # noqa: PLC0415
    from vedette.app.tuning.exception_text import parse_field  # noqa: PLC0415
    from vedette.app.tuning.exceptions import parse_expiry, propose, utc_today  # noqa: PLC0415

    info = ExceptionInfo(owner, ticket, reason, parse_expiry(expires, utc_today()))
    configured = load_config(config).rules
    fields = [parse_field(text) for text in field]
    proposal = propose(configured, rule, fields, info, title=title, file=file)
    for line in proposal.added.splitlines():
        put(safe_text(line, 4096))
    _say_trial(proposal, since, config, data_dir)
    if not yes:
        say(f"Nothing was written. With --yes this goes into {proposal.path}")
        return 0
    _put_in_force(proposal.path, proposal.content, config, data_dir)
    return 0


@app.command(
    name="expire",
    help_epilogue="""Examples:
  vedette exceptions expire "Backup may exec"
  vedette exceptions expire 0b8f6f0e-8c4a-4c58-8a08-3b0f4a4b7f55 --now""",
)
def expire(
    name: Annotated[str, Parameter(name="ID", help="The exception's id or title.")],
    /,
    *,
    now: Annotated[Flag, Parameter(help="Let yesterday be its last day, so that it ends at once.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Let today, by UTC, be the last day of an exception, and let the running agent read its rules again."""
    from vedette.app.config_file import load_config  # noqa: PLC0415 - keeps the start fast
    from vedette.app.tuning.exceptions import end, utc_today  # noqa: PLC0415

    day = utc_today() - timedelta(days=1 if now else 0)
    found, path, content = end(load_config(config).rules, name, day)
    _put_in_force(path, content, config, data_dir)
    say(f"`{found.title}` {'holds no more' if now else f'holds until the end of {day} (UTC)'}")
    return 0


# --- parts ------------------------------------------------------------------------------------------------------------
def _counted(config: Path | None, data_dir: Path | None) -> Counted | None:
    """What the agent counted; None where none ever ran."""
    from vedette.app.folder_access import find_folder  # noqa: PLC0415 - keeps the start fast
    from vedette.app.tuning.unheard import read_counted  # noqa: PLC0415
    from vedette.schema.errors import ConfigError, TransientError  # noqa: PLC0415

    try:
        return read_counted(find_folder(config, data_dir))
    except (ConfigError, TransientError) as error:
        say(f"no counts: {error}")
        return None


def _rules(one: Standing) -> str:
    titles = list(one.rules.values())
    if not titles:
        return "none that is loaded"
    return titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"


def _document(one: Standing) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    written = one.written
    return {
        "title": written.title,
        "id": written.exception_id,
        **msgspec.structs.asdict(written.info),
        "rules": [
            {"id": rule_id, "title": title, "hits": one.hits.get(rule_id, 0)} for rule_id, title in one.rules.items()
        ],
        "hits": sum(one.hits.values()),
        "last_hit": time_text(one.last_ns),
        "state": one.state,
        "place": written.document.place(),
    }


def _say_trial(proposal: Proposal, since: str, config: Path | None, data_dir: Path | None) -> None:
    from vedette.app.moments import parse_moment  # noqa: PLC0415 - keeps the start fast
    from vedette.app.store_access import open_store  # noqa: PLC0415
    from vedette.app.tuning.exception_trial import ALERTS_MAX, try_exception  # noqa: PLC0415
    from vedette.schema.errors import ConfigError, TransientError  # noqa: PLC0415

    since_ns = parse_moment(since, now_ns=time.time_ns())
    try:
        with contextlib.closing(open_store(config, data_dir, None)) as store:
            trials = try_exception(store, proposal.rules, proposal.title, since_ns=since_ns)
    except (ConfigError, TransientError) as error:
        say(f"No alerts to look into: {error}")
        return
    touched = [trial for trial in trials if trial.verdict != "stays"]
    hidden = sum(trial.verdict == "hidden" for trial in trials)
    looked = f"the latest {ALERTS_MAX} alerts" if len(trials) == ALERTS_MAX else count_text(len(trials), "alert")
    say(f"It would have hidden {hidden} of {looked} of this rule")
    _put_trials(touched[:_SHOWN_MAX])
    if len(touched) > _SHOWN_MAX:
        say(f"and {len(touched) - _SHOWN_MAX} more, not shown")


def _put_trials(trials: list[Trial]) -> None:
    if trials:
        put_table(
            ("ALERT", "OPENED", "VERDICT", "SAMPLES", "MESSAGE"),
            [
                (
                    trial.row.alert_id[:12],
                    time_text(trial.row.opened_ns),
                    trial.verdict,
                    f"{trial.excepted} of {trial.told}",
                    trial.row.message,
                )
                for trial in trials
            ],
        )


def _put_in_force(path: Path, content: str, config: Path | None, data_dir: Path | None) -> None:
    """Write a file and let the agent read it; where it refuses, the file is as it was."""
    from vedette.app.agent_client import ask_in  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415
    from vedette.app.tuning.exceptions import write_file  # noqa: PLC0415
    from vedette.schema.errors import ConfigError, PermanentError, TransientError  # noqa: PLC0415

    old = path.read_text("utf-8") if path.exists() else None
    write_file(path, content)
    say(f"Wrote {path}")
    try:
        folder = find_folder(config, data_dir)
    except ConfigError:
        say("It holds from the start of the agent on")
        return
    try:
        say_reloaded(ask_in(folder, "reload"))
    except TransientError as error:
        say(f"It holds from the next reload or start on: {error}")
    except (ConfigError, PermanentError):
        if old is None:
            path.unlink()
        else:
            write_file(path, old)
        say(f"The agent refused its rules; {path} is as it was")
        raise
