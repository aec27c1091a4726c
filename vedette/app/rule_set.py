"""The rule set that the agent is told to use, as one thing: texts, settings, what they compile to, what it has in it.

A reload puts another one in force as a whole, and says how it differs from the one before.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import orjson

from detectors.loading import is_falco
from detectors.sigma.exceptions import written_exceptions
from vedette.app.wiring import read_rules
from vedette.pipeline.rulesets import encode_rules
from vedette.pipeline.unheard import shadow_ids
from vedette.pipeline.watching import compile_watching
from vedette.schema.errors import ConfigError
from vedette.schema.settings import encode_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from detectors.correlation.definition import Correlation
    from detectors.engine import Engine
    from detectors.rule import Rule, RuleText
    from vedette.app.config import Rules
    from vedette.schema.event import Decoder
    from vedette.schema.rule import RuleInfo
    from vedette.schema.settings import DetectionSettings

NAMES_MAX: Final = 20
"""Names that a report of changes has of each kind, beside their count."""

Inventory = dict[str, dict[str, tuple[str, str]]]
"""What a rule set has in it, by kind: for each thing its name for people, and a hash of its content.

Correlations and detectors of behaviour are among the rules.
"""


class RuleSet(NamedTuple):
    """Everything about rules that the log is told, and what it compiles to."""

    rules: bytes
    settings: bytes
    engine: Engine
    watching: Engine
    inventory: Inventory


class Delta(msgspec.Struct, frozen=True):
    """How many things changed in one way, and the first of their names."""

    count: int
    names: tuple[str, ...]


Changes = dict[str, Delta]
"""By kind and way: `rules_added`, `exceptions_removed`, `shadow_added` …; nothing for what did not change."""


def read_rule_set(
    configured: Rules, settings: DetectionSettings, decoders: Mapping[str, Decoder], cache: Path | None = None
) -> RuleSet:
    """Read and compile what is configured; blocks, for seconds where there are thousands of rules.

    Raises:
        ConfigError: a pack, a path or a name in shadow is not there. RuleError: a rule can't be used.
    """
    settings = msgspec.structs.replace(settings, shadow=tuple(configured.shadow), heard=tuple(configured.heard))
    texts = read_rules(configured)
    content = encode_rules(texts, configured.falco.options())
    engine, watching = compile_watching(content, decoders, cache)
    check_names(configured, engine.infos)
    inventory = _inventory(configured, texts, engine)
    return RuleSet(content, encode_settings(settings), engine, watching, inventory)


def changes_between(old: Inventory, new: Inventory) -> Changes:
    """Compare what is in force with what is to be."""
    changes: Changes = {}
    for kind, after in new.items():
        before = old.get(kind, {})
        both = [key for key in after if key in before]
        for way, found in (
            ("added", [after[key][0] for key in after if key not in before]),
            ("removed", [before[key][0] for key in before if key not in after]),
            ("changed", [after[key][0] for key in both if before[key][1] != after[key][1]]),
        ):
            if found:
                changes[f"{kind}_{way}"] = Delta(len(found), tuple(found[:NAMES_MAX]))
    return changes


def check_names(configured: Rules, rules: Sequence[RuleInfo]) -> None:
    """See to it that each name in `shadow` and `heard` is that of a pack or a rule.

    Raises:
        ConfigError: one is not; with a typing error a rule would alert.
    """
    for key, names in (("shadow", configured.shadow), ("heard", configured.heard)):
        for name in names:
            if not shadow_ids([name], rules):
                message = f"rules.{key}: no pack, rule id or title is `{name}`; `vedette rules list` shows them"
                raise ConfigError(message)


def _inventory(configured: Rules, texts: Iterable[RuleText], engine: Engine) -> Inventory:
    rules: dict[str, tuple[str, str]] = {}
    matched: list[Rule | Correlation] = [*engine.rules, *engine.correlations]
    for rule in matched:
        title, known = rules.get(rule.info.rule_id, (rule.info.title, ""))
        rules[rule.info.rule_id] = (title, known + rule.content_hash)  # a rule may be several, one a log source
    for one in engine.definitions:
        said = msgspec.json.encode((one.content_hash, msgspec.structs.replace(one.info, pack="")))
        rules[one.info.rule_id] = (one.info.title, _digest(said))  # its hash leaves out what it says of itself
    exceptions = {
        found.exception_id or found.title: (found.title, _digest(orjson.dumps(found.document.data, default=str)))
        for found in written_exceptions(text for text in texts if not is_falco(text.text))
    }
    named = {"packs": configured.packs, "shadow": configured.shadow, "heard": configured.heard}
    return {
        "rules": rules,
        "exceptions": exceptions,
        **{kind: {name: (name, "") for name in names} for kind, names in named.items()},
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
