"""`vedette rules`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from vedette.app.commands.rules_coverage import app as coverage_app
from vedette.app.commands.rules_explain import app as explain_app
from vedette.app.commands.rules_show import app as show_app
from vedette.app.commands.rules_stats import app as stats_app
from vedette.app.commands.rules_test import app as test_app
from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import (
    MESSAGE_CHARS_MAX,
    ConfigFile,
    Format,
    count_text,
    put,
    put_json,
    put_table,
    say,
)
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from detectors.rule import AnyRule
    from detectors.sigma.check import Problem

app = App(
    name="rules",
    help="List the rules that detection uses, and check rules.",
    help_epilogue="`vedette rules list --help` shows examples.",
)
app.command(test_app)
app.command(explain_app)
app.command(coverage_app)
app.command(show_app)
app.command(stats_app)
app.command("vedette.app.commands.rules_backtest:app", name="backtest", help="Try rules on what was received.")
app.command("vedette.app.commands.rules_shadow:app", name="shadow", help="List rules that alert nobody.")


@app.command(
    name="list",
    help_epilogue="""Examples:
  vedette rules list
  vedette rules list --format json | jq -r 'select(.level == "critical") | .title'

Exit status: 0 all rules can be used; 2 some can't, and it says why and where.""",
)
def list_rules(*, format: Format = "table", config: ConfigFile = None) -> int:  # noqa: A002 - the name of the option
    """List the rules and detectors of behaviour of the configured packs, files and folders, the most urgent first."""
    from detectors.loading import load_rules  # noqa: PLC0415 - keeps the start fast
    from vedette.app.config_file import load_config  # noqa: PLC0415
    from vedette.app.wiring import read_rules  # noqa: PLC0415

    configured = load_config(config).rules
    loaded = load_rules(read_rules(configured), falco=configured.falco.options())
    rules = sorted(loaded.everything, key=lambda rule: (-rule.info.level.rank, rule.info.title, rule.info.rule_id))
    if format == "json":
        for rule in rules:
            put_json(_document(rule))
    else:
        put_table(
            ("LEVEL", "TITLE", "LOOKS AT", "ATT&CK", "PACK", "ID"),
            [
                (
                    rule.info.level,
                    rule.info.title,
                    _looks_at(rule),
                    " ".join(rule.info.attack),
                    rule.info.pack,
                    rule.info.rule_id,
                )
                for rule in rules
            ],
        )
    for error in loaded.errors:
        say(f"vedette: {error}")
    return ExitStatus.USAGE if loaded.errors else ExitStatus.OK


@app.command(
    name="check",
    help_epilogue="""Examples:
  vedette rules check rules/ exceptions.yml
  vedette rules check --format json rules/ | jq -r 'select(.severity == "error") | .message'

Exit status: 0 all rules can be used; 2 some can't.""",
)
def check_rules(
    *paths: Annotated[Path, Parameter(help="Files and folders of rules. Default: the configured ones.")],
    format: Format = "table",  # noqa: A002 - as above
    config: ConfigFile = None,
) -> int:
    """Check files and folders of rules; without any, the configured ones. Tells everything at once, with its place.

    Errors keep rules from loading. Warnings tell of rules that load, and do not what they seem to.
    """
    from collector.decoders import DECODERS  # noqa: PLC0415 - keeps the start fast
    from detectors.loading import check_rules as check  # noqa: PLC0415
    from detectors.packs import read_rule_files  # noqa: PLC0415
    from detectors.sigma.check import Severity  # noqa: PLC0415
    from vedette.app.config_file import load_config  # noqa: PLC0415
    from vedette.app.wiring import read_rules  # noqa: PLC0415

    texts = read_rule_files(paths) if paths else read_rules(load_config(config).rules)
    provided = [source for decoder in DECODERS.values() for source in decoder.logsources]
    problems = check(texts, provided, datetime.now(UTC).date().isoformat())
    _put_problems(problems, format)
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    counts = (count_text(errors, "error"), count_text(len(problems) - errors, "warning"))
    say(f"{count_text(len(texts), 'file')}: {', '.join(counts)}")
    return ExitStatus.USAGE if errors else ExitStatus.OK


def _put_problems(problems: list[Problem], shown: Format) -> None:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    for problem in problems:
        if shown == "json":
            put_json(msgspec.structs.asdict(problem))
        else:
            put(safe_text(str(problem), MESSAGE_CHARS_MAX))


def _document(rule: AnyRule) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    from detectors.correlation.definition import Correlation  # noqa: PLC0415
    from detectors.rule import Rule  # noqa: PLC0415
    from detectors.testing.behaviour import described  # noqa: PLC0415

    document: dict[str, Any] = msgspec.structs.asdict(rule.info)
    if isinstance(rule, Correlation):
        return {**document, "correlation": rule.kind}
    if not isinstance(rule, Rule):
        return {**document, "behaviour": described(rule)}
    if rule.idle:
        document["idle"] = rule.idle
    return {**document, "logsource": {key: value for key, value in rule.logsource._asdict().items() if value}}


def _looks_at(rule: AnyRule) -> str:
    """Its log source; of a correlation, what it asks of other rules' matches; of behaviour, type and observations."""
    from detectors.correlation.definition import Correlation  # noqa: PLC0415 - keeps the start fast
    from detectors.rule import Rule  # noqa: PLC0415

    if isinstance(rule, Correlation):
        return rule.kind
    if not isinstance(rule, Rule):
        return f"behaviour {rule.type}/{rule.kind}"
    return "nothing" if rule.idle else "/".join(part for part in rule.logsource if part) or "everything"
