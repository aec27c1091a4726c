"""The rules that correlations refer to, found; what the correlator runs is made of both.

A reference is to a rule or a correlation by id or name, and to rules of other languages as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionItem,
    CorrelationConditionNOT,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)

from detectors.correlation.definition import (
    Both,
    Correlation,
    Either,
    Expression,
    Member,
    Seen,
    Without,
    with_hash,
)
from detectors.rule import Rule
from detectors.sigma.correlation_drafts import SECTION, CorrelationDraft
from detectors.sigma.correlation_fields import fields_of
from detectors.sigma.documents import Key
from vedette.schema.errors import RuleError
from vedette.schema.limits import SECOND_NS
from vedette.schema.rule import RuleInfo

if TYPE_CHECKING:
    from detectors.sigma.loading import Draft


class Resolving:
    """Resolves the references of correlations to rules and to each other."""

    def __init__(
        self,
        drafts: Sequence[CorrelationDraft],
        rules: Sequence[Draft],
        loaded: Iterable[Rule],
        others: Sequence[Rule] = (),
    ) -> None:
        """Look references up in `drafts` and `rules`; `loaded` is what became of the latter.

        `others` are rules of other languages, which go by id and by title.
        """
        self.errors: list[RuleError] = []
        self._drafts = drafts
        self._rules = rules
        self._others = others
        self._hashes: dict[str, str] = {}
        for rule in (*loaded, *others):
            self._hashes[rule.info.rule_id] = self._hashes.get(rule.info.rule_id, "") + rule.content_hash
        self._done: dict[str, Correlation | None] = {}
        self._path: list[str] = []

    def correlations(self) -> tuple[Correlation, ...]:
        """Return what could be resolved, those that others refer to before them."""
        for draft in self._drafts:
            self._resolve(draft)
        return tuple(found for found in self._done.values() if found is not None)

    def _resolve(self, draft: CorrelationDraft) -> Correlation | None:
        rule_id = draft.info.rule_id
        if rule_id not in self._done:
            self._path.append(rule_id)
            members = [self._member(draft, name, position) for position, name in enumerate(draft.rules)]
            self._path.pop()
            aliased = list(_alias_errors(draft, members))
            self.errors.extend(aliased)
            usable = tuple(found.member for found in members if found is not None)
            is_whole = len(usable) == len(members) and not aliased
            hashes = tuple(found.content_hash for found in members if found is not None)
            self._done[rule_id] = with_hash(_correlation(draft, usable), hashes) if is_whole else None
        return self._done[rule_id]

    def _member(self, draft: CorrelationDraft, name: str, position: int) -> _Found | None:
        rules = [*self._rules_meant(name)]
        lower = [other for other in self._drafts if other.is_meant(name)]
        keys: tuple[Key, ...] = (SECTION, "rules", position)
        if len(rules) + len(lower) != 1:
            what = "is not loaded" if not rules and not lower else "is the name of several"
            self.errors.append(draft.document.error(f"the rule {name!r}, which it refers to, {what}", *keys))
            return None
        if rules:
            info, known_as, written = rules[0]
            group_by, value = fields_of(draft, name, known_as, info.rule_id, written)
            member = Member(info.rule_id, info.title, group_by, value)
            return _Found(member, name, known_as, self._hashes.get(info.rule_id, ""))
        if lower[0].info.rule_id in self._path:
            message = f"the correlation {name!r} refers to this one: a circle"
            self.errors.append(draft.document.error(message, *keys))
            return None
        return self._over(draft, name, lower[0], keys)

    def _rules_meant(self, name: str) -> Iterator[tuple[RuleInfo, str | None, Draft | None]]:
        """Yield the rules that a reference is to, each with its name, and with what it was read from if it is ours."""
        yield from ((draft.info, draft.name, draft) for draft in self._rules if draft.is_meant(name))
        for rule in self._others:
            if name in (rule.info.rule_id, rule.info.title):
                yield rule.info, rule.info.title, None

    def _over(
        self, draft: CorrelationDraft, name: str, other: CorrelationDraft, keys: tuple[Key, ...]
    ) -> _Found | None:
        lower = self._resolve(other)
        if lower is None:
            self.errors.append(draft.document.error(f"the correlation {name!r} can't be used", *keys))
            return None
        group_by, value = fields_of(draft, name, other.name, other.info.rule_id, None)
        missing = [fields[-1] for fields in (*group_by, *value) if not set(fields) & set(lower.group_by)]
        for field in missing:
            message = f"the correlation {name!r} has only the fields of its group-by, and {field!r} is none"
            self.errors.append(draft.document.error(message, *keys))
        member = Member(other.info.rule_id, other.info.title, group_by, value)
        return None if missing else _Found(member, name, other.name, lower.content_hash)


class _Found(NamedTuple):
    member: Member
    reference: str
    name: str | None
    content_hash: str


def _alias_errors(draft: CorrelationDraft, members: Sequence[_Found | None]) -> Iterator[RuleError]:
    """Report aliases of rules that the correlation doesn't refer to."""
    found = [member for member in members if member is not None]
    known = {name for each in found for name in (each.reference, each.name, each.member.rule_id)}
    for alias in draft.parsed.aliases:
        for to in alias.mapping:
            if to.reference not in known and len(found) == len(draft.rules):
                message = f"the correlation does not refer to the rule {to.reference!r}"
                yield draft.document.error(message, SECTION, "aliases", alias.alias, str(to.reference), at_key=True)


def _correlation(draft: CorrelationDraft, members: tuple[Member, ...]) -> Correlation:
    parsed, condition = draft.parsed, draft.parsed.condition
    expression, percentile = None, None
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        expression = _expression(condition.parsed)
    else:
        percentile = condition.percentile
    return Correlation(
        info=draft.info,
        kind=draft.kind,
        members=members,
        group_by=draft.info.dedup_by,
        timespan_ns=parsed.timespan.seconds * SECOND_NS,
        within=parsed.timespan.spec,
        bounds=draft.bounds,
        expression=expression,
        value=draft.value_fields,
        percentile=percentile or 0,
        generate=parsed.generate,
        tests=draft.tests,
        covers=draft.covers,
    )


def _expression(node: CorrelationConditionItem | SigmaRuleReference) -> Expression:
    if isinstance(node, SigmaRuleReference):
        return Seen(int(node.reference.removeprefix("r")))
    parts = tuple(map(_expression, node.args))
    if isinstance(node, CorrelationConditionNOT):
        return Without(parts[0])
    return Both(parts) if isinstance(node, CorrelationConditionAND) else Either(parts)
