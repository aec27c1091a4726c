"""Which rules match, and what their outputs say."""

from typing import Any

import pytest

from detectors.falco import load_falco_rules
from detectors.falco.explaining import explain
from detectors.falco.json_values import JsonValues
from detectors.falco.matching import Matcher, RuleMatching
from detectors.falco.output import OutputError, parse_output
from detectors.falco.sources import SOURCES
from detectors.rule import RuleText
from vedette.schema.finding import Clause

RULES = """
- {rule: any, desc: d, condition: ka.verb exists, output: o, priority: debug, source: k8s_audit}
- {rule: off, desc: d, condition: ka.verb exists, output: o, priority: debug, source: k8s_audit, enabled: false}
- {rule: get, desc: d, condition: ka.verb = get, output: o, priority: debug, source: k8s_audit}
- {rule: pointer, desc: d, condition: 'jevt.value[/verb] = get', output: o, priority: debug, source: json}
- {rule: open, desc: d, condition: evt.type = open, output: o, priority: debug}
"""
EVENT = {"auditID": "1", "verb": "get"}


def matcher(matching: RuleMatching) -> Matcher:
    found = load_falco_rules([RuleText("r.yaml", RULES, "p")])
    assert found.errors == ()
    return Matcher(found.rules, matching)


@pytest.mark.parametrize(
    ("matching", "document", "wanted"),
    [
        (RuleMatching.FIRST, EVENT, ["any", "pointer"]),
        (RuleMatching.ALL, EVENT, ["any", "get", "pointer"]),
        (RuleMatching.ALL, {"verb": "get"}, ["pointer"]),
        (RuleMatching.ALL, {}, []),
    ],
)
def test_documents(matching: RuleMatching, document: dict[str, Any], wanted: list[str]) -> None:
    rules = matcher(matching)
    assert [rule.name for rule in rules.match_document(document)] == wanted
    assert rules.interpret_document(document) == rules.match_document(document)


def test_given_values() -> None:
    rules = matcher(RuleMatching.FIRST)
    assert [rule.name for rule in rules.match("syscall", lambda name, _arg: {"evt.type": "open"}.get(name))] == ["open"]


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("*user=%ka.user.name verb=%ka.verb", "user=<NA> verb=get"),
        ("user=%ka.user.name verb=%ka.verb", "user="),
        ("%6ka.verb|%2ka.verb|", "get   |ge|"),
        ("%ka.verbs %ka.verb. %toupper(ka.verb)", "gets get. GET"),
        ("%ka.user.groups %jevt.value[/verb]", "(a,b) get"),
        ("*%ka.uri", "x\\n\\u001b[31m"),
        ("plain", "plain"),
    ],
)
def test_messages(template: str, wanted: str) -> None:
    doc = {**EVENT, "user": {"groups": ["a", "b"]}, "requestURI": "x\n\x1b[31m"}
    assert parse_output(template, SOURCES["k8s_audit"]).message(JsonValues(doc).get) == wanted


def test_fields_are_typed_and_sorted() -> None:
    values = {"proc.pid": 7, "evt.is_io": True, "proc.name": "a", "fd.types": ["x"], "fd.cport": None}
    output = parse_output("*%proc.pid %evt.is_io %toupper(proc.name) %fd.types %fd.cport", SOURCES["syscall"])
    found = output.fields(lambda name, _arg: values.get(name))
    assert list(found.items()) == [
        ("evt.is_io", True),
        ("fd.cport", None),
        ("fd.types", ["x"]),
        ("proc.name", "a"),
        ("proc.pid", 7),
    ]


@pytest.mark.parametrize(
    ("template", "reason", "unknown"),
    [
        ("", "empty formatting token", False),
        ("a %", "cannot end with a %", False),
        ("a %12", "cannot end with a number", False),
        ("%no.such", "invalid formatting token no.such", True),
        ("%nothing", "invalid formatting token nothing", True),
        ("%toupper(no.such)", "invalid formatting token toupper(no.such)", True),
        ("%fd.ip", "filter only", False),
        ("%toupper(proc.pid)", "is not supported by 'toupper'", False),
        ("%container.mount", "requires an argument", False),
        ("%99999proc.name", "columns", False),
        ("%toupper(proc.name", "closing the transformer", False),
    ],
)
def test_bad_templates(template: str, reason: str, unknown: bool) -> None:
    with pytest.raises(OutputError) as refused:
        parse_output(template, SOURCES["syscall"])
    assert reason in refused.value.message
    assert refused.value.unknown is unknown


EXPLAINED = """
- rule: r
  desc: d
  condition: >
    ka.verb in (get, list) and not (ka.user.name = root or ka.user.groups intersects (admins))
    and (ka.stage = none or jevt.value[/n] exists)
  output: o
  priority: debug
  source: k8s_audit
"""


def test_explanation() -> None:
    (rule,) = load_falco_rules([RuleText("r.yaml", EXPLAINED, "p")]).rules
    get = JsonValues({**EVENT, "n": 1, "user": {"groups": ["x"]}}).get
    assert explain(rule, get) == (
        Clause("condition", "ka.verb", "in (get, list)", "verb", "get"),
        Clause("condition", "ka.user.name", "not: = root", negated=True),
        Clause("condition", "ka.user.groups", "not: intersects (admins)", "", '["x"]', negated=True),
        Clause("condition", "jevt.value[/n]", "exists", "/n", "1"),
    )
