"""What each construct of a Sigma rule means on an event (specification 2.1.0)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from detectors.compiled import compile_predicate
from detectors.fields import getter
from detectors.predicate import matches
from detectors.rule import RuleText
from detectors.sigma import load_rules

K8S = {
    "verb": "create",
    "annotations": {"authorization.k8s.io/decision": "forbid", "n": None},
    "objectRef": {"resource": "pods", "subresource": "exec"},
    "responseStatus": {"code": 403},
    "sourceIPs": ["10.1.2.3", "203.0.113.9"],
    "requestObject": {"spec": {"containers": [{"image": "a", "tty": True}, {"image": "Nginx:1.2"}], "volumes": []}},
    "a.b": "literal",
    "a": {"b": "nested", "c": "other"},
    "at": "2026-11-21T03:41:01.534995Z",
    "score": 7.5,
    "path": "C:\\Windows\\Temp\\*x",
    "other": {"path": "c:\\windows", "verb": "CREATE"},
    "empty": "",
}


def detected(detection: dict[str, Any], event: dict[str, Any]) -> bool:
    rule = {"title": "t", "logsource": {"product": "p"}, "detection": detection}
    loaded = load_rules([RuleText("rule.yml", yaml.safe_dump(rule, sort_keys=False), "pack")])
    assert [str(error) for error in loaded.errors] == []
    predicate = loaded.rules[0].predicate
    found = compile_predicate(predicate)(event)
    assert found is matches(predicate, lambda field: getter(field)(event))
    return found


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        # text
        ({"verb": "CREATE"}, True),
        ({"verb|cased": "CREATE"}, False),
        ({"verb|cased": "create"}, True),
        ({"verb": "creat"}, False),
        ({"verb": "c*e"}, True),
        ({"verb": "c?eate"}, True),
        ({"verb": "c?reate"}, False),
        ({"verb": "create?"}, False),
        ({"verb": ["get", "create"]}, True),
        ({"verb|contains": "REAT"}, True),
        ({"verb|contains|cased": "REAT"}, False),
        ({"verb|startswith": "cr"}, True),
        ({"verb|endswith": "te"}, True),
        ({"verb|endswith": "cr"}, False),
        ({"verb|contains|all": ["cre", "ate"]}, True),
        ({"verb|contains|all": ["cre", "get"]}, False),
        ({"verb": "*"}, True),
        ({"missing": "*"}, False),
        ({"empty": ""}, True),
        ({"empty": "*"}, True),
        ({"missing": ""}, False),
        # escapes: a backslash is itself unless it stands before *, ? or a backslash
        ({"path": "C:\\Windows\\Temp\\\\*"}, True),
        ({"path": "C:\\Windows\\Temp\\\\\\*x"}, True),
        ({"path": "*\\*x"}, True),
        ({"path": "C:\\Windows\\Temp\\\\\\*y"}, False),
        ({"path|startswith": "c:\\WINDOWS\\"}, True),
        # numbers and booleans are dual-typed
        ({"responseStatus.code": 403}, True),
        ({"responseStatus.code": "403"}, True),
        ({"responseStatus.code": "4*"}, True),
        ({"responseStatus.code": 404}, False),
        ({"score": 7.5}, True),
        ({"requestObject.spec.containers.tty": True}, True),
        ({"requestObject.spec.containers.tty": "TRUE"}, True),
        ({"requestObject.spec.containers.tty": False}, False),
        # null, presence
        ({"missing": None}, True),
        ({"annotations.n": None}, True),
        ({"verb": None}, False),
        ({"verb": ["get", None]}, False),
        ({"verb|exists": True}, True),
        ({"annotations.n|exists": True}, True),
        ({"missing|exists": True}, False),
        ({"missing|exists": False}, True),
        ({"requestObject.spec.volumes|exists": True}, True),
        ({"requestObject.spec.volumes": None}, False),
        ({"objectRef|exists": True}, True),
        ({"objectRef": "*"}, False),
        # field names
        ({"a.b": "literal"}, True),
        ({"a.b": "nested"}, False),
        ({"a.c": "other"}, True),
        ({"annotations.authorization.k8s.io/decision": "forbid"}, True),
        ({"requestObject.spec.containers.image": "nginx:*"}, True),
        ({"requestObject.spec.containers.image|neq": "nginx:*"}, False),
        ({"sourceIPs": "203.0.113.9"}, True),
        # other modifiers
        ({"sourceIPs|cidr": "203.0.113.0/24"}, True),
        ({"sourceIPs|cidr": ["192.168.0.0/16", "2001:db8::/32"]}, False),
        ({"verb|cidr": "0.0.0.0/0"}, False),
        ({"responseStatus.code|gte": 403}, True),
        ({"responseStatus.code|gt": 403}, False),
        ({"responseStatus.code|lt": 403.5}, True),
        ({"verb|lt": 5}, False),
        ({"verb|re": "^cr.a"}, True),
        ({"verb|re": "CR"}, False),
        ({"verb|re|i": "CR"}, True),
        ({"verb|re": "^reate"}, False),
        ({"verb|neq": "get"}, True),
        ({"missing|neq": "get"}, True),
        ({"verb|neq": ["get", "create"]}, False),
        ({"verb|contains|neq": "rea"}, False),
        ({"verb|fieldref": "other.verb"}, True),
        ({"verb|fieldref": "missing"}, False),
        ({"missing|fieldref": "verb"}, False),
        ({"path|fieldref|startswith": "other.path"}, True),
        ({"path|fieldref|endswith": "other.path"}, False),
        ({"path|fieldref|contains": "other.path"}, True),
        ({"at|hour": 3}, True),
        ({"at|minute": [40, 41]}, True),
        ({"at|week": 47}, True),
        ({"at|year": 2025}, False),
        ({"at|hour|lt": 4}, True),
        ({"at|hour|gte": 4}, False),
        ({"at|year|gt": 2025}, True),
        ({"at|year|gt": 2026}, False),
        ({"at|year|gte": 2026}, True),
        ({"at|year|lt": 2026}, False),
        ({"at|year|lt": 2027}, True),
        ({"at|year|lte": 2025}, False),
        ({"at|year|lte": 2026}, True),
        ({"at|year|gt": 0}, True),
        ({"at|year|gt": 9999}, False),
        ({"at|year|lte": 9999}, True),
        ({"at|year|lt": 1}, False),
        ({"missing|year|lte": 9999}, False),
        ({"verb|year|gt": 0}, False),
        ({"at|week|gt": 46}, True),
        ({"at|day|lte": 20}, False),
        ({"at|month|lt": 12}, True),
        ({"verb|hour": 3}, False),
        ({"verb|windash|contains": "reat"}, True),
        ({"verb|base64offset|contains": "reat"}, False),
    ],
    ids=str,
)
def test_item(item: dict[str, Any], expected: bool) -> None:
    assert detected({"selection": item, "condition": "selection"}, K8S) is expected


@pytest.mark.parametrize(
    ("value", "item", "expected"),
    [
        ("cmd /c whoami", {"f|windash|contains": " -c "}, True),
        ("cmd \u2013c whoami", {"f|windash|contains": " -c "}, True),
        ("cmd +c whoami", {"f|windash|contains": " -c "}, False),
        ("x d2hvYW1p y", {"f|base64|contains": "whoami"}, True),
        ("eHdob2FtaXg=", {"f|base64offset|contains": "whoami"}, True),
        ("dwBoAG8A", {"f|wide|base64|contains": "who"}, True),
        ("Straße", {"f": "STRASSE"}, True),
        ("\u212aube", {"f|startswith": "kube"}, True),
        ("line\nbreak", {"f": "line*break"}, True),
        ("line\nbreak", {"f": "line?break"}, True),
        ("line\nbreak", {"f|re": "line.break"}, False),
        ("line\nbreak", {"f|re|s": "line.break"}, True),
        ("::ffff:10.0.0.1", {"f|cidr": "10.0.0.0/8"}, True),
        ("1_000", {"f|gt": 5}, False),
        ("nan", {"f|lt": 5}, False),
        ("12", {"f|gt": 5}, True),
        (True, {"f|gt": 0}, False),
        (True, {"f": 1}, False),
        (5.0, {"f": "5"}, True),
        ([], {"f|neq": "x"}, True),
        ([["x"]], {"f": "x"}, True),
    ],
    ids=str,
)
def test_value(value: Any, item: dict[str, Any], expected: bool) -> None:
    assert detected({"selection": item, "condition": "selection"}, {"f": value}) is expected


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        (["forbid"], True),
        (["FORBID"], True),
        ("forb?d", True),
        (["nginx*2"], True),
        (["authorization.k8s.io/decision"], False),
        ([403], True),
        (["none", "such"], False),
        ({"|all": ["pods", "exec"]}, True),
        ({"|all": ["pods", "none"]}, False),
        ({"|re": "^po.s$"}, True),
        ({"|contains": "ginx"}, True),
        ({"|cased": "FORBID"}, False),
    ],
    ids=str,
)
def test_keywords_are_looked_for_in_every_value_and_no_key(keywords: Any, expected: bool) -> None:
    assert detected({"keywords": keywords, "condition": "keywords"}, K8S) is expected


YES, NO = {"verb": "create"}, {"verb": "get"}


@pytest.mark.parametrize(
    ("names", "condition", "expected"),
    [
        ({"y": YES, "n": NO}, "y and not n", True),
        ({"y": YES, "n": NO}, "not y or y and n or y", True),
        ({"y": YES, "n": NO}, "not (y or n)", False),
        ({"y": YES, "n": NO}, "1 of them", True),
        ({"y": YES, "n": NO}, "all of them", False),
        ({"y": YES, "_n": NO}, "all of them", True),
        ({"sel_y": YES, "sel_n": NO, "n": NO}, "1 of sel_*", True),
        ({"sel_y": YES, "sel_n": NO, "n": NO}, "all of sel_*", False),
        ({"sel_y": YES, "n": NO}, "any of sel_* and not n", True),
        ({"y": YES, "notsel": NO}, "y and notsel", False),
        ({"y": YES, "n": NO}, ["n", "y"], True),
        ({"m": {**YES, "objectRef.resource": "pods"}}, "m", True),
        ({"m": {**YES, "objectRef.resource": "secrets"}}, "m", False),
        ({"m": [NO, YES]}, "m", True),
        ({"m": [NO, {**YES, "objectRef.resource": "secrets"}]}, "m", False),
        ({"m": ["no such word", YES]}, "m", True),
    ],
    ids=str,
)
def test_condition(names: dict[str, Any], condition: Any, expected: bool) -> None:
    assert detected({**names, "condition": condition}, K8S) is expected
