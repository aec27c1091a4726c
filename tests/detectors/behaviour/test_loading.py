"""Definitions as they are written: what loads, and what is refused where and why."""

from __future__ import annotations

import pytest

from collector.decoders import DECODERS
from detectors.behaviour.first_seen import Settings
from detectors.behaviour.loading import is_behaviour
from detectors.loading import check_rules, load_rules
from detectors.packs import shipped_pack_texts
from detectors.rule import RuleText
from vedette.schema.event import LogSource
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind

TEXT = """
title: News
id: news
level: high
tags: [attack.t1078]
logsource: {product: vedette, category: call}
detection:
  own: {actor|startswith: 'system:serviceaccount:', verb: [get, list]}
  condition: own
behaviour:
  type: first_seen
  by: [actor]
  value: [verb, resource]
  learn_for: 3d
vedette: {controls: [AC-6], covers: [C1]}
"""
HOUR_NS = 3600 * SECOND_NS


def text(content: str = TEXT, path: str = "b.yml") -> RuleText:
    return RuleText(path, content, "mine")


def test_a_definition_says_what_it_is() -> None:
    (found,) = load_rules([text()]).definitions
    assert (found.info.rule_id, found.info.level, found.info.attack) == ("news", Level.HIGH, ("T1078",))
    assert (found.type, found.kind, found.by, found.value) == (
        "first_seen",
        Kind.CALL,
        ("actor",),
        ("verb", "resource"),
    )
    assert isinstance(found.settings, Settings)
    assert found.settings.learn_for_ns == 72 * HOUR_NS
    assert found.covers == ("C1",)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        pytest.param("title: News", "title: Olds", False, id="title"),
        pytest.param("level: high", "level: low", False, id="level"),
        pytest.param("learn_for: 3d", "learn_for: 72h", False, id="the same length"),
        pytest.param("learn_for: 3d", "learn_for: 4d", True, id="another length"),
        pytest.param("[get, list]", "[get]", True, id="what it looks at"),
        pytest.param("by: [actor]", "by: [actor, namespace]", True, id="of whom"),
        pytest.param("value: [verb, resource]", "value: [resource, verb]", True, id="what"),
    ],
)
def test_what_makes_it_learn_anew(old: str, new: str, *, changes: bool) -> None:
    (one,), (other,) = (load_rules([text(content)]).definitions for content in (TEXT, TEXT.replace(old, new)))
    assert (one.content_hash != other.content_hash) is changes


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("first_seen", "first_sen", "b.yml:11:9: 'first_sen' is no type of detector", id="type"),
        pytest.param(
            "by: [actor]", "by: [actr]", "b.yml:12:8: there is no field 'actr'; did you mean 'actor'", id="by"
        ),
        pytest.param("by: [actor]", "by: actor", "b.yml:12:7: by is a list of at most 5 fields", id="no list"),
        pytest.param("by: [actor]", "by: [a, b, c, d, e, f]", "at most 5", id="too many fields"),
        pytest.param("3d", "3 days", "b.yml:14:14: '3 days' is no length of time", id="length"),
        pytest.param("3d", "0d", "'0d' is no length of time", id="no time at all"),
        pytest.param("learn_for", "lern_for", "unknown key 'lern_for'; did you mean 'learn_for'", id="key"),
        pytest.param("  learn_for: 3d", "  values_max: 0", "b.yml:14:15: Expected `int` >= 1", id="bounds"),
        pytest.param("category: call", "category: flow", "category one of call", id="raw flows"),
        pytest.param("product: vedette", "product: linux", "product: vedette", id="log source"),
        pytest.param("verb: [get", "verv: [get", "observations have no field 'verv'", id="selection"),
        pytest.param("condition: own", "condition: wn", "b.yml:9:", id="condition"),
        pytest.param("level: high", "level: hi", "b.yml:4:", id="level"),
        pytest.param("behaviour:\n  type: first_seen", "behaviour: first_seen #", "behaviour must be", id="section"),
        pytest.param("behaviour:", "behavior:", "", id="another spelling is a rule of Sigma's"),
    ],
)
def test_refusals(old: str, new: str, said: str) -> None:
    assert old in TEXT
    content = TEXT.replace(old, new)
    if new == "behaviour: first_seen #":
        content = content[: content.index("  by:")]
    loaded = load_rules([text(content)])
    if said:
        assert said in "\n".join(map(str, loaded.errors))
    assert not loaded.definitions


def test_an_id_is_taken_once() -> None:
    (error,) = load_rules([text(), text(path="c.yml")]).errors
    assert str(error).startswith("c.yml:3")
    assert "taken by b.yml:2" in str(error)


def test_one_that_is_broken_keeps_no_other_from_loading() -> None:
    loaded = load_rules([text(TEXT + "\n---\n" + TEXT.replace("id: news", "id: other").replace("3d", "x"))])
    assert [found.info.rule_id for found in loaded.definitions] == ["news"]
    assert len(loaded.errors) == 1


def test_check_tells_of_it_too() -> None:
    problems = check_rules([text(TEXT.replace("3d", "x"))], [])
    assert ["b.yml:14:14" in str(problem) and "no length of time" in str(problem) for problem in problems] == [True]


RULE = """
title: A rule
id: rule
logsource: {product: kubernetes, service: audit}
detection: {sel: {verb: get}, condition: sel}
"""


def test_rules_may_stand_beside_it() -> None:
    loaded = load_rules([text(f"{RULE}\n---\n{TEXT}\n---\n{RULE.replace('id: rule', 'id: other')}")])
    assert not loaded.errors
    assert [rule.info.rule_id for rule in loaded.rules] == ["rule", "other"]
    assert [found.info.rule_id for found in loaded.definitions] == ["news"]
    assert not check_rules([text(f"{TEXT}\n---\n{RULE}")], [LogSource("kubernetes", "audit")])


def test_what_can_not_be_read_is_told_once() -> None:
    for content in (f"{TEXT}\n---\n{{", f"{RULE}\n---\n{TEXT}\n---\n{{"):
        assert len(load_rules([text(content)]).errors) == 1


def test_rules_are_no_behaviour() -> None:
    assert not is_behaviour("title: x\ndescription: |\n  behaviour of pods\n")
    assert is_behaviour(TEXT)


def test_all_that_ship_load() -> None:
    texts = [found for found in shipped_pack_texts() if found.pack == "behaviour"]
    loaded = load_rules(texts)
    assert not loaded.errors
    assert len(loaded.definitions) >= len(texts)
    assert not check_rules(texts, [source for decoder in DECODERS.values() for source in decoder.logsources])
