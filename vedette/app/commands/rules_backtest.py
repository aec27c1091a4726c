"""`vedette rules backtest`."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import ConfigFile, DataDir, Format, count_text, say, time_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from detectors.engine import Engine
    from vedette.app.backtest.run import Backtest
    from vedette.app.config import Config
    from vedette.journal.sqlite import DataFolder

app = App(
    name="backtest",
    usage="Usage: vedette rules backtest [OPTIONS] [RULE|PACK|PATH...]",
    help_epilogue="""Examples:
  vedette rules backtest my-rule.yml --since 7d
  vedette rules backtest "Exec Into A Pod" --since 2026-03-01 --until 2026-03-02 --source audit
  vedette rules backtest --diff running rules/ --since 7d
  vedette rules backtest --diff configured starter,edited/ --format json | jq 'select(.status == "lost")'

Exit status: 0 done; 1 the change would have hidden an alert that an analyst confirmed as a true positive, or not all \
records could be looked at, and it says so; 2 the call or a rule is wrong, or there are no records of that time; 3 the \
data folder can't be read; 130 interrupted.""",
)


@app.default
def backtest(
    *rules: Annotated[
        str,
        Parameter(
            name="RULE",
            help="A rule's id or title, the name of a pack, a file or folder of rules, `configured`, or `running`: the"
            " rules that the agent had at each time. All of them together are tried. Default: configured.",
        ),
    ],
    diff: Annotated[
        tuple[str, str] | None,
        Parameter(negative="", help="Compare two rule sets, OLD and NEW; each is as above, several joined by commas."),
    ] = None,
    since: Annotated[str | None, Parameter(help="Arrived at or after: 30m, 2h, 7d (ago), or a date and time.")] = None,
    until: Annotated[str | None, Parameter(help="Arrived before; as --since.")] = None,
    source: Annotated[str | None, Parameter(help="Records of this configured source alone.")] = None,
    processes: Annotated[int, Parameter(help="How many processes look. Default: one for each core.")] = 0,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Try rules on what was received: which alerts there would have been, or what a change of rules changes.

    Reads the intake log, which is the archive of all records as received, as far back as it is kept \
(`journal.keep_days`), with or without a running agent, and writes nothing. Detection is the agent's own: settings are \
obeyed as they were at each time, and every start and stop. Ctrl-C ends it at any time.
    """
    from vedette.app.backtest.archive import make_plan  # noqa: PLC0415 - keeps the start fast
    from vedette.app.backtest.run import Backtest  # noqa: PLC0415
    from vedette.app.config_file import load_config  # noqa: PLC0415
    from vedette.app.folder_access import find_folder  # noqa: PLC0415
    from vedette.app.moments import parse_moment  # noqa: PLC0415

    now_ns = time.time_ns()
    since_ns, until_ns = (None if text is None else parse_moment(text, now_ns=now_ns) for text in (since, until))
    rule_sets = _rule_sets(rules, diff, load_config(config))
    folder = find_folder(config, data_dir)
    test = Backtest(make_plan(folder, since_ns, until_ns), rule_sets, source, max(0, processes))
    try:
        with _progress(test.plan.records) as test.advance:
            test.run(folder)
    except KeyboardInterrupt:
        of = f"{test.records} of {count_text(test.plan.records, 'record')}"
        say(f"interrupted when {of} were looked at, up to {time_text(test.reached_ns) or 'none'}; nothing was written")
        return ExitStatus.INTERRUPTED
    return _report(test, folder, as_json=format == "json")


def _rule_sets(rules: Sequence[str], diff: tuple[str, str] | None, config: Config) -> list[Engine | None]:
    from vedette.app.backtest.rule_sets import CONFIGURED, find_rules  # noqa: PLC0415 - keeps the start fast
    from vedette.schema.errors import ConfigError  # noqa: PLC0415

    if diff is None:
        return [find_rules(rules or [CONFIGURED], config.rules)]
    if rules:
        raise ConfigError("name rules either alone or as OLD and NEW of --diff; several are joined by commas there")
    return [find_rules(side.split(","), config.rules) for side in diff]


def _report(test: Backtest, folder: DataFolder, *, as_json: bool) -> ExitStatus:
    from vedette.app.backtest.output import (  # noqa: PLC0415 - keeps the start fast
        put_changes,
        put_changes_json,
        put_hidden,
        summarise,
    )
    from vedette.app.backtest.verdicts import read_verdicts  # noqa: PLC0415
    from vedette.pipeline.backtest.compare import compare  # noqa: PLC0415

    compared = len(test.alerts) > 1
    verdicts = read_verdicts(folder)
    changes = compare(test.alerts[0] if compared else (), test.alerts[-1], verdicts.confirms)
    if as_json:
        put_changes_json(changes)
    else:
        put_changes(changes, compared=compared)
    summarise(test, changes, compared=compared, has_verdicts=verdicts.any)
    return ExitStatus.FOUND if put_hidden(changes) or test.missing or test.is_full else ExitStatus.OK


@contextlib.contextmanager
def _progress(records: int) -> Generator[Callable[[int], None]]:
    """Show how far it is, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - keeps the start fast
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    # Without a thread that draws: processes are forked meanwhile.
    with Progress(console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("looking", total=records)
        yield lambda more: bar.update(task, advance=more, refresh=True)
