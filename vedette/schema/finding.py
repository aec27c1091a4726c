"""A finding: one rule matched one event (later also: one window of events)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette.schema.event import Event
    from vedette.schema.rule import RuleInfo


class Clause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One clause of a rule's condition and how it stood on the event: the unit of an explanation.

    `where`: the clause's place in the rule (`selection.verb`). `field`: the field it looks at ("" for keywords).
    `test`: operator and expected value as a person reads them (`equals "exec"`, `not: starts with "system:"`).
    `path`: where the value stood in the document (`objectRef.subresource`, `spec.containers[1].image`), "" if absent.
    `value`: the value that decided (bounded in length), None where the field was absent. `negated`: the clause stands
    under a negation, so that it was its *not* matching which counted.

    Contract: for a clause that is not negated, changing the named value so that `test` no longer holds makes the clause
    fail; for a negated one, nothing in the document satisfies it.
    """

    where: str
    field: str
    test: str
    path: str = ""
    value: Any = None
    negated: bool = False


class Match(NamedTuple):
    """A rule that matched an event; everything costly about it is computed when asked for.

    `explain()` returns the clauses that decided, in the rule's order.
    """

    rule: RuleInfo
    event: Event
    explain: Callable[[], tuple[Clause, ...]]
    dedup_values: Callable[[], tuple[str, ...]]
    """Values of the rule's dedup fields on this event, as strings."""
