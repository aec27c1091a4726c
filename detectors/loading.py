"""Rule texts in, rules out, whatever language they are written in.

One text has one language: a YAML file whose first document is a list of Falco's items is Falco's, every other one is
Sigma's. Falco's files build on each other, so all of a set are loaded together, in their order. Correlations of Sigma
may refer to Falco's rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import yaml

from detectors import sigma
from detectors.alert_table import is_alert_table, load_alert_tables
from detectors.behaviour.loading import has_behaviour, is_behaviour, load_definitions
from detectors.behaviour.types import SETTINGS
from detectors.falco import load_falco_rules
from detectors.falco.diagnostics import Diagnostic
from detectors.falco.documents import DEPTH_MAX, TEXT_CHARS_MAX
from detectors.falco.evaluation import FalcoOptions, engine_rules
from detectors.rule import LoadedRules, RuleText
from detectors.sigma.check import Problem, Severity, refused
from detectors.sigma.check import check_rules as check_sigma
from detectors.sigma.loading import Loading
from vedette.schema.event import LogSource

_DEFAULTS: Final = FalcoOptions()
_ITEMS: Final = frozenset(("rule", "macro", "list", "required_engine_version", "required_plugin_versions"))
_ITEM_DEPTH: Final = 2
"""How deep a mapping lies that is an item of a document's list."""
_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))


def load_rules(texts: Iterable[RuleText], *, falco: FalcoOptions = _DEFAULTS) -> LoadedRules:
    """Load every rule of the texts; what can't be used is reported with its place. Sigma's rules come first."""
    kinds = by_kind(texts)
    loaded = load_falco_rules(kinds.falco)
    others = engine_rules(loaded.rules, falco)
    found = sigma.load_rules(kinds.sigma, others=others)
    tables = load_alert_tables(kinds.alerts)
    behaviour = load_definitions(kinds.behaviour, SETTINGS, found.infos)
    errors = (*found.errors, *loaded.errors, *tables.errors, *behaviour.errors)
    alerts = MappingProxyType(tables.alerts)
    return LoadedRules(found.rules, errors, found.correlations, alerts, behaviour.definitions)


def check_rules(texts: Iterable[RuleText], provided: Sequence[LogSource], today: str = "") -> list[Problem]:
    """Return everything wrong with rule texts, in the order of path, line and column.

    `provided` are the log sources that there are events of. `today` (`2026-12-31`) tells which exceptions have expired.
    """
    kinds = by_kind(texts)
    loaded = load_falco_rules(kinds.falco)
    others = engine_rules(loaded.rules, _DEFAULTS)
    loading = Loading(kinds.sigma, ours=True, defaults={}, others=others)
    found = loading.finish()
    problems = check_sigma(loading, found, provided, today)
    problems += [refused(error) for error in load_alert_tables(kinds.alerts).errors]
    problems += [refused(error) for error in load_definitions(kinds.behaviour, SETTINGS, found.infos).errors]
    problems += [_problem(failure, Severity.ERROR) for failure in loaded.failures]
    problems += [_problem(warning, Severity.WARNING) for warning in loaded.warnings]
    for rule, other in zip(loaded.rules, others, strict=True):
        if other.idle and rule.enabled:
            problems.append(Problem(*rule.place, Severity.WARNING, "dead-rule", f"rule {rule.name!r}: {other.idle}"))
    return sorted(set(problems))


def _problem(found: Diagnostic, severity: Severity) -> Problem:
    return Problem(found.path, found.line, found.column, severity, found.code, found.text)


# --- languages --------------------------------------------------------------------------------------------------------
class Kinds(NamedTuple):
    """Texts by what they are: rules of either language, tables of what is said of alerts, detectors of behaviour."""

    sigma: list[RuleText]
    falco: list[RuleText]
    alerts: list[RuleText]
    behaviour: list[RuleText]


def by_kind(texts: Iterable[RuleText]) -> Kinds:
    """Tell texts apart, each kind in their order."""
    found = Kinds([], [], [], [])
    for text in texts:
        _kind_of(text, found).append(text)
        if has_behaviour(text.text) and text not in found.behaviour:
            found.behaviour.append(text)  # among rules
    return found


def _kind_of(text: RuleText, kinds: Kinds) -> list[RuleText]:
    if is_falco(text.text):
        return kinds.falco
    if is_alert_table(text.text):
        return kinds.alerts
    return kinds.behaviour if is_behaviour(text.text) else kinds.sigma


def is_falco(text: str) -> bool:
    """Say whether a text is in Falco's rule language; one that can't be read is in none.

    It reads no further than to the first item that tells, and nothing but the parser's events, which are not recursive.
    """
    if len(text) > TEXT_CHARS_MAX:
        return False
    try:
        return any(key in _ITEMS for key in _keys_of_items(text))
    except (yaml.YAMLError, ValueError):
        return False


def _keys_of_items(text: str) -> Iterator[str]:
    """Yield the keys of the mappings in the lists that documents are, up to the first document of another kind."""
    depth, is_mapping, nodes = 0, False, 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if not isinstance(event, yaml.NodeEvent):
            continue
        if depth == 0 and not isinstance(event, yaml.SequenceStartEvent) and not _is_null(event):
            return
        if depth == _ITEM_DEPTH:
            if is_mapping and nodes % 2 == 0 and isinstance(event, yaml.ScalarEvent):
                yield event.value
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:  # reading on would take time that grows faster than the text
                return
            if depth == _ITEM_DEPTH:
                is_mapping, nodes = isinstance(event, yaml.MappingStartEvent), 0


def _is_null(event: yaml.NodeEvent) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value in _NULLS
