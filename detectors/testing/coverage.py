"""What rules detect, held against a table of what there is to detect, and as a layer for the ATT&CK Navigator.

Alerts of a sensor count beside rules where a table says what they are about (`detectors.alert_table`).

The table is a YAML list; the shipped one is `detectors/packs/coverage.yml`:

- id: C20                     # C: a concept that some public rules detect; U: an idea beyond them
  title: Exec into a pod
  tactic: Execution
  attack: T1609
  inputs: A                   # what it takes: A audit, S system calls, F flows, D DNS, C cloud
  not_covered: ""             # why there is no rule for it, if so
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from detectors.alert_info import AlertInfo
from detectors.rule import AnyRule, RuleText
from detectors.sigma.documents import LIST, Document, read_documents
from detectors.values import is_list, is_object, text
from vedette.schema.errors import RuleError

CONCEPT: Final = "C"
IDEA: Final = "U"
_ID: Final = re.compile(r"[CU][1-9]\d{0,2}", re.ASCII)
_TECHNIQUE: Final = re.compile(r"T\d{4}(\.\d{3})?", re.ASCII)
_LAYER: Final = "4.5"
_NAVIGATOR: Final = "4.9.0"
"""The first version of the Navigator that reads such layers."""


class Row(msgspec.Struct, frozen=True):
    """Something to be detected; `not_covered` says why no rule does."""

    id: str
    title: str
    tactic: str = ""
    attack: tuple[str, ...] = ()
    inputs: str = ""
    not_covered: str = ""


class Detection(msgspec.Struct, frozen=True):
    """What claims to detect something: a rule, or an alert of a sensor that a table describes."""

    rule_id: str
    title: str
    attack: tuple[str, ...]
    covers: tuple[str, ...]


class Covered(msgspec.Struct, frozen=True):
    """A row of the table, and what is about it."""

    row: Row
    rules: tuple[Detection, ...]


class Share(msgspec.Struct, frozen=True):
    """How many there are of a kind of row, and how many of them are covered."""

    covered: int
    all: int


def read_table(source: RuleText) -> tuple[list[Row], list[RuleError]]:
    """Return the rows of a table in their order, and everything wrong with it."""
    rows: dict[str, Row] = {}
    errors: list[RuleError] = []
    for document in read_documents(source, lists=True):
        if isinstance(document, RuleError):
            errors.append(document)
            continue
        values: Any = document.data.get(LIST)
        if not is_list(values):
            errors.append(document.error("a coverage table is a list of rows with id and title"))
            continue
        for at, value in enumerate(values):
            row = _row(value)
            if row is None or row.id in rows:
                errors.append(_refusal(document, at, row))
            else:
                rows[row.id] = row
    return list(rows.values()), errors


def _row(value: Any) -> Row | None:
    if not is_object(value) or not _ID.fullmatch(str(value.get("id"))) or not isinstance(value.get("title"), str):
        return None
    return Row(
        id=value["id"],
        title=value["title"],
        tactic=_texts(value.get("tactic")),
        attack=tuple(filter(None, re.split(r"[\s,/]+", _texts(value.get("attack"))))),
        inputs=_texts(value.get("inputs")),
        not_covered=_texts(value.get("not_covered")),
    )


def _texts(value: Any) -> str:
    if is_list(value):
        return ", ".join(filter(None, map(text, value)))
    return text(value) or ""


def _refusal(document: Document, at: int, row: Row | None) -> RuleError:
    if row is None:
        return document.error("a row has an id, C20 for a concept or U14 for an idea, and a title", at)
    return document.error(f"the row {row.id} is there twice", at)


def detections_of(rules: Iterable[AnyRule], alerts: Mapping[str, AlertInfo]) -> list[Detection]:
    """Return what rules, and after them a table of alerts, say that they detect."""
    found = [Detection(rule.info.rule_id, rule.info.title, rule.info.attack, rule.covers) for rule in rules]
    return found + [
        Detection(f"falco:{name}", name, one.attack or (), one.covers or ()) for name, one in alerts.items()
    ]


def hold_against(rows: Iterable[Row], rules: Iterable[Detection]) -> list[Covered]:
    """Return each row with the rules and alerts that are about it, in their order."""
    by_row: dict[str, list[Detection]] = {}
    for rule in rules:
        for name in rule.covers:
            by_row.setdefault(name, []).append(rule)
    return [Covered(row, tuple(by_row.get(row.id, ()))) for row in rows]


def share(found: Iterable[Covered], kind: str) -> Share:
    """Count the rows of a kind, CONCEPT or IDEA."""
    alike = [one for one in found if one.row.id.startswith(kind)]
    return Share(sum(bool(one.rules) for one in alike), len(alike))


def navigator_layer(rules: Iterable[Detection], name: str, description: str) -> Mapping[str, Any]:
    """Return a layer for the ATT&CK Navigator: how many rules there are for each technique, and which.

    Source of the format: mitre-attack/attack-navigator, layers/spec/v4.5/layerformat.md.
    """
    titles: dict[str, list[str]] = {}
    for rule in rules:
        for technique in filter(_TECHNIQUE.fullmatch, rule.attack):
            titles.setdefault(technique, []).append(rule.title)
    parents = {technique.partition(".")[0] for technique in titles if "." in technique}
    return {
        "name": name,
        "versions": {"navigator": _NAVIGATOR, "layer": _LAYER},
        "domain": "enterprise-attack",
        "description": description,
        "sorting": 3,
        "techniques": [
            {
                "techniqueID": technique,
                "score": len(found),
                "comment": "\n".join(sorted(found)),
                "showSubtechniques": technique in parents,
            }
            for technique, found in sorted(titles.items())
        ],
        "gradient": {
            "colors": ["#ffffff", "#66b1ff"],
            "minValue": 0,
            "maxValue": max(map(len, titles.values()), default=1),
        },
    }
