"""Filters: what must hold besides for a rule to match (Sigma specification 2.1, filters).

Pipelines change a filter's fields as those of the rule that it joins, so it is lowered anew for each log source.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

from sigma.filters import SigmaFilter
from sigma.processing.pipeline import ProcessingPipeline

from detectors.predicate import Atom, Op, Predicate, any_of
from detectors.sigma.dialect import adapted
from detectors.sigma.documents import Document
from detectors.sigma.logsource import contains, logsource_of
from detectors.sigma.lower import lower_detections
from detectors.sigma.metadata import SECTION, ExceptionInfo, exception_info
from detectors.sigma.parsing import parse
from detectors.sigma.places import mark_places
from detectors.sigma.processing import process_filter
from detectors.sigma.taxonomy import taxonomies_of
from vedette.schema.errors import RuleError
from vedette.schema.event import LogSource

_LABEL_END: Final = ": "
"""Stands in the places of an exception's atoms between its title and the name of the item."""


class Variant(NamedTuple):
    """What a pipeline made of a rule: for which log source, and what has to hold."""

    pipeline: ProcessingPipeline
    logsource: LogSource
    predicate: Predicate


class Filter:
    """A filter that was parsed."""

    def __init__(self, document: Document, data: dict[str, Any], parsed: SigmaFilter, info: ExceptionInfo) -> None:
        """Take over what was parsed of a document (`data` is what it became for pySigma)."""
        self.document = document
        self.info = info
        self.title = str(parsed.title)
        rules = parsed.filter.rules
        self.names: tuple[str, ...] | None = (
            tuple(str(rule.reference) for rule in rules) if isinstance(rules, list) else None
        )
        """Ids and names of rules; None for any."""
        has_source = document.data.get("logsource") is not None
        self.logsource = logsource_of(parsed.logsource) if has_source else LogSource()
        self._data = data
        self._lowered: dict[tuple[int, LogSource], Predicate] = {}

    def source_in(self, written_for: LogSource, runs_on: LogSource) -> LogSource | None:
        """Return the log source that a rule shares with the filter: the one it was written for, or the one it runs on.

        None where the filter's contains neither.
        """
        return next((source for source in (written_for, runs_on) if contains(self.logsource, source)), None)

    def predicate(self, pipeline: ProcessingPipeline, source: LogSource, runs_on: LogSource) -> Predicate:
        """Return what has to hold for rules of a log source, on the events of another: until the filter expires.

        Raises:
            RuleError: a value has no meaning on a stream (the first of them).
        """
        predicate = self._predicate(pipeline, source)
        if not self.info.expires:
            return predicate
        end = datetime.combine(date.fromisoformat(self.info.expires) + timedelta(days=1), time(), UTC)
        since = end.isoformat().replace("+00:00", "Z")
        fields = dict.fromkeys(found.time_field for found in taxonomies_of(runs_on))
        where = f"{self.title}{_LABEL_END}{SECTION}.expires"
        return any_of([predicate, *(Atom(field, Op.SINCE, since, where=where) for field in fields)])

    def _predicate(self, pipeline: ProcessingPipeline, source: LogSource) -> Predicate:
        key = (id(pipeline), source)
        known = self._lowered.get(key)
        if known is not None:
            return known
        errors: list[RuleError] = []
        predicate = self._lower(pipeline, source, errors)
        if errors:
            raise errors[0]
        return self._lowered.setdefault(key, predicate)

    def _lower(self, pipeline: ProcessingPipeline, source: LogSource, errors: list[RuleError]) -> Predicate:
        parsed = parse(SigmaFilter, self.document, self._data, errors)
        assert parsed is not None, "it was parsed before"
        mark_places(parsed.filter, "filter", f"{parsed.title}{_LABEL_END}")
        process_filter(pipeline, parsed, source, self.document)
        return lower_detections(parsed.filter, self.document, "filter", errors)


def exception_of(where: str) -> str:
    """Return the title of the exception that an atom's place is in; "" for a rule's own, whose names have no colon."""
    return where.rpartition(_LABEL_END)[0]


def read_filter(document: Document, errors: list[RuleError]) -> Filter | None:
    """Parse a filter; if anything is wrong with it, append every error and return None."""
    count = len(errors)
    data = adapted(document, errors)
    parsed = parse(SigmaFilter, document, data, errors)
    info = exception_info(document, errors)
    return Filter(document, data, parsed, info) if parsed is not None and len(errors) == count else None
