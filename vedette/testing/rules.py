"""Rules in tests: does this rule match these documents, and how is this condition read?

    from vedette.testing.rules import match

    def test_exec_is_found() -> None:
        assert match(RULE, [EXEC, GET], language="sigma") == [["Exec into a pod"], []]

Stable: names and meaning stay as they are within a major version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from detectors.falco import load_falco_rules
from detectors.falco.lexer import ConditionError
from detectors.falco.matching import Matcher as FalcoMatcher
from detectors.falco.matching import RuleMatching
from detectors.falco.parser import parse
from detectors.falco.syntax import render
from detectors.rule import RuleText
from detectors.sigma.conditions import canonical_condition
from detectors.sigma.matching import Matcher as SigmaMatcher
from vedette.schema.errors import RuleError
from vedette.schema.event import LogSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Language = Literal["sigma", "falco"]
"""Sigma (specification 2.1), or Falco's rule language."""


def match(
    rules: str,
    documents: Iterable[dict[str, Any]],
    *,
    language: Language,
    logsource: Mapping[str, str] | None = None,
    rule_matching: Literal["first", "all"] = "all",
) -> list[list[str]]:
    """Return the names of the rules that match each document, in the order of the rules.

    `rules`: the text of a rule file; a rule's name is its title (Sigma) or its name (Falco). `documents`: decoded JSON
    objects; for Falco, Kubernetes audit events, or anything that rules of the source `json` ask by `jevt`. `logsource`
    (Sigma): `product`, `service` and `category` of all documents; without it every rule is asked. `rule_matching`:
    `all` rules that match, or the `first`. Sigma correlations look at more than one document, and are not asked.

    Raises:
        RuleError: the first rule that can't be used, with its place.
    """
    if language == "falco":
        return _match_falco(rules, documents, RuleMatching(rule_matching))
    source = None if logsource is None else LogSource(*(logsource.get(key) for key in LogSource._fields))
    matcher = SigmaMatcher([RuleText("rules", rules, "")], logsource=source)
    if matcher.errors:
        raise matcher.errors[0]
    most = 1 if rule_matching == "first" else None
    return [[rule.title for rule in matcher.match(document)[:most]] for document in documents]


def _match_falco(rules: str, documents: Iterable[dict[str, Any]], rule_matching: RuleMatching) -> list[list[str]]:
    loaded = load_falco_rules([RuleText("rules", rules, "")])
    if loaded.errors:
        raise loaded.errors[0]
    matcher = FalcoMatcher(loaded.rules, rule_matching)
    return [[rule.name for rule in matcher.match_document(document)] for document in documents]


def parse_condition(text: str, language: Language) -> str:
    """Return a condition in canonical form: how it is understood, with each `and` and `or` in parentheses.

    The canonical form is a condition itself, and its own canonical form.

    Raises:
        RuleError: it can't be read; `column` says where.
    """
    if language == "sigma":
        return canonical_condition(text)
    try:
        return render(parse(text))
    except ConditionError as error:
        raise RuleError(error.message, line=1, column=error.offset + 1) from error
