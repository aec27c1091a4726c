"""What a reload says that it changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.decoders import DECODERS
from vedette.app.config import Rules
from vedette.app.rule_set import NAMES_MAX, RuleSet, changes_between, read_rule_set
from vedette.schema.errors import ConfigError, RuleError
from vedette.schema.settings import DetectionSettings, decode_settings


def rule(number: int, verb: str = "create") -> str:
    return f"""title: Rule {number}
id: r{number}
logsource: {{product: kubernetes, service: audit}}
detection: {{selection: {{verb: {verb}}}, condition: selection}}
---
"""


LEARNING = """title: News
id: news
level: low
logsource: {product: vedette, category: call}
detection: {own: {actor: x}, condition: own}
behaviour: {type: first_seen, by: [actor], value: [verb], learn_for: 7d}
---
"""
EXCEPTION = """title: Robots
filter: {rules: [r1], robots: {user.username: robot}, condition: not robots}
vedette: {owner: me}
---
"""


def read(
    folder: Path,
    *texts: str,
    packs: tuple[str, ...] = (),
    shadow: tuple[str, ...] = (),
    heard: tuple[str, ...] = (),
) -> RuleSet:
    (folder / "rules.yml").write_text("".join(texts))
    configured = Rules(packs=list(packs), paths=[str(folder)], shadow=list(shadow), heard=list(heard))
    return read_rule_set(configured, DetectionSettings(cluster="c"), DECODERS)


def changed(
    folder: Path, before: tuple[str, ...], after: tuple[str, ...], **more: tuple[str, ...]
) -> dict[str, tuple[int, tuple[str, ...]]]:
    old, new = read(folder, *before), read(folder, *after, **more)
    found = changes_between(old.inventory, new.inventory)
    return {kind: (delta.count, delta.names) for kind, delta in found.items()}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param((rule(1),), (rule(1),), {}, id="nothing"),
        pytest.param((rule(1),), ("# moved\n", rule(1)), {}, id="only the layout"),
        pytest.param(
            (rule(1),), (rule(2),), {"rules_added": ["Rule 2"], "rules_removed": ["Rule 1"]}, id="another rule"
        ),
        pytest.param((rule(1),), (rule(1, "delete"),), {"rules_changed": ["Rule 1"]}, id="what it detects"),
        pytest.param(
            (rule(1), rule(2)),
            (rule(1), rule(2), EXCEPTION),
            {"rules_changed": ["Rule 1"], "exceptions_added": ["Robots"]},
            id="an exception",
        ),
        pytest.param(
            (rule(1), EXCEPTION),
            (rule(1), EXCEPTION.replace("owner: me", "owner: you")),
            {"exceptions_changed": ["Robots"]},
            id="who answers for it",
        ),
        pytest.param((rule(1), LEARNING), (rule(1), LEARNING), {}, id="the same behaviour"),
        pytest.param((rule(1),), (rule(1), LEARNING), {"rules_added": ["News"]}, id="behaviour added"),
        pytest.param((rule(1), LEARNING), (rule(1),), {"rules_removed": ["News"]}, id="behaviour removed"),
        pytest.param(
            (LEARNING,), (LEARNING.replace("7d", "8d"),), {"rules_changed": ["News"]}, id="how long it learns"
        ),
        pytest.param(
            (LEARNING,), (LEARNING.replace("level: low", "level: high"),), {"rules_changed": ["News"]}, id="its level"
        ),
    ],
)
def test_changes(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...], expected: dict[str, list[str]]
) -> None:
    found = changed(tmp_path, before, after)
    assert found == {kind: (len(names), tuple(names)) for kind, names in expected.items()}


def test_packs_and_shadow(tmp_path: Path) -> None:
    found = changed(tmp_path, (rule(1),), (rule(1),), packs=("starter",), shadow=("Rule 1",))
    assert found["packs_added"] == (1, ("starter",))
    assert found["shadow_added"] == (1, ("Rule 1",))


def test_what_is_heard_again_is_told(tmp_path: Path) -> None:
    found = changed(tmp_path, (rule(1),), (rule(1),), heard=("falco:X", "Rule 1"))
    assert found == {"heard_added": (2, ("falco:X", "Rule 1"))}


def test_names_are_bounded(tmp_path: Path) -> None:
    found = changed(tmp_path, (rule(0),), tuple(rule(number) for number in range(50)))
    count, names = found["rules_added"]
    assert (count, len(names)) == (49, NAMES_MAX)


def test_shadow_is_part_of_the_settings(tmp_path: Path) -> None:
    found = read(tmp_path, rule(1), shadow=("r1",), heard=("falco:X",))
    settings = decode_settings(found.settings)
    assert (settings.cluster, settings.shadow, settings.heard) == ("c", ("r1",), ("falco:X",))


@pytest.mark.parametrize("key", ["shadow", "heard"])
def test_a_name_that_nothing_has_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"rules\.{key}: no pack, rule id or title is `Rule 2`"):
        read(tmp_path, rule(1), **{key: ("Rule 2",)})


def test_a_rule_that_can_not_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError):
        read(tmp_path, rule(1), rule(2).replace("condition: selection", "condition: nothing"))
