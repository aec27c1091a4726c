"""Processing pipelines among the rules: what they do to rules and filters, and what is refused."""

from typing import Any

import pytest
import yaml

from detectors.predicate import atoms
from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.sigma.matching import Matcher

RULE = """\
title: T
id: t
logsource: {product: p, category: c}
detection:
  sel: {Image|endswith: '\\bash', User: '%people%'}
  condition: sel
"""
PLAIN = RULE.replace(", User: '%people%'", "")


def pipeline(*steps: dict[str, Any], **settings: Any) -> str:
    return yaml.safe_dump({"name": "p", "transformations": list(steps), **settings}, sort_keys=False)


MAPPING = {"type": "field_name_mapping", "mapping": {"Image": "proc.exepath", "User": ["user.name", "user.uid"]}}
VALUES = {"type": "value_placeholders"}
PEOPLE = {"people": ["ann", "bob"]}


@pytest.mark.parametrize("order", [1, -1], ids=["after", "before"])
def test_fields_are_mapped_and_placeholders_filled(order: int) -> None:
    text = RULE.replace("User:", "User|expand:")
    matcher = Matcher([text, pipeline(MAPPING, VALUES, vars=PEOPLE)][::order])
    assert matcher.errors == ()
    assert matcher.match({"proc": {"exepath": "C:\\bash"}, "user.uid": "BOB"})
    assert not matcher.match({"proc": {"exepath": "C:\\bash"}, "user.uid": "eve"})
    assert not matcher.match({"Image": "C:\\bash", "User": "bob"})


def test_an_explanation_names_the_field_as_it_was_written() -> None:
    loaded = load_rules([RuleText("r.yml", PLAIN, ""), RuleText("p.yml", pipeline(MAPPING), "")])
    assert [(atom.where, atom.field) for atom in atoms(loaded.rules[0].predicate)] == [("sel.Image", "proc.exepath")]


def test_pipelines_work_by_priority() -> None:
    first = pipeline({"type": "field_name_mapping", "mapping": {"Image": "x"}}, priority=1)
    second = pipeline({"type": "field_name_mapping", "mapping": {"x": "y"}}, priority=2)
    assert Matcher([PLAIN, second, first]).match({"y": "a\\bash"})


def test_a_placeholder_without_values_in_its_pipeline_refuses_the_rule() -> None:
    text = RULE.replace("User:", "User|expand:")
    (error,) = Matcher([RuleText("r.yml", text, ""), pipeline(VALUES, vars={"other": ["x"]})]).errors
    assert str(error).startswith("r.yml:1:1: a processing pipeline refuses it:")
    assert "people" in error.message


@pytest.mark.parametrize(
    "step",
    [
        {"type": "field_name_mapping", "mapping": {"Image": ["x", 5]}},
        {"type": "change_logsource", "product": "p", "category": []},
    ],
    ids=["field", "log source"],
)
def test_names_that_are_no_texts_refuse_the_rule(step: dict[str, Any]) -> None:
    (error,) = Matcher([RuleText("r.yml", PLAIN, ""), pipeline(step)]).errors
    assert str(error).startswith("r.yml:1:1: a processing pipeline names a field or log source by ")


def test_a_value_that_is_mapped_to_none_matches_nothing() -> None:
    text = PLAIN.replace("Image|endswith: '\\bash'", "Image: sh")
    matcher = Matcher([text, pipeline({"type": "map_string", "mapping": {"sh": []}})])
    assert matcher.errors == ()
    assert not matcher.match({"Image": "sh"})
    assert not matcher.match({})


def test_a_filter_is_mapped_as_the_rules_that_it_joins() -> None:
    exception = "title: F\nlogsource: {product: p}\nfilter: {rules: [t], x: {User: ann}, condition: not x}\n"
    matcher = Matcher([PLAIN, exception, pipeline(MAPPING)])
    assert matcher.errors == ()
    event = {"proc": {"exepath": "\\bash"}}
    assert matcher.match(event | {"user.name": "bob"})
    assert not matcher.match(event | {"user.name": "ann"})


def test_added_conditions_are_the_same_each_time() -> None:
    texts = [
        RuleText("r.yml", PLAIN, ""),
        RuleText("p.yml", pipeline({"type": "add_condition", "conditions": {"k": 1}}), ""),
    ]
    one, two = load_rules(texts), load_rules(texts)
    assert one == two
    assert [atom.where for atom in atoms(one.rules[0].predicate)] == ["_added_0.k", "sel.Image"]


def test_a_pipeline_can_refuse_rules() -> None:
    step = {"type": "rule_failure", "message": "not here", "rule_conditions": [{"type": "logsource", "product": "p"}]}
    (error,) = Matcher([RuleText("r.yml", PLAIN, ""), pipeline(step)]).errors
    assert str(error) == "r.yml:1:1: a processing pipeline refuses it: not here"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (pipeline({"type": "nope"}), "p.yml:3:3: Unknown transformation type 'nope'"),
        (pipeline({"type": "field_name_mapping"}), "p.yml:3:3: Error in transformation:"),
        (pipeline({"mapping": {}}), "p.yml:3:3: Missing transformation type"),
        (
            pipeline({"type": "command_placeholders", "command": "id"}),
            "p.yml:3:9: command_placeholders reads from outside",
        ),
        (
            pipeline({"type": "nest", "items": [{"type": "file_placeholders", "path": "/etc/passwd"}]}),
            "p.yml:5:11: file_placeholders reads from outside",
        ),
        (pipeline(priority="high"), "p.yml:3:11: priority must be a number"),
        (pipeline(vars=[1]), "p.yml:4:1: vars must be a mapping"),
        (pipeline(finalizers=[]), "p.yml:3:1: finalizers works on queries"),
        (pipeline(postprocessing=[]), "p.yml:3:1: postprocessing works on queries"),
        (pipeline(title="x"), "p.yml:3:1: unknown key 'title'"),
        ("transformations: 5\n", "p.yml:1:18: transformations must be a list"),
        ("transformations: [5]\n", "p.yml:1:19: a step is a mapping with a type"),
    ],
)
def test_what_a_pipeline_may_not_do(text: str, expected: str) -> None:
    loaded = load_rules([RuleText("p.yml", text, ""), RuleText("r.yml", PLAIN, "")])
    assert len(loaded.rules) == 1
    assert str(loaded.errors[0]).startswith(expected)
