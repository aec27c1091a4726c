"""`vedette rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import ConfigFile, Format, put_json, put_table, say

if TYPE_CHECKING:
    from detectors.rule import Rule

app = App(
    name="rules",
    help="List the rules that detection uses.",
    help_epilogue="`vedette rules list --help` shows examples.",
)


@app.command(
    name="list",
    help_epilogue="""Examples:
  vedette rules list
  vedette rules list --format json | jq -r 'select(.level == "critical") | .title'

Exit status: 0 all rules can be used; 2 some can't, and it says why and where.""",
)
def list_rules(*, format: Format = "table", config: ConfigFile = None) -> int:  # noqa: A002 - the name of the option
    """List the rules of the configured packs, files and folders, the most urgent first."""
    from detectors.sigma import load_rules  # noqa: PLC0415 - keeps the start fast
    from vedette.app.config_file import load_config  # noqa: PLC0415
    from vedette.app.wiring import read_rules  # noqa: PLC0415

    loaded = load_rules(read_rules(load_config(config).rules))
    rules = sorted(loaded.rules, key=lambda rule: (-rule.info.level.rank, rule.info.title, rule.info.rule_id))
    if format == "json":
        for rule in rules:
            put_json(_document(rule))
    else:
        put_table(
            ("LEVEL", "TITLE", "LOG SOURCE", "ATT&CK", "PACK", "ID"),
            [
                (
                    rule.info.level,
                    rule.info.title,
                    _log_source(rule),
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


def _document(rule: Rule) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    document: dict[str, Any] = msgspec.structs.asdict(rule.info)
    return {**document, "logsource": {key: value for key, value in rule.logsource._asdict().items() if value}}


def _log_source(rule: Rule) -> str:
    return "/".join(part for part in rule.logsource if part)
