"""Alerts that several rules share: one shell in a pod is one alert, whoever saw it.

Rules that name the same `dedup_as` put it in their place in the dedup key. Such an alert remembers what each rule adds,
and shows itself as the most severe of them would. Its list of rules only grows, and a rule that raises the level always
finds room in it: so a delivery that has once taken the alert goes on taking it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vedette.pipeline.document_message import sentence
from vedette.schema.alert import Contribution, Origin
from vedette.schema.limits import CONTRIBUTIONS_MAX, EVIDENCE_ITEMS_MAX, SHARED_EVIDENCE_ITEMS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vedette.schema.alert import AlertState, Evidence
    from vedette.schema.event import Facts
    from vedette.schema.finding import Clause
    from vedette.schema.rule import RuleInfo


class SharedFinding(NamedTuple):
    """A finding of a rule that shares its alerts; what is costly is asked for only where the rule is new to one."""

    rule: RuleInfo
    values: tuple[str, ...]
    seq: int
    source: str
    arrival_ns: int
    first_ns: int
    last_ns: int
    facts: Callable[[], Facts]
    clauses: Callable[[], tuple[Clause, ...]]
    evidence: Callable[[], list[Evidence]]


def shares(rule: RuleInfo, values: Sequence[str]) -> bool:
    """Say whether a finding may join an alert of other rules: not if nothing is known of what it is about."""
    return bool(rule.dedup_as) and any(values)


def contribution_of(found: SharedFinding, facts: Facts, clauses: tuple[Clause, ...]) -> Contribution:
    """Make what a rule adds with its first finding."""
    return Contribution(found.rule, found.seq, found.source, sentence(facts), clauses, found.first_ns, found.last_ns)


def contribute(alert: AlertState, found: SharedFinding) -> bool:
    """Add a finding to what its rule contributed; say whether the alert's level rose. The alert must be touched."""
    rule = found.rule
    known = next((one for one in alert.contributions if _same(one.rule, rule)), None)
    if known is not None:
        known.count += 1
        known.first_seen_ns = min(known.first_seen_ns, found.first_ns)
        known.last_seen_ns = max(known.last_seen_ns, found.last_ns)
        _sample(alert, found, EVIDENCE_ITEMS_MAX)
        return False
    raised = rule.level.rank > alert.rule.level.rank
    if len(alert.contributions) >= CONTRIBUTIONS_MAX and not raised:
        alert.unlisted += 1
        return False
    facts, clauses = found.facts(), found.clauses()
    alert.contributions.append(contribution_of(found, facts, clauses))
    if raised:
        alert.rule, alert.facts, alert.clauses = rule, facts, clauses
        _sample_first(alert, found)
    else:
        _sample(alert, found, SHARED_EVIDENCE_ITEMS_MAX)
    return raised


def _same(one: RuleInfo, other: RuleInfo) -> bool:
    """A sensor may report one rule at several levels: each is a contribution of its own, since none is ever changed."""
    return one is other or (one.rule_id == other.rule_id and one.level is other.level)


def _sample(alert: AlertState, found: SharedFinding, items_max: int) -> None:
    """Take samples while there is room, none twice: several rules may match one event."""
    if len(alert.evidence) >= items_max:
        return
    known = {sample.seq for sample in alert.evidence}
    alert.evidence += [sample for sample in found.evidence() if sample.seq not in known]
    del alert.evidence[items_max:]


def _sample_first(alert: AlertState, found: SharedFinding) -> None:
    """Put the samples of the rule that leads now before the others."""
    samples = found.evidence()
    taken = {sample.seq for sample in samples}
    alert.evidence = [*samples, *(sample for sample in alert.evidence if sample.seq not in taken)]
    del alert.evidence[SHARED_EVIDENCE_ITEMS_MAX:]


def origins_of(alert: AlertState) -> tuple[Origin, ...]:
    """What deliveries may ask of the rules of a shared alert, the one that leads first."""
    ordered = sorted(alert.contributions, key=lambda one: not _same(one.rule, alert.rule))
    return tuple(Origin(one.rule.rule_id, one.source, one.rule.tags) for one in ordered)
