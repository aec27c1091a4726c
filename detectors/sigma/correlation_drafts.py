"""A correlation that was read, before the rules that it refers to are known."""

from __future__ import annotations

from typing import Final, NamedTuple

from sigma.correlations import SigmaCorrelationRule, SigmaExtendedCorrelationCondition

from detectors.correlation.definition import Bound, Kind
from detectors.sigma.documents import Document
from detectors.testing.case import RuleTest
from vedette.schema.rule import RuleInfo

SECTION: Final = "correlation"
"""The key of a document under which a correlation stands."""


class CorrelationDraft(NamedTuple):
    """A correlation before its references are resolved: `rules` as it names them, in their order."""

    document: Document
    info: RuleInfo
    name: str | None
    parsed: SigmaCorrelationRule
    rules: tuple[str, ...]
    bounds: tuple[Bound, ...]
    tests: tuple[RuleTest, ...]
    covers: tuple[str, ...]

    def is_meant(self, name: str) -> bool:
        """Say whether a reference is to this correlation: by its id, in either case, or by its name."""
        return name.lower() == self.info.rule_id.lower() or name == self.name

    @property
    def kind(self) -> Kind:
        """What it measures."""
        return Kind(self.parsed.type.name.lower())

    @property
    def value_fields(self) -> tuple[str, ...]:
        """The fields whose values it is about; pySigma takes a field for any type."""
        condition = self.parsed.condition
        if isinstance(condition, SigmaExtendedCorrelationCondition) or condition.fieldref is None:
            return ()
        if self.kind is Kind.EVENT_COUNT or self.kind.is_temporal:
            return ()
        return (condition.fieldref,) if isinstance(condition.fieldref, str) else tuple(map(str, condition.fieldref))
