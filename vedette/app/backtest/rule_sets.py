"""Rules to try, from the words of the command line.

`running`      the rules of the log: those that the agent had at each time
`configured`   the packs and paths of the configuration
a pack         by its name, such as `starter`
a path         a file or folder of rules
a rule         of the configured ones or of the packs, by its id or exact title
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.packs import read_rule_files, shipped_pack_texts
from vedette.app.wiring import read_rules
from vedette.pipeline.rulesets import compile_rules, encode_rules
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detectors.alert_info import AlertInfo
    from detectors.behaviour.definition import Definition
    from detectors.correlation.definition import Correlation
    from detectors.rule import Rule, RuleText
    from vedette.app.config import Rules

RUNNING: Final = "running"
CONFIGURED: Final = "configured"


def find_rules(words: Sequence[str], configured: Rules) -> Engine | None:
    """Compile the rules that words name, together; None for those of the log.

    Raises:
        ConfigError: a word names nothing. RuleError: a rule can't be used.
    """
    if RUNNING in words:
        if len(words) > 1:
            raise ConfigError(f"`{RUNNING}` stands alone: it is the rules that the agent had, and others beside them")
        return None
    texts: dict[str, RuleText] = {}
    titles: list[str] = []
    for word in words:
        found = _texts(word, configured)
        titles += [] if found else [word]
        texts |= {text.path: text for text in found}
    whole = compile_rules(encode_rules(texts.values(), configured.falco.options()), DECODERS)
    return whole if not titles else _joined([whole, *_named(titles, configured)])


def _texts(word: str, configured: Rules) -> list[RuleText]:
    """Read the texts that a word names; none if it can only be a rule."""
    if word == CONFIGURED:
        return read_rules(configured)
    shipped = [text for text in shipped_pack_texts() if text.pack == word]
    return shipped or (read_rule_files([word]) if Path(word).exists() else [])


def _named(words: Sequence[str], configured: Rules) -> Iterator[Engine]:
    """Choose rules by their ids or titles: of the configured ones, and else of the packs."""
    titles = [RUNNING, CONFIGURED]
    missing = list(words)
    for texts in (read_rules(configured), shipped_pack_texts()):
        there = compile_rules(encode_rules(texts, configured.falco.options()), DECODERS)
        chosen = {word: engine for word in missing if (engine := _chosen(word, there)) is not None}
        yield from chosen.values()
        missing = [word for word in missing if word not in chosen]
        if not missing:
            return
        titles += [info.title for info in there.infos]
    close = difflib.get_close_matches(missing[0], titles, n=1)
    meant = f"did you mean `{close[0]}`?" if close else "`vedette rules list` shows the rules"
    raise ConfigError(f"`{missing[0]}` is no path, no pack, and no rule's id or title; {meant}")


def _chosen(word: str, there: Engine) -> Engine | None:
    """Choose a rule, a detector of behaviour, or a correlation with what it refers to."""
    wanted = {info.rule_id for info in there.infos if word in (info.rule_id, info.title)}
    if not wanted:
        return None
    for correlation in reversed(there.correlations):  # those that others refer to come before them
        if correlation.info.rule_id in wanted:
            wanted |= {member.rule_id for member in correlation.members}
    rules = [rule for rule in there.rules if rule.info.rule_id in wanted]
    correlations = [over for over in there.correlations if over.info.rule_id in wanted]
    definitions = [found for found in there.definitions if found.info.rule_id in wanted]
    return Engine(rules, DECODERS, correlations, alerts=there.alerts, definitions=definitions)


def _joined(engines: Iterable[Engine]) -> Engine:
    """Join sets; of a rule that is in several, the first one stays."""
    rules: dict[str, Rule] = {}
    over: dict[str, Correlation] = {}
    alerts: dict[str, AlertInfo] = {}
    definitions: dict[str, Definition] = {}
    for engine in engines:
        alerts |= engine.alerts
        rules |= {rule.info.rule_id: rule for rule in engine.rules if rule.info.rule_id not in rules}
        over |= {each.info.rule_id: each for each in engine.correlations if each.info.rule_id not in over}
        definitions = {found.info.rule_id: found for found in engine.definitions} | definitions
    return Engine(
        list(rules.values()), DECODERS, list(over.values()), alerts=alerts, definitions=list(definitions.values())
    )
