"""`vedette rules show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import MESSAGE_CHARS_MAX, ConfigFile, Format, put, put_fields, put_json
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from detectors.testing.checking import Checker, Report
    from detectors.testing.portrait import Anchors, Portrait

app = App(
    name="show",
    help_epilogue="""Examples:
  vedette rules show "Privileged Container Requested"
  vedette rules show 5c9f5a3e-3d0c-4a50-8a55-8f1c70a0c001 rules/ --format json | jq .exceptions

Exit status: 0 shown; 2 there is no such rule, or some rules can't be used.""",
)


@app.default
def show(
    rule: Annotated[str, Parameter(help="A rule's id or title.")],
    /,
    *paths: Annotated[Path, Parameter(help="Files and folders of rules, in place of the configured ones.")],
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
) -> int:
    """Show everything about one rule.

    What it says of itself, how its condition is understood, which fields it asks, how the index finds it, which \
exceptions and correlations join it, and how its tests come out.
    """
    from collector.decoders import DECODERS  # noqa: PLC0415 - keeps the start fast
    from detectors.testing.portrait import portrait  # noqa: PLC0415
    from vedette.app.workbench.rules_at_hand import open_checker  # noqa: PLC0415

    checker, _ = open_checker(paths, config)
    found = checker.library.find(rule)
    shown, report = portrait(checker.library, found, DECODERS), checker.check(found)
    if format == "json":
        put_json(_document(checker, report, shown))
    else:
        _put(checker, report, shown)
    return ExitStatus.OK


def _document(checker: Checker, report: Report, shown: Portrait) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    path, line = checker.library.place(report.rule.info.rule_id)
    tests = [
        {"name": result.test.name, "match": result.test.match, "passed": result.passed, "path": result.test.path}
        | {"line": result.test.line}
        for result in report.results
    ]
    document: dict[str, Any] = msgspec.to_builtins(report.rule.info)
    asks = [{"logsource": source, "condition": text} for source, text in shown.asks]
    told = {**msgspec.to_builtins(shown), "asks": asks}
    return {**document, "path": path, "line": line, "covers": list(report.rule.covers), **told, "tests": tests}


def _put(checker: Checker, report: Report, shown: Portrait) -> None:
    info = report.rule.info
    path, line = checker.library.place(info.rule_id)
    put_fields(
        (name, value)
        for name, value in (
            ("title", info.title),
            ("id", info.rule_id),
            ("level", info.level),
            ("status", info.status),
            ("place", f"{path}:{line}"),
            ("pack", info.pack if info.pack != path else ""),
            ("author", info.author),
            ("ATT&CK", " ".join(info.attack)),
            ("controls", ", ".join(info.controls)),
            ("covers", " ".join(report.rule.covers)),
            ("dedup by", ", ".join(info.dedup_by) or _default_dedup(shown)),
            ("dedup as", info.dedup_as),
            ("looks at", _looks_at(shown)),
            ("idle", shown.idle),
        )
        if value
    )
    _section("description", info.description.splitlines())
    _section("learns", _learned(shown.behaviour or {}))
    _section("condition", shown.written)
    _section("asks", (text if len(shown.asks) == 1 else f"{source}: {text}" for source, text in shown.asks))
    _section("fields", shown.fields)
    _section("the index goes by", (line for anchors in shown.anchors for line in _anchor_lines(anchors)))
    _section("looks at the matches of", shown.members)
    _section("joined by the correlations", (f"{title}{_silences(title, shown)}" for title in shown.above))
    _section("exceptions", (_exception(one) for one in shown.exceptions))
    _section("tests", (_test(result) for result in report.results))
    _section("false positives", info.falsepositives)
    _section("references", info.references)


def _looks_at(shown: Portrait) -> str:
    if shown.behaviour is not None:
        return f"observations of the kind {shown.behaviour['kind']}"
    return ", ".join(shown.formats) or "nothing"


def _default_dedup(shown: Portrait) -> str:
    return "the default of its log source" if shown.behaviour is None else "what its type groups by"


def _learned(behaviour: dict[str, Any]) -> Iterator[str]:
    """Say what a detector of behaviour learns, as it would be written."""
    for name, value in {**behaviour, **behaviour.get("settings", {})}.items():
        if name not in ("kind", "settings") and value not in (None, "", []):
            yield f"{name}: {_setting(value)}"


def _setting(value: Any) -> str:
    from detectors.values import is_list, is_object  # noqa: PLC0415 - keeps the start fast

    if is_list(value):
        return ", ".join(map(_setting, value))
    return json.dumps(value, ensure_ascii=False) if is_object(value) else str(value)


def _section(title: str, lines: Iterable[str]) -> None:
    shown = [safe_text(line, MESSAGE_CHARS_MAX) for line in lines]
    if shown:
        put("")
        put(f"{title}:")
        for line in shown:
            put(f"  {line}")


def _anchor_lines(anchors: Anchors) -> list[str]:
    if anchors.every_event:
        return [f"{anchors.format}: nothing; the rule is looked at on every event"]
    return [f"{anchors.format}: {way}" for way in anchors.ways]


def _silences(title: str, shown: Portrait) -> str:
    return "; so it does not alert on its own" if title in shown.silent else ""


def _exception(one: Any) -> str:
    told = (
        one.owner and f"owner {one.owner}",
        one.ticket,
        one.reason,
        one.expires and f"until {one.expires}",
    )
    return f"{one.title}: {one.condition} ({one.path}:{one.line}){''.join(f'; {word}' for word in told if word)}"


def _test(result: Any) -> str:
    outcome = "passes" if result.passed else f"FAILS: {result.problem}"
    return f"{'match' if result.test.match else 'no match'}: {result.test.name}: {outcome}"
