"""Sigma texts in, rules out: every document either becomes a rule, changes rules, or is reported with its place.

Filters (Sigma specification 2.1) are lowered like rules and joined with And to each rule that they name, which is what
pySigma does with the text of conditions, but without its random names. The result depends on nothing but the texts and
their order.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sigma.correlations import SigmaRuleReference
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from detectors.predicate import Predicate, all_of
from detectors.rule import LoadedRules, Rule, RuleTest, RuleText, content_hash
from detectors.sigma.documents import Document, read_documents
from detectors.sigma.lower import lower_detections
from detectors.sigma.metadata import Metadata
from detectors.sigma.parsing import parse
from detectors.values import is_object
from vedette.schema.errors import RuleError
from vedette.schema.event import LogSource
from vedette.schema.rule import RuleInfo


class _Draft(NamedTuple):
    """A rule on its way, before filters."""

    document: Document
    sigma: SigmaRule
    predicate: Predicate
    info: RuleInfo
    tests: tuple[RuleTest, ...]


class _Exception(NamedTuple):
    """A filter: what must hold besides, for the rules that it names."""

    document: Document
    sigma: SigmaFilter
    predicate: Predicate


def load_rules(sources: Iterable[RuleText]) -> LoadedRules:
    """Load every rule of the texts. A rule with any error is left out and all its errors are reported; others stay."""
    loading = _Loading()
    for source in sources:
        loading.read(source)
    return loading.finish()


class _Loading:
    def __init__(self) -> None:
        self._drafts: list[_Draft] = []
        self._filters: list[_Exception] = []
        self._errors: list[RuleError] = []
        self._owners: dict[str, Document] = {}

    def read(self, source: RuleText) -> None:
        """Take in one text."""
        for found in _merged(read_documents(source)):
            try:
                if isinstance(found, RuleError):
                    raise found
                self._take(found)
            except RuleError as error:
                self._errors.append(error)

    def finish(self) -> LoadedRules:
        """Apply the filters and return what was loaded."""
        rules = tuple(self._finished(draft) for draft in self._drafts)
        for exception in self._filters:
            self._report_unused(exception)
        return LoadedRules(rules, tuple(self._errors))

    def _take(self, document: Document) -> None:
        if "correlation" in document.data:
            raise document.error("correlation rules are not supported yet", "correlation", at_key=True)
        if "filter" in document.data:
            self._take_filter(document)
        else:
            self._take_rule(document)

    def _take_filter(self, document: Document) -> None:
        parsed = parse(SigmaFilter, document, self._errors)
        if parsed is not None:
            predicate = lower_detections(parsed.filter, document, "filter", f"{parsed.title}: ")
            self._filters.append(_Exception(document, parsed, predicate))

    def _take_rule(self, document: Document) -> None:
        parsed = parse(SigmaRule, document, self._errors)
        if parsed is None:
            return
        metadata = Metadata(parsed, document)
        draft = _Draft(
            document,
            parsed,
            lower_detections(parsed.detection, document, "detection"),
            metadata.info(),
            metadata.tests(),
        )
        if metadata.errors:
            self._errors.extend(metadata.errors)
            return
        owner = self._owners.setdefault(draft.info.rule_id, document)
        if owner is not document:
            raise document.error(f"the rule id {draft.info.rule_id} is taken by {owner.place()}", "id")
        self._drafts.append(draft)

    def _finished(self, draft: _Draft) -> Rule:
        applied = [found.predicate for found in self._filters if _applies(found.sigma, draft.sigma)]
        predicate = all_of([draft.predicate, *applied])
        source = draft.sigma.logsource
        logsource = LogSource(source.product, source.service, source.category)
        return Rule(draft.info, logsource, predicate, content_hash(draft.info, logsource, predicate), draft.tests)

    def _report_unused(self, exception: _Exception) -> None:
        """Report the rules that a filter names in vain: a filter that does nothing is a mistake."""
        references = exception.sigma.filter.rules
        for position, reference in enumerate(references if isinstance(references, list) else []):
            named = [draft.sigma for draft in self._drafts if _refers(reference, draft.sigma)]
            if not named:
                reason = "is not loaded"
            elif not any(_applies(exception.sigma, rule) for rule in named):
                reason = "is of another log source"
            else:
                continue
            message = f"the filter names the rule {reference.reference!r}, which {reason}"
            self._errors.append(exception.document.error(message, "filter", "rules", position))


def _refers(reference: SigmaRuleReference, rule: SigmaRule) -> bool:
    return reference.reference.lower() == str(rule.id) or reference.reference == rule.name


def _applies(exception: SigmaFilter, rule: SigmaRule) -> bool:
    if rule.logsource not in exception.logsource:
        return False
    references = exception.filter.rules
    return not isinstance(references, list) or any(_refers(reference, rule) for reference in references)


def _merged(found: Iterable[Document | RuleError]) -> Iterator[Document | RuleError]:
    """Carry out the collection actions of one file: `global`, `reset` and `repeat` (Sigma specification 1.0)."""
    common: dict[str, Any] = {}
    previous: dict[str, Any] = {}
    for item in found:
        if isinstance(item, RuleError):
            yield item
            continue
        data = copy.deepcopy(item.data)
        action = data.pop("action", None)
        if action == "global":
            common = previous = data
        elif action == "reset":
            common = {}
        elif action == "repeat":
            previous = _updated(previous, data)
            yield item._replace(data=previous)
        elif action is not None:
            yield item.error(f"unknown action {action!r}; known are global, reset and repeat", "action")
        elif "correlation" in data or "filter" in data:
            yield item
        else:
            previous = _updated(data, common)
            yield item._replace(data=previous)


def _updated(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `update`, mapping by mapping."""
    merged = dict(base)
    for key, value in update.items():
        old = merged.get(key)
        merged[key] = _updated(old, value) if is_object(old) and is_object(value) else value
    return merged
