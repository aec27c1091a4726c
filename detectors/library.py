"""Rules to look up and to look into: all rules of some texts with what they were made of, in both languages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from detectors.alert_table import load_alert_tables
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.types import SETTINGS
from detectors.falco import load_falco_rules
from detectors.falco.evaluation import FalcoOptions, engine_rules
from detectors.loading import by_kind
from detectors.predicate import Atom, atoms
from detectors.rule import AnyRule, LoadedRules, Rule, RuleText
from detectors.sigma.documents import Document
from detectors.sigma.filters import Filter, exception_of
from detectors.sigma.loading import Loading
from detectors.testing.related import Related
from vedette.schema.errors import ConfigError

_DEFAULTS: Final = FalcoOptions()


class Library:
    """Rules, correlations, detectors of behaviour and exceptions of texts.

    Of what pipelines made of a rule the first stands for it.
    """

    def __init__(self, texts: Iterable[RuleText], falco: FalcoOptions = _DEFAULTS) -> None:
        """Load the texts; `loaded.errors` tells what can't be used."""
        kinds = by_kind(texts)
        loaded = load_falco_rules(kinds.falco)
        self.falco = {rule.info.rule_id: rule for rule in loaded.rules}
        """What Falco's rules were made of, by their ids."""
        others = engine_rules(loaded.rules, falco)
        self._loading = Loading(kinds.sigma, ours=True, defaults={}, others=others)
        found = self._loading.finish()
        tables = load_alert_tables(kinds.alerts)
        behaviour = load_definitions(kinds.behaviour, SETTINGS, found.infos)
        self._behaviour = behaviour.written
        errors = (*found.errors, *loaded.errors, *tables.errors, *behaviour.errors)
        self.loaded: LoadedRules = found._replace(
            errors=errors, alerts=MappingProxyType(tables.alerts), definitions=behaviour.definitions
        )
        self.related = Related(self.loaded)
        self._places = {draft.info.rule_id: draft.places for draft in self._loading.drafts}
        self._places |= {rule_id: written.places for rule_id, written in self._behaviour.items()}
        self.rules: dict[str, AnyRule] = {}
        """Everything that has an id, by it: rules, correlations, then detectors, each in the order of the texts."""
        for rule in self.loaded.everything:
            self.rules.setdefault(rule.info.rule_id, rule)

    def find(self, name: str) -> AnyRule:
        """Return the rule with an id or a title, in any case.

        Raises:
            ConfigError: there is none, or several have the title.
        """
        found = [rule for rule in self.rules.values() if name.lower() == rule.info.rule_id.lower()]
        found = found or [rule for rule in self.rules.values() if name.lower() == rule.info.title.lower()]
        if len(found) > 1:
            ids = ", ".join(rule.info.rule_id for rule in found)
            raise ConfigError(f"{len(found)} rules have the title `{name}`; name one by its id: {ids}")
        if not found:
            close = get_close_matches(name, [rule.info.title for rule in self.rules.values()], 1)
            hint = f"did you mean `{close[0]}`?" if close else "`vedette rules list` shows ids and titles"
            raise ConfigError(f"there is no rule `{name}`; {hint}")
        return found[0]

    def variants(self, rule_id: str) -> tuple[Rule, ...]:
        """Return what pipelines made of a rule, one for each log source that it is asked on; none for others."""
        return tuple(rule for rule in self.loaded.rules if rule.info.rule_id == rule_id)

    def document(self, rule_id: str) -> Document:
        """Return the document that a rule or correlation of Sigma, or a detector of behaviour, was made of."""
        written = self._behaviour.get(rule_id)
        return self._loading.document(rule_id) if written is None else written.document

    def place(self, rule_id: str) -> tuple[str, int]:
        """Return path and line of a rule."""
        if rule_id in self.falco:
            path, number, _ = self.falco[rule_id].place
            return path, number
        path, _, line = self.document(rule_id).place().rpartition(":")
        return path, int(line)

    def clause_place(self, rule_id: str, where: str) -> tuple[str, int]:
        """Return path and line of what a place in a rule names: `selection.verb`, or the first of several."""
        keys = self._places.get(rule_id, {}).get(where.partition(", ")[0])
        if keys is None:
            return self.place(rule_id)
        error = self.document(rule_id).error("", *keys, at_key=True)
        return error.path, error.line

    def exceptions(self, rule_id: str) -> tuple[Filter, ...]:
        """Return the exceptions that join a rule, in the order of the texts."""
        found = (exception_of(atom.where) for rule in self.variants(rule_id) for atom in atoms(rule.predicate))
        titles = frozenset(found)
        return tuple(exception for exception in self._loading.filters if exception.title in titles)

    def is_own(self, rule_id: str, atom: Atom) -> bool:
        """Say whether an atom was written in a rule, and not in an exception or a pipeline."""
        return atom.where in self._places.get(rule_id, ())
