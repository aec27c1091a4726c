"""`vedette rules coverage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import ConfigFile, Flag, count_text, put_json, put_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.rule import AnyRule
    from detectors.testing.coverage import Covered, Detection

_TITLES_MAX = 3

app = App(
    name="coverage",
    help_epilogue="""Examples:
  vedette rules coverage
  vedette rules coverage --shipped --format json | jq -r 'select(.rules == []) | .id + " " + .title'
  vedette rules coverage rules/ --format navigator > layer.json

Exit status: 0; 2 the rules or the table can't be used.""",
)


@app.default
def coverage(
    *paths: Annotated[Path, Parameter(help="Files and folders of rules, in place of the configured ones.")],
    shipped: Annotated[
        Flag, Parameter(help="The rules of all packs that ship, in place of the configured ones.")
    ] = False,
    table: Annotated[Path | None, Parameter(help="A table of your own, in place of the shipped one.")] = None,
    format: Annotated[  # noqa: A002 - the name of the option
        Literal["table", "json", "navigator"],
        Parameter(
            help="`json`: an object for each row; `navigator`: a layer for the ATT&CK Navigator (layer format 4.5)."
        ),
    ] = "table",
    config: ConfigFile = None,
) -> int:
    """Show what the rules detect: each row of the coverage table with the rules that are about it (`vedette: covers`).

    Rules count that have tests, among them one that matches, and pass them all; so do alerts of Falco that a table \
describes (`falco_alerts`), whose rules are tested where they are written.
    """
    from detectors.testing.coverage import detections_of, hold_against, navigator_layer  # noqa: PLC0415 - keeps the start fast
    from vedette.app.workbench.rules_at_hand import open_checker, open_shipped, open_table  # noqa: PLC0415

    rows = open_table(table)
    checker, rules = open_shipped() if shipped else open_checker(paths, config)
    proven = [rule for rule in rules if checker.check(rule).proven]
    alerts = checker.library.loaded.alerts
    counted = detections_of(proven, alerts)
    found = hold_against(rows, counted)
    by = _by(len(proven), len(alerts))
    if format == "navigator":
        put_json(navigator_layer(counted, "Vedette rules", f"How many of {by} there are for each technique."))
    elif format == "json":
        for one in found:
            put_json(_document(one))
    else:
        _put(found)
    _sum_up(found, by)
    _say_left_out(found, rules, len(proven), counted)
    return ExitStatus.OK


def _document(one: Covered) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    rules = [{"rule_id": rule.rule_id, "title": rule.title} for rule in one.rules]
    return {**msgspec.structs.asdict(one.row), "rules": rules}


def _put(found: Sequence[Covered]) -> None:
    put_table(
        ("ID", "TACTIC", "ATT&CK", "INPUTS", "WHAT", "RULES", "WHICH"),
        [
            (
                one.row.id,
                one.row.tactic,
                " ".join(one.row.attack),
                one.row.inputs,
                one.row.title,
                len(one.rules),
                _which(one),
            )
            for one in found
        ],
    )


def _which(one: Covered) -> str:
    if not one.rules:
        return f"none: {one.row.not_covered}" if one.row.not_covered else "none"
    more = f" and {len(one.rules) - _TITLES_MAX} more" if len(one.rules) > _TITLES_MAX else ""
    return ", ".join(rule.title for rule in one.rules[:_TITLES_MAX]) + more


def _by(rules: int, alerts: int) -> str:
    tested = f"{count_text(rules, 'rule')} with passing tests"
    return f"{tested} and {count_text(alerts, 'alert')} of Falco" if alerts else tested


def _sum_up(found: Sequence[Covered], by: str) -> None:
    from detectors.testing.coverage import CONCEPT, IDEA, share  # noqa: PLC0415 - keeps the start fast

    concepts, ideas = share(found, CONCEPT), share(found, IDEA)
    of = f"{concepts.covered} of {concepts.all} concepts and {ideas.covered} of {ideas.all} ideas"
    say(f"{of} are covered by {by}")


def _say_left_out(
    found: Sequence[Covered], rules: Sequence[AnyRule], proven: int, counted: Sequence[Detection]
) -> None:
    if proven < len(rules):
        say(f"{count_text(len(rules) - proven, 'rule')} without passing tests left out: see `vedette rules test`")
    said = {name: None for one in (*rules, *counted) for name in one.covers}
    unknown = said.keys() - {one.row.id for one in found}
    if unknown:
        say(f"rules cover what the table does not have: {', '.join(sorted(unknown))}")
