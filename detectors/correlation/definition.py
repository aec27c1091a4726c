"""A correlation as rule languages are lowered to it: which findings, grouped by what, and what has to hold of them."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec

from detectors.testing.case import RuleTest
from vedette.schema.rule import RuleInfo

Fields = tuple[str, ...]
"""Names under which one value may stand in an event; the first that is there counts."""


class Kind(StrEnum):
    """What is measured in a window (Sigma correlation rules specification 2.1, "Correlation types")."""

    EVENT_COUNT = "event_count"
    VALUE_COUNT = "value_count"
    TEMPORAL = "temporal"
    TEMPORAL_ORDERED = "temporal_ordered"
    VALUE_SUM = "value_sum"
    VALUE_AVG = "value_avg"
    VALUE_PERCENTILE = "value_percentile"
    VALUE_MEDIAN = "value_median"

    @property
    def is_temporal(self) -> bool:
        """Whether it asks which rules matched, so that one event counts for each of them."""
        return self in (Kind.TEMPORAL, Kind.TEMPORAL_ORDERED)

    @property
    def is_numeric(self) -> bool:
        """Whether it calculates with the values of a field."""
        return self in (Kind.VALUE_SUM, Kind.VALUE_AVG, Kind.VALUE_PERCENTILE, Kind.VALUE_MEDIAN)


class Comparison(StrEnum):
    """How what was measured is held against a bound."""

    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    EQ = "eq"
    NEQ = "neq"


_HOLDS: Final[dict[Comparison, Callable[[Any, Any], bool]]] = {
    Comparison.LT: operator.lt,
    Comparison.LTE: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GTE: operator.ge,
    Comparison.EQ: operator.eq,
    Comparison.NEQ: operator.ne,
}
FROM_ABOVE: Final = (Comparison.GT, Comparison.GTE)
"""What more events can only make true, for counts: it need not wait for the end of a window."""


class Bound(msgspec.Struct, frozen=True):
    """A comparison with a number."""

    comparison: Comparison
    count: int | float

    def holds(self, measured: float) -> bool:
        """Say whether what was measured is within the bound."""
        return _HOLDS[self.comparison](measured, self.count)


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """Holds where the member at a position matched."""

    member: int


class Both(msgspec.Struct, frozen=True, tag="and"):
    """Holds where all parts hold."""

    parts: tuple[Expression, ...]


class Either(msgspec.Struct, frozen=True, tag="or"):
    """Holds where one of the parts holds."""

    parts: tuple[Expression, ...]


class Without(msgspec.Struct, frozen=True, tag="not"):
    """Holds where its part does not."""

    part: Expression


Expression = Seen | Both | Either | Without


class Member(msgspec.Struct, frozen=True):
    """A rule, or another correlation, whose findings are looked at; where they have the keys and the value."""

    rule_id: str
    title: str
    group_by: tuple[Fields, ...]
    value: tuple[Fields, ...] = ()


class Correlation(msgspec.Struct, frozen=True):
    """A correlation ready to run.

    `group_by` and `value` are the names that explanations show. `expression` stands in place of `bounds`, and `within`
    is the time span as it was written. `generate`: members also alert on their own.
    """

    info: RuleInfo
    kind: Kind
    members: tuple[Member, ...]
    group_by: tuple[str, ...]
    timespan_ns: int
    within: str
    bounds: tuple[Bound, ...] = ()
    expression: Expression | None = None
    value: tuple[str, ...] = ()
    percentile: int = 0
    generate: bool = False
    content_hash: str = ""
    tests: tuple[RuleTest, ...] = ()
    covers: tuple[str, ...] = ()
    """Which detection concepts and ideas of the coverage table it is about."""

    @property
    def events_min(self) -> float:
        """So many events a window needs for its condition to hold: what is counted in it is never more than these."""
        counts = [bound.count for bound in self.bounds if bound.comparison in FROM_ABOVE]
        return max(counts, default=0) if not self.kind.is_numeric and self.expression is None else 0

    @property
    def waits(self) -> bool:
        """Whether only the end of a window can tell: thresholds from below, equality and absence."""
        if self.expression is not None:
            return _negates(self.expression)
        return any(bound.comparison not in FROM_ABOVE for bound in self.bounds)


def _negates(expression: Expression) -> bool:
    if isinstance(expression, Seen):
        return False
    return isinstance(expression, Without) or any(map(_negates, expression.parts))


def with_hash(correlation: Correlation, members: tuple[str, ...]) -> Correlation:
    """Return a correlation with the hash of its content and that of its members (their own `content_hash`).

    As with rules, the content is neither tests nor what it covers.
    """
    plain = msgspec.structs.replace(correlation, info=msgspec.structs.replace(correlation.info, pack=""))
    content = {name: value for name, value in msgspec.structs.asdict(plain).items() if name not in ("tests", "covers")}
    digest = hashlib.sha256(msgspec.json.encode((content, members))).hexdigest()
    return msgspec.structs.replace(correlation, content_hash=digest)
