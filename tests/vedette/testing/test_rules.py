"""The kit's `match` and `parse_condition`, as authors of rules use them."""

from __future__ import annotations

from typing import Any

import pytest

from vedette.schema.errors import RuleError
from vedette.testing.rules import Language, match, parse_condition

SIGMA = """
title: Exec into a pod
logsource: {product: kubernetes, service: audit}
detection:
  selection: {objectRef.subresource: exec}
  condition: selection
---
title: Any create
logsource: {product: kubernetes}
detection:
  selection: {verb: create}
  condition: selection
---
title: Windows
logsource: {product: windows}
detection:
  selection: {verb: create}
  condition: selection
"""
FALCO = """
- rule: Exec into a pod
  desc: x
  condition: ka.target.subresource = exec
  output: x
  priority: NOTICE
  source: k8s_audit
- rule: Any create
  desc: x
  condition: ka.verb = create
  output: x
  priority: NOTICE
  source: k8s_audit
"""
EXEC: dict[str, Any] = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "auditID": "a",
    "stage": "ResponseComplete",
    "verb": "create",
    "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "cart-0"},
}
GET = {**EXEC, "verb": "get", "objectRef": {"resource": "pods"}}


@pytest.mark.parametrize(
    ("language", "rules", "options", "found"),
    [
        pytest.param("sigma", SIGMA, {}, ["Exec into a pod", "Any create", "Windows"], id="sigma, every rule"),
        pytest.param(
            "sigma",
            SIGMA,
            {"logsource": {"product": "kubernetes", "service": "audit"}},
            ["Exec into a pod", "Any create"],
            id="sigma, of a log source",
        ),
        pytest.param("sigma", SIGMA, {"rule_matching": "first"}, ["Exec into a pod"], id="sigma, the first"),
        pytest.param("falco", FALCO, {}, ["Exec into a pod", "Any create"], id="falco, all"),
        pytest.param("falco", FALCO, {"rule_matching": "first"}, ["Exec into a pod"], id="falco, the first"),
    ],
)
def test_the_names_of_the_rules_that_match(
    language: Language, rules: str, options: dict[str, Any], found: list[str]
) -> None:
    assert match(rules, [EXEC, GET], language=language, **options) == [found, []]


@pytest.mark.parametrize(
    ("language", "rules", "place"),
    [
        pytest.param("sigma", SIGMA.replace("condition: selection", "condition: nothing"), "rules:6", id="sigma"),
        pytest.param("falco", FALCO.replace("ka.verb", "ka.verbs"), "rules:10", id="falco"),
    ],
)
def test_a_rule_that_can_not_be_used_is_refused_with_its_place(language: Language, rules: str, place: str) -> None:
    with pytest.raises(RuleError) as refused:
        match(rules, [EXEC], language=language)
    assert str(refused.value).startswith(place)


@pytest.mark.parametrize(
    ("language", "text", "canonical"),
    [
        ("sigma", "a  and b or not c", "((a and b) or not c)"),
        ("sigma", "1 of sel* and not (all of them)", "(1 of sel* and not all of them)"),
        (
            "falco",
            "proc.name=cat  and not fd.name startswith /etc",
            "(proc.name = cat and not fd.name startswith /etc)",
        ),
    ],
)
def test_conditions_are_read_one_way(language: Language, text: str, canonical: str) -> None:
    assert parse_condition(text, language) == canonical
    assert parse_condition(canonical, language) == canonical


@pytest.mark.parametrize(("language", "text", "column"), [("sigma", "a and (b", 9), ("falco", "a and (b = 1", 10)])
def test_a_condition_that_can_not_be_read_says_where(language: Language, text: str, column: int) -> None:
    with pytest.raises(RuleError) as refused:
        parse_condition(text, language)
    assert refused.value.column == column
