"""`vedette rules coverage`: the table, the counts, and a layer that the ATT&CK Navigator takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from detectors.packs import shipped_pack_texts

from .conftest import Outcome

Call = Callable[..., Outcome]
ALERTS_MIN = 140
"""Alerts of Falco that the shipped table describes."""
CONCEPTS_MIN = 120
IDEAS_MIN = 20
"""Rows that shipped rules are to cover."""
TABLE = """\
- {id: C20, title: Exec into a pod, tactic: Execution, attack: T1609, inputs: A}
- {id: C21, title: "Exec\\e[2J", tactic: Execution, attack: [T1609, T1610], inputs: [A, S], not_covered: no events}
- {id: U1, title: An idea, tactic: Discovery, attack: T1613, inputs: F}
"""


def rule(number: int, covers: str, tags: str, *, match: bool = True, verb: str = "get") -> str:
    return f"""\
title: Rule {number}
id: 6d0e8f1a-0000-4000-8000-00000000000{number}
tags: [{tags}]
logsource: {{product: kubernetes, service: audit}}
detection: {{s: {{verb: get}}, condition: s}}
vedette:
  covers: [{covers}]
  tests: [{{name: t, match: {str(match).lower()}, event: {{verb: {verb}}}}}]
"""


CORRELATION = """\
title: Many
id: 6d0e8f1a-0000-4000-8000-000000000009
tags: [attack.t1110]
correlation: {type: event_count, rules: [6d0e8f1a-0000-4000-8000-000000000001], timespan: 1m, condition: {gte: 2}}
vedette:
  covers: [U1]
  tests: [{name: two, match: true, events: [{event: {verb: get}, repeat: 2}]}]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    texts = [
        rule(1, "C20", "attack.t1609, attack.execution"),
        rule(2, "C20", "attack.t1609, attack.t1552.007, attack.ta0002"),
        rule(3, "C21", "attack.t1610", match=False, verb="list"),
        rule(4, "C21", "attack.t1610", verb="list"),
        rule(5, "C99", ""),
        CORRELATION,
    ]
    (folder / "rules.yml").write_text("---\n".join(texts))
    (tmp_path / "table.yml").write_text(TABLE)
    return folder


def coverage(vedette: Call, rules: Path, *options: str) -> Outcome:
    return vedette("rules", "coverage", rules, "--table", rules.parent / "table.yml", *options)


def test_rows_have_the_rules_that_are_proven(vedette: Call, rules: Path) -> None:
    done = coverage(vedette, rules)
    assert done.status == 0
    assert [re.split(r"\s{2,}", line) for line in done.out.splitlines()] == [
        ["ID", "TACTIC", "ATT&CK", "INPUTS", "WHAT", "RULES", "WHICH"],
        ["C20", "Execution", "T1609", "A", "Exec into a pod", "2", "Rule 1, Rule 2"],
        ["C21", "Execution", "T1609 T1610", "A, S", "Exec\\x1b[2J", "0", "none: no events"],
        ["U1", "Discovery", "T1613", "F", "An idea", "1", "Many"],
    ]
    assert done.err.splitlines() == [
        "1 of 2 concepts and 1 of 1 ideas are covered by 4 rules with passing tests",
        "2 rules without passing tests left out: see `vedette rules test`",
        "rules cover what the table does not have: C99",
    ]


def test_programs_get_a_row_a_line(vedette: Call, rules: Path) -> None:
    told = coverage(vedette, rules, "--format", "json").lines
    assert [(row["id"], [found["title"] for found in row["rules"]]) for row in told] == [
        ("C20", ["Rule 1", "Rule 2"]),
        ("C21", []),
        ("U1", ["Many"]),
    ]
    assert (told[1]["attack"], told[1]["not_covered"]) == (["T1609", "T1610"], "no events")


ALERT_TABLE = """\
falco_alerts:
  "Shell\\e[2J": {covers: [C21, C98], attack: [T1059.004, TA0002], level: low}
  Another: {level: low}
"""


def test_alerts_that_a_table_describes_count_beside_rules(vedette: Call, rules: Path) -> None:
    (rules / "alerts.yml").write_text(ALERT_TABLE)
    done = coverage(vedette, rules)
    assert [re.split(r"\s{2,}", line)[5:] for line in done.out.splitlines()[1:3]] == [
        ["2", "Rule 1, Rule 2"],
        ["1", "Shell\\x1b[2J"],
    ]
    assert done.err.splitlines() == [
        "2 of 2 concepts and 1 of 1 ideas are covered by 4 rules with passing tests and 2 alerts of Falco",
        "2 rules without passing tests left out: see `vedette rules test`",
        "rules cover what the table does not have: C98, C99",
    ]
    assert coverage(vedette, rules, "--format", "json").lines[1]["rules"] == [
        {"rule_id": "falco:Shell\x1b[2J", "title": "Shell\x1b[2J"}
    ]
    layer = json.loads(coverage(vedette, rules, "--format", "navigator").out)
    assert wrong_layer(layer) == []
    assert [found["score"] for found in layer["techniques"] if found["techniqueID"] == "T1059.004"] == [1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("- {id: X1, title: t}", "table.yml:1:3: a row has an id"),
        ("- {id: C1}", "table.yml:1:3: a row has an id"),
        ("- {id: C1, title: t}\n- {id: C1, title: u}", "table.yml:2:3: the row C1 is there twice"),
        ("id: C1", "table.yml:1:1: a coverage table is a list"),
        ("- [\n", "table.yml:2:1: "),
    ],
    ids=["id", "title", "twice", "no_list", "no_yaml"],
)
def test_a_wrong_table_is_refused(vedette: Call, rules: Path, table: str, message: str) -> None:
    (rules.parent / "table.yml").write_text(table)
    done = coverage(vedette, rules)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_the_shipped_table_is_held_against_all_shipped_packs(vedette: Call) -> None:
    done = vedette("rules", "coverage", "--shipped", "--format", "json")
    assert done.status == 0
    by = r"(\d+) rules with passing tests and (\d+) alerts of Falco"
    summary = re.fullmatch(rf"(\d+) of 168 concepts and (\d+) of 27 ideas are covered by {by}\n", done.err)
    assert summary is not None, "all rules pass their tests, and cover rows that there are"
    rows = done.lines
    assert [row["id"] for row in rows] == [f"C{number}" for number in range(1, 169)] + [
        f"U{number}" for number in range(1, 28)
    ]
    assert sum(bool(row["rules"]) for row in rows) == int(summary[1]) + int(summary[2])
    documents = sum(len(re.findall(r"^title:", text.text, re.MULTILINE)) for text in shipped_pack_texts())
    assert int(summary[3]) >= documents
    reported = {found["title"] for row in rows for found in row["rules"] if found["rule_id"].startswith("falco:")}
    assert ALERTS_MIN <= len(reported) <= int(summary[4])
    assert int(summary[1]) >= CONCEPTS_MIN
    assert int(summary[2]) >= IDEAS_MIN


# --- the Navigator's layer format 4.5 ---------------------------------------------------------------------------------
Check = Callable[[Any], bool]


def text(value: Any) -> bool:
    return isinstance(value, str)


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def matching(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def items(check: Callable[[Any], list[str]]) -> Check:
    return lambda value: isinstance(value, list) and all(not check(item) for item in value)


def wrong(value: Any, required: Mapping[str, Check], optional: Mapping[str, Check]) -> list[str]:
    """What is wrong with an object: properties that lack, that the format does not have, and of a wrong type."""
    known = {**required, **optional}
    lacking = [f"no {name}" for name in required if name not in value]
    return lacking + [name for name in value if name not in known or not known[name](value[name])]


def wrong_technique(value: Any) -> list[str]:
    technique = {"techniqueID": matching(r"T\d{4}(\.\d{3})?")}
    return wrong(
        value, technique, {"comment": text, "score": number, "showSubtechniques": lambda it: it in (True, False)}
    )


def wrong_layer(layer: Any) -> list[str]:
    """Hold a layer against the property tables of the format's documentation."""
    versions = {"navigator": matching(r"(4\.9|[5-9]\.\d+)\.\d+"), "layer": matching(r"4\.5")}
    gradient = {"colors": items(lambda it: [] if matching("#[0-9a-f]{6}")(it) else ["color"])}
    bounds = {"minValue": number, "maxValue": number}
    required = {"name": text, "domain": lambda it: it in ("enterprise-attack", "mobile-attack", "ics-attack")}
    optional: dict[str, Check] = {
        "versions": lambda it: not wrong(it, versions, {"attack": text}),
        "description": text,
        "sorting": lambda it: it in (0, 1, 2, 3),
        "techniques": items(wrong_technique),
        "gradient": lambda it: not wrong(it, {**gradient, **bounds}, {}) and it["maxValue"] > it["minValue"],
    }
    return wrong(layer, required, optional)


def test_the_layer_is_what_the_navigator_documents(vedette: Call, rules: Path) -> None:
    layer = json.loads(coverage(vedette, rules, "--format", "navigator").out)
    assert wrong_layer(layer) == []
    assert {found["techniqueID"]: (found["score"], found["comment"]) for found in layer["techniques"]} == {
        "T1110": (1, "Many"),
        "T1552.007": (1, "Rule 2"),
        "T1609": (2, "Rule 1\nRule 2"),
    }
    assert layer["gradient"]["maxValue"] == 2


def test_a_layer_of_no_rules_is_one_too(vedette: Call, rules: Path) -> None:
    (rules / "rules.yml").write_text(rule(3, "C21", "attack.t1610", match=False, verb="list"))
    layer = json.loads(coverage(vedette, rules, "--format", "navigator").out)
    assert wrong_layer(layer) == []
    assert layer["techniques"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "enterprise"},
        {"versions": {"layer": "4.5"}},
        {"versions": {"layer": "4.4", "navigator": "4.9.0"}},
        {"techniques": [{"techniqueID": "TA0001"}]},
        {"techniques": [{"techniqueID": "T1001", "rules": 1}]},
        {"gradient": {"colors": ["#ffffff"], "minValue": 1, "maxValue": 1}},
        {"extra": 1},
    ],
)
def test_the_check_of_layers_can_fail(vedette: Call, rules: Path, change: dict[str, Any]) -> None:
    layer = json.loads(coverage(vedette, rules, "--format", "navigator").out)
    assert wrong_layer({**layer, **change}) != []
