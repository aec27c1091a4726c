"""Sigma texts in, rules out: every document either becomes a rule, changes rules, or is reported with its place.

Filters are lowered like rules and joined with And to each rule that they name, which is what pySigma does with the text
of conditions, but without its random names. Pipelines among the texts work on rules and filters, wherever they stand.
The result depends on nothing but the texts and their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sigma.processing.pipeline import ProcessingPipeline
from sigma.rule import SigmaRule

from detectors.predicate import all_of
from detectors.rule import LoadedRules, Rule, RuleText, content_hash
from detectors.sigma.actions import merged
from detectors.sigma.correlation_drafts import CorrelationDraft
from detectors.sigma.correlation_references import Resolving
from detectors.sigma.correlations import read_correlation
from detectors.sigma.dialect import adapted
from detectors.sigma.documents import Document, Key, read_documents
from detectors.sigma.filters import Filter, Variant, read_filter
from detectors.sigma.logsource import logsource_of
from detectors.sigma.lower import lower_detections
from detectors.sigma.metadata import Metadata
from detectors.sigma.parsing import parse
from detectors.sigma.places import mark_places
from detectors.sigma.processing import Pipeline, Processing, is_pipeline, process_rule, read_pipeline
from detectors.testing.case import RuleTest
from vedette.schema.errors import RuleError
from vedette.schema.event import LogSource
from vedette.schema.rule import RuleInfo


class Draft(NamedTuple):
    """A rule before filters: what it was written for, and what each of its pipelines made of it.

    `places` leads from what an atom's `where` says to the keys of the item in the document.
    """

    document: Document
    info: RuleInfo
    name: str | None
    written_for: LogSource
    variants: tuple[Variant, ...]
    places: dict[str, tuple[Key, ...]]
    tests: tuple[RuleTest, ...]
    covers: tuple[str, ...]

    def is_meant(self, name: str) -> bool:
        """Say whether a reference is to this rule: by its id, in either case, or by its name."""
        return name.lower() == self.info.rule_id.lower() or name == self.name


def load_rules(
    sources: Iterable[RuleText],
    *,
    ours: bool = True,
    defaults: Mapping[str, Any] | None = None,
    others: Sequence[Rule] = (),
) -> LoadedRules:
    """Load every rule of the texts. A rule with any error is left out and all its errors are reported; others stay.

    `ours`: whether the pipelines that ship work on the rules, too. `defaults`: attributes for rules that lack them.
    `others`: rules of other languages, whose ids are taken; correlations may refer to them, filters apply to them as
    well, and they come last among the rules.
    """
    return Loading(sources, ours=ours, defaults=defaults or {}, others=others).finish()


class Loading:
    """Loads texts, and keeps what the rules were made of for those who check them."""

    def __init__(
        self, sources: Iterable[RuleText], *, ours: bool, defaults: Mapping[str, Any], others: Sequence[Rule] = ()
    ) -> None:
        """Read all texts; the pipelines first, since they work on every rule."""
        self.drafts: list[Draft] = []
        self.errors: list[RuleError] = []
        self._defaults = defaults
        self.filters: list[Filter] = []
        self._correlations: list[CorrelationDraft] = []
        self._owners: dict[str, Document] = {}
        self._others = others
        self._taken = {other.info.rule_id: other.info for other in others}
        found = [_unless_pipeline(item) for source in sources for item in merged(read_documents(source))]
        self._processing = Processing((item for item in found if isinstance(item, Pipeline)), ours=ours)
        for item in found:
            self._read(item)

    def finish(self) -> LoadedRules:
        """Apply the filters and return what was loaded."""
        rules = tuple(
            rule for draft in self.drafts for variant in draft.variants for rule in self._finished(draft, variant)
        )
        others = tuple(rule for other in self._others for rule in self._excepted(other))
        for exception in self.filters:
            self._report_unused(exception)
        resolving = Resolving(self._correlations, self.drafts, rules, others)
        correlations = resolving.correlations()
        return LoadedRules((*rules, *others), (*self.errors, *resolving.errors), correlations)

    def document(self, rule_id: str) -> Document:
        """Return the document that a rule or correlation was made of."""
        return self._owners[rule_id]

    def _read(self, found: Document | Pipeline | RuleError) -> None:
        try:
            if isinstance(found, RuleError):
                raise found
            if isinstance(found, Document):
                self._take(found)
        except RuleError as error:
            self.errors.append(error)

    def _take(self, document: Document) -> None:
        if "behaviour" in document.data:
            return  # `detectors.behaviour.loading` reads it
        if "correlation" in document.data:
            self._take_correlation(document)
        elif "filter" in document.data:
            self._take_filter(document)
        else:
            missing = {key: value for key, value in self._defaults.items() if document.data.get(key) is None}
            self._take_rule(document._replace(data={**document.data, **missing}))

    def _take_correlation(self, document: Document) -> None:
        draft = read_correlation(document, self.errors)
        if draft is not None:
            self._own(draft.info.rule_id, document)
            self._correlations.append(draft)

    def _take_filter(self, document: Document) -> None:
        exception = read_filter(document, self.errors)
        if exception is not None:
            pipeline = self._processing.variants(exception.logsource)[0]
            exception.predicate(
                pipeline, exception.logsource, exception.logsource
            )  # to be refused even where no rule is named
            self.filters.append(exception)

    def _take_rule(self, document: Document) -> None:
        errors: list[RuleError] = []
        data = adapted(document, errors)
        parsed = parse(SigmaRule, document, data, errors)
        draft = None if parsed is None else self._draft(parsed, document, data, errors)
        self.errors.extend(errors)
        if draft is None or errors:
            return
        self._own(draft.info.rule_id, document)
        self.drafts.append(draft)

    def _own(self, rule_id: str, document: Document) -> None:
        owner = self._owners.setdefault(rule_id, document)
        other = self._taken.get(rule_id)
        if owner is not document or other is not None:
            place = owner.place() if other is None else f"the rule {other.title!r} of {other.pack}"
            raise document.error(f"the rule id {rule_id} is taken by {place}", "id")

    def _draft(self, rule: SigmaRule, document: Document, data: dict[str, Any], errors: list[RuleError]) -> Draft:
        metadata = Metadata(rule, document)
        info, tests, covers = metadata.info(), metadata.tests(), metadata.covers()
        written_for = logsource_of(rule.logsource)
        errors.extend(metadata.errors)
        variants: list[Variant] = []
        places: dict[str, tuple[Key, ...]] = {}
        for pipeline in self._processing.variants(written_for):
            fresh = parse(SigmaRule, document, data, errors) if variants else rule  # a pipeline changes it in place
            assert fresh is not None, "it was parsed before"
            places = mark_places(fresh.detection, "detection", "")
            variants.append(_variant(pipeline, fresh, document, errors))
        return Draft(document, info, rule.name, written_for, tuple(variants), places, tests, covers)

    def _finished(self, draft: Draft, variant: Variant) -> Iterator[Rule]:
        try:
            applied = [
                found.predicate(variant.pipeline, source, variant.logsource)
                for found in self.filters
                if (source := _shared(found, draft, variant)) is not None
            ]
        except RuleError as error:
            self.errors.append(error)
            return
        predicate = all_of([variant.predicate, *applied])
        content = content_hash(draft.info, variant.logsource, predicate)
        yield Rule(draft.info, variant.logsource, predicate, content, draft.tests, draft.covers)

    def _excepted(self, other: Rule) -> Iterator[Rule]:
        """Join to a rule of another language the filters that apply to it; what it looks at has no pipelines."""
        source = other.logsource
        found = [each for each in self.filters if _names(each, other) and each.source_in(source, source) is not None]
        try:
            applied = [each.predicate(self._processing.variants(source)[0], source, source) for each in found]
        except RuleError as error:
            self.errors.append(error)
            return
        if not applied:
            yield other
            return
        predicate = all_of([other.predicate, *applied])
        content = content_hash(other.info, source, predicate, other.content_hash)
        yield msgspec.structs.replace(other, predicate=predicate, content_hash=content)

    def _report_unused(self, exception: Filter) -> None:
        """Report the rules that a filter names in vain: a filter that does nothing is a mistake."""
        for position, name in enumerate(exception.names or ()):
            named = [draft for draft in self.drafts if draft.is_meant(name)]
            others = [other for other in self._others if name in (other.info.rule_id, other.info.title)]
            sources = [other.logsource for other in others if not other.idle]
            if not named and not others:
                reason = "is not loaded"
            elif not named and not sources:
                reason = "is never asked"
            elif all(exception.source_in(source, source) is None for source in sources) and all(
                _shared(exception, draft, variant) is None for draft in named for variant in draft.variants
            ):
                reason = "is of another log source"
            else:
                continue
            message = f"the filter names the rule {name!r}, which {reason}"
            self.errors.append(exception.document.error(message, "filter", "rules", position))


def _variant(pipeline: ProcessingPipeline, rule: SigmaRule, document: Document, errors: list[RuleError]) -> Variant:
    process_rule(pipeline, rule, document)
    predicate = lower_detections(rule.detection, document, "detection", errors)
    return Variant(pipeline, logsource_of(rule.logsource), predicate)


def _shared(exception: Filter, draft: Draft, variant: Variant) -> LogSource | None:
    """Return the log source by which a filter applies to a rule; None if it does not."""
    if exception.names is not None and not any(map(draft.is_meant, exception.names)):
        return None
    return exception.source_in(draft.written_for, variant.logsource)


def _names(exception: Filter, other: Rule) -> bool:
    """Say whether a filter is for a rule of another language, by its id or title."""
    names = exception.names
    return names is None or other.info.rule_id in names or other.info.title in names


def _unless_pipeline(found: Document | RuleError) -> Document | Pipeline | RuleError:
    if isinstance(found, RuleError) or not is_pipeline(found):
        return found
    try:
        return read_pipeline(found)
    except RuleError as error:
        return error
