"""`vedette rules explain`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import ConfigFile, DataDir, Format, put, put_json, time_text
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from detectors.library import Library
    from detectors.rule import Rule
    from detectors.testing.trace import Part
    from vedette.schema.event import Event

_SEQ: Final = re.compile(r"[0-9]{1,18}")
"""A sequence number, as SQLite can hold it."""

app = App(
    name="explain",
    help_epilogue="""Examples:
  vedette rules explain "Privileged Container Requested" event.json
  vedette rules explain rules/exec.yml audit.log --record 214
  vedette rules explain 5c9f5a3e-3d0c-4a50-8a55-8f1c70a0c001 81234 --format json

Exit status: 0 it was explained, whether the rule matches or not; 2 there is no such rule or event.""",
)


@app.default
def explain(
    rule: Annotated[str, Parameter(help="A rule's id or title, or a file of rules.")],
    event: Annotated[
        str, Parameter(help="A file (`-` is standard input), or the sequence number of a record in the intake log.")
    ],
    /,
    *,
    record: Annotated[
        int, Parameter(help="Which record of the file, from 1, as `vedette scan --format json` names it.")
    ] = 1,
    source: Annotated[
        str | None,
        Parameter(
            help="The file's format, such as kube_audit, falco, hubble or vpc_flow. Default: its beginning tells."
        ),
    ] = None,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show how each clause of a rule stands on an event, whether the rule matches it or not.

    The tree follows the rule's condition with its exceptions. ✓ stands before what holds, ✗ before what does not, \
and · before alternatives that are not needed because one before them holds. Of a correlation, and of a file, it shows \
each rule. Detectors of behaviour go by what came before, so one event explains nothing of them: see \
`vedette rules test` and `vedette profiles`.
    """
    from vedette.app.workbench.rules_at_hand import open_library  # noqa: PLC0415 - keeps the start fast

    is_file = os.path.isfile(rule)  # noqa: PTH113 - a title may be longer than a path can be
    library = open_library([Path(rule)] if is_file else [], config)
    rules = _rules(library, None if is_file else rule)
    found = _event(event, record, source, config, data_dir)
    for one in rules:
        if format == "json":
            put_json(_document(one, found, _trace(one, found)))
        else:
            _put(one, found, _trace(one, found))
    return ExitStatus.OK


def _event(text: str, record: int, source: str | None, config: Path | None, data_dir: Path | None) -> Event:
    from vedette.app.workbench.events import file_event, stored_event  # noqa: PLC0415 - keeps the start fast

    if _SEQ.fullmatch(text) and not os.path.exists(text):  # noqa: PTH110 - as above
        return stored_event(int(text), config, data_dir)
    return file_event(text, max(1, record), source)


def _rules(library: Library, name: str | None) -> list[Rule]:
    from detectors.behaviour.definition import Definition  # noqa: PLC0415 - keeps the start fast
    from vedette.schema.errors import ConfigError  # noqa: PLC0415

    wanted = list(library.rules.values()) if name is None else [library.find(name)]
    found = {id(rule): rule for one in wanted for rule in library.related.below(one)}
    learning = next((rule.info.title for rule in wanted if isinstance(rule, Definition)), None)
    if learning is not None and not found:
        raise ConfigError(
            f"`{learning}` is a detector of behaviour: it goes by what came before, so one event explains nothing;"
            " `vedette rules test` runs its tests, `vedette profiles` shows what was learned"
        )
    return list(found.values())


def _trace(rule: Rule, event: Event) -> Part | None:
    """How the rule stands on the event; None where it is not asked."""
    from detectors.testing.related import asks  # noqa: PLC0415 - keeps the start fast
    from detectors.testing.rule_trace import trace_rule  # noqa: PLC0415

    return trace_rule(rule, event) if asks(rule, event) else None


def _why_not_asked(rule: Rule, event: Event) -> str:
    wanted = "/".join(part for part in rule.logsource if part) or "any log source"
    return rule.idle or f"it looks at {wanted}, and the event is of {event.decoder.name}"


def _put(rule: Rule, event: Event, part: Part | None) -> None:
    from vedette.app.workbench.texts import tree_lines  # noqa: PLC0415 - keeps the start fast

    verdict = "is not asked" if part is None else "matches" if part.held else "does not match"
    put(safe_text(f"{rule.info.title} ({rule.info.rule_id}): {verdict}"))
    if part is None:
        put(safe_text(f"  {_why_not_asked(rule, event)}"))
    else:
        for line in tree_lines(part, 1):
            put(line)


def _document(rule: Rule, event: Event, part: Part | None) -> dict[str, Any]:
    from vedette.app.workbench.texts import part_document  # noqa: PLC0415 - keeps the start fast

    record = event.record
    return {
        "rule_id": rule.info.rule_id,
        "title": rule.info.title,
        "asked": part is not None,
        "matches": part is not None and part.held,
        "reason": _why_not_asked(rule, event) if part is None else "",
        "event": {
            "format": event.decoder.name,
            "record": record.seq,
            "time": time_text(event.time_ns),
            "event_ids": list(event.event_ids),
        },
        "condition": None if part is None else part_document(part),
    }
