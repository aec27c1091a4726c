"""Sigma correlations (specification 2.1): parsed by pySigma, and lowered to what the correlator runs.

Beyond pySigma we take ranges (`gt: 100` and `lte: 200`, as in the specification) and ids in the expressions of temporal
correlations. A rule that cannot be run as it was meant is refused with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import sigma.exceptions as sigma_errors
from msgspec.structs import replace
from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionItem,
    CorrelationConditionNOT,
    SigmaCorrelationCondition,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections, SigmaLogSource, SigmaRule
from sigma.types import SigmaExists

from detectors.correlation.definition import (
    FROM_ABOVE,
    Both,
    Bound,
    Comparison,
    Correlation,
    Either,
    Expression,
    Fields,
    Kind,
    Member,
    Seen,
    Without,
    with_hash,
)
from detectors.rule import Rule
from detectors.sigma.dialect import adapted
from detectors.sigma.documents import Document, Key
from detectors.sigma.metadata import Metadata
from detectors.sigma.parsing import POLICY, said
from detectors.sigma.processing import process_rule
from detectors.testing.case import RuleTest
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError
from vedette.schema.limits import CORRELATION_GROUP_EVENTS_MAX, SECOND_NS
from vedette.schema.rule import RuleInfo

if TYPE_CHECKING:
    from detectors.sigma.loading import Draft

_SECTION: Final = "correlation"
_KEYS: Final = ("type", "rules", "generate", "group-by", "timespan", "aliases", "condition")
_OPERATORS: Final = tuple(comparison.value for comparison in Comparison)
_TOKEN: Final = re.compile(r"[()]|[^\s()]+")
_WORDS: Final = ("and", "or", "not", "(", ")")
_PERCENT_MAX: Final = 100
_PLACES: Final[tuple[tuple[type[Exception], str, tuple[str, ...]], ...]] = (
    (sigma_errors.SigmaTitleError, "", ("title",)),
    (sigma_errors.SigmaNameError, "", ("name",)),
    (sigma_errors.SigmaLevelError, "", ("level",)),
    (sigma_errors.SigmaStatusError, "", ("status",)),
    (sigma_errors.SigmaTagError, "", ("tags",)),
    (sigma_errors.SigmaDateError, "", ("date",)),
    (sigma_errors.SigmaTimespanError, "", (_SECTION, "timespan")),
    (sigma_errors.SigmaCorrelationTypeError, "", (_SECTION, "type")),
    (sigma_errors.SigmaCorrelationConditionError, "", (_SECTION, "condition")),
    (sigma_errors.SigmaCorrelationRuleError, "group-by", (_SECTION, "group-by")),
    (sigma_errors.SigmaCorrelationRuleError, "alias", (_SECTION, "aliases")),
    (sigma_errors.SigmaCorrelationRuleError, "generate", (_SECTION, "generate")),
    (sigma_errors.SigmaCorrelationRuleError, "ield reference", (_SECTION, "condition")),
    (sigma_errors.SigmaCorrelationRuleError, "ondition", (_SECTION, "condition")),
    (sigma_errors.SigmaCorrelationRuleError, "eference", (_SECTION, "rules")),
)
"""Which attribute each of pySigma's errors is about, by its class and a part of its text."""


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


# --- one document -----------------------------------------------------------------------------------------------------
def read_correlation(document: Document, errors: list[RuleError]) -> CorrelationDraft | None:
    """Parse a correlation; if anything is wrong with it, append every error and return None."""
    count = len(errors)
    data = adapted(document, errors)
    section: Any = data[_SECTION]
    if not is_object(section):
        errors.append(document.error("correlation must be a mapping", _SECTION))
        return None
    errors.extend(_key_errors(document, section))
    errors.extend(_expression_errors(document, section))
    if len(errors) > count:
        return None
    rules, section = _named(section)
    first, others = _split_bounds(section.get("condition"))
    parsed = _parse(document, {**data, _SECTION: {**section, "condition": first}}, errors)
    if parsed is None or len(errors) > count:
        return None
    bounds = _bounds(document, parsed, others, errors)
    metadata = Metadata(cast("SigmaRule", parsed), document)
    info, tests, covers = metadata.info(), metadata.tests(), metadata.covers()
    errors.extend(metadata.errors)
    if info.dedup_by:
        message = "a correlation's alerts go by its group-by; remove dedup_by"
        errors.append(document.error(message, "vedette", "dedup_by", at_key=True))
    info = replace(info, dedup_by=tuple(parsed.group_by or ()))
    draft = CorrelationDraft(document, info, parsed.name, parsed, rules, bounds, tests, covers)
    errors.extend(_draft_errors(draft))
    return draft if len(errors) == count else None


def _key_errors(document: Document, section: dict[str, Any]) -> Iterator[RuleError]:
    for key in section:
        if key not in _KEYS:
            close = get_close_matches(key, _KEYS, 1, 0.55)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_KEYS)}"
            yield document.error(f"unknown key {key!r}; {hint}", _SECTION, key, at_key=True)
    rules: Any = section.get("rules")
    for position, rule in enumerate(rules if is_list(rules) else ()):
        if not isinstance(rule, str):
            yield document.error("a reference is a rule's id or name; quote it", _SECTION, "rules", position)
        elif rule in rules[:position]:
            yield document.error(f"the rule {rule!r} is named twice", _SECTION, "rules", position)


def _expression_errors(document: Document, section: dict[str, Any]) -> Iterator[RuleError]:
    """Report where an expression and the list of rules do not name the same."""
    condition, rules = section.get("condition"), section.get("rules")
    if not isinstance(condition, str) or not is_list(rules):
        return
    tokens = [token for token in _TOKEN.findall(condition) if token not in _WORDS]
    for token in dict.fromkeys(tokens):
        if token not in rules:
            yield document.error(f"{token!r} is none of the rules listed", _SECTION, "condition")
    for position, rule in enumerate(rules):
        if rule not in tokens:
            yield document.error(f"the condition does not name the rule {rule!r}", _SECTION, "rules", position)


def _named(section: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the references, and the section with short names for them where an expression holds them.

    pySigma's expressions take identifiers alone; ids have hyphens.
    """
    rules: Any = section.get("rules")
    names = [rules] if isinstance(rules, str) else [str(rule) for rule in rules] if is_list(rules) else []
    condition: Any = section.get("condition")
    if not isinstance(condition, str):
        return tuple(names), section
    tokens: list[str] = _TOKEN.findall(condition)
    if not names:
        names = list(dict.fromkeys(token for token in tokens if token not in _WORDS))
    short = {name: f"r{position}" for position, name in enumerate(names)}
    expression = " ".join(short.get(token, token) for token in tokens)
    return tuple(names), {**section, "rules": list(short.values()), "condition": expression}


def _split_bounds(condition: Any) -> tuple[Any, dict[str, Any]]:
    """Return a condition with one comparison, as pySigma takes it, and the other comparisons of a range."""
    if not is_object(condition):
        return condition, {}
    named = [key for key in condition if key in _OPERATORS]
    others = {key: condition[key] for key in named[1:]}
    return {key: value for key, value in condition.items() if key not in others}, others


def _parse(document: Document, data: dict[str, Any], errors: list[RuleError]) -> SigmaCorrelationRule | None:
    try:
        parsed = SigmaCorrelationRule.from_dict(data, collect_errors=True, policy=POLICY)
    except Exception as error:  # noqa: BLE001 - pySigma meets malformed rules with whatever its code trips over
        errors.append(_located(document, error))
        return None
    errors.extend(_located(document, error) for error in parsed.errors)
    return None if parsed.errors else parsed


def _located(document: Document, error: Exception) -> RuleError:
    message = said(error, "not a Sigma correlation")
    keys = next((keys for kind, part, keys in _PLACES if isinstance(error, kind) and part in message), (_SECTION,))
    return document.error(message, *keys)


def _bounds(
    document: Document, parsed: SigmaCorrelationRule, others: dict[str, Any], errors: list[RuleError]
) -> tuple[Bound, ...]:
    if isinstance(parsed.condition, SigmaExtendedCorrelationCondition):
        return ()
    found = [parsed.condition]
    for key, value in others.items():
        try:
            found.append(SigmaCorrelationCondition.from_dict({key: value}))
        except sigma_errors.SigmaCorrelationConditionError as error:
            errors.append(document.error(said(error, ""), _SECTION, "condition", key))
    return tuple(Bound(Comparison(condition.op.name.lower()), condition.count) for condition in found)


def _draft_errors(draft: CorrelationDraft) -> Iterator[RuleError]:
    kind, condition = _kind(draft.parsed), draft.parsed.condition
    refuse = draft.document.error
    if not draft.rules:
        yield refuse("it names no rules", _SECTION, "rules")
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        return
    if kind is Kind.VALUE_PERCENTILE and condition.percentile is None:
        message = "name the percentile, a number from 0 to 100: `percentile: 95`; without it the meaning is open"
        yield refuse(message, _SECTION, "condition")
    if condition.percentile is not None and not 0 <= condition.percentile <= _PERCENT_MAX:
        yield refuse("a percentile is a number from 0 to 100", _SECTION, "condition", "percentile")
    if kind.is_numeric and len(_value_fields(draft.parsed)) != 1:
        yield refuse(f"{kind} calculates with one field", _SECTION, "condition", "field")
    yield from _threshold_errors(draft, kind)


def _threshold_errors(draft: CorrelationDraft, kind: Kind) -> Iterator[RuleError]:
    for bound in draft.bounds:
        keys = (_SECTION, "condition", bound.comparison.value)
        if kind in (Kind.EVENT_COUNT, Kind.VALUE_COUNT) and bound.count > CORRELATION_GROUP_EVENTS_MAX:
            message = f"a window holds {CORRELATION_GROUP_EVENTS_MAX} events of a group; take a lower number"
            yield draft.document.error(f"{message} and a shorter timespan", *keys)
        impossible = bound.comparison in FROM_ABOVE and not bound.holds(len(draft.rules))
        if kind.is_temporal and impossible:
            yield draft.document.error(f"it never holds: there are only {len(draft.rules)} rules", *keys)


# --- all documents ----------------------------------------------------------------------------------------------------
class Resolving:
    """Resolves the references of correlations to rules and to each other."""

    def __init__(self, drafts: Sequence[CorrelationDraft], rules: Sequence[Draft], loaded: Iterable[Rule]) -> None:
        """Look references up in `drafts` and `rules`; `loaded` is what became of the latter."""
        self.errors: list[RuleError] = []
        self._drafts = drafts
        self._rules = rules
        self._hashes: dict[str, str] = {}
        for rule in loaded:
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
            aliased = list(_alias_errors(draft, [found for found in members if found is not None]))
            self.errors.extend(aliased)
            usable = tuple(found.member for found in members if found is not None)
            is_whole = len(usable) == len(members) and not aliased
            hashes = tuple(found.content_hash for found in members if found is not None)
            self._done[rule_id] = with_hash(_correlation(draft, usable), hashes) if is_whole else None
        return self._done[rule_id]

    def _member(self, draft: CorrelationDraft, name: str, position: int) -> _Found | None:
        found = [rule for rule in self._rules if rule.is_meant(name)]
        others = [other for other in self._drafts if other.is_meant(name)]
        keys: tuple[Key, ...] = (_SECTION, "rules", position)
        if len(found) + len(others) != 1:
            what = "is not loaded" if not found and not others else "is the name of several"
            self.errors.append(draft.document.error(f"the rule {name!r}, which it refers to, {what}", *keys))
            return None
        if found:
            info = found[0].info
            group_by, value = _fields_of(draft, name, found[0].name, info.rule_id, found[0])
            member = Member(info.rule_id, info.title, group_by, value)
            return _Found(member, name, found[0].name, self._hashes.get(info.rule_id, ""))
        if others[0].info.rule_id in self._path:
            message = f"the correlation {name!r} refers to this one: a circle"
            self.errors.append(draft.document.error(message, *keys))
            return None
        return self._over(draft, name, others[0], keys)

    def _over(
        self, draft: CorrelationDraft, name: str, other: CorrelationDraft, keys: tuple[Key, ...]
    ) -> _Found | None:
        lower = self._resolve(other)
        if lower is None:
            self.errors.append(draft.document.error(f"the correlation {name!r} can't be used", *keys))
            return None
        group_by, value = _fields_of(draft, name, other.name, other.info.rule_id, None)
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


def _correlation(draft: CorrelationDraft, members: tuple[Member, ...]) -> Correlation:
    parsed, condition = draft.parsed, draft.parsed.condition
    expression, percentile = None, None
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        expression = _expression(condition.parsed)
    else:
        percentile = condition.percentile
    return Correlation(
        info=draft.info,
        kind=_kind(parsed),
        members=members,
        group_by=draft.info.dedup_by,
        timespan_ns=parsed.timespan.seconds * SECOND_NS,
        within=parsed.timespan.spec,
        bounds=draft.bounds,
        expression=expression,
        value=_value_fields(parsed),
        percentile=percentile or 0,
        generate=parsed.generate,
        tests=draft.tests,
        covers=draft.covers,
    )


def _kind(parsed: SigmaCorrelationRule) -> Kind:
    return Kind(parsed.type.name.lower())


def _value_fields(parsed: SigmaCorrelationRule) -> tuple[str, ...]:
    """Return the fields whose values a correlation is about; pySigma takes a field for any type."""
    kind, condition = _kind(parsed), parsed.condition
    if isinstance(condition, SigmaExtendedCorrelationCondition) or condition.fieldref is None:
        return ()
    if kind is Kind.EVENT_COUNT or kind.is_temporal:
        return ()
    return (condition.fieldref,) if isinstance(condition.fieldref, str) else tuple(map(str, condition.fieldref))


def _expression(node: CorrelationConditionItem | SigmaRuleReference) -> Expression:
    if isinstance(node, SigmaRuleReference):
        return Seen(int(node.reference.removeprefix("r")))
    parts = tuple(map(_expression, node.args))
    if isinstance(node, CorrelationConditionNOT):
        return Without(parts[0])
    return Both(parts) if isinstance(node, CorrelationConditionAND) else Either(parts)


# --- fields -----------------------------------------------------------------------------------------------------------
def _fields_of(
    draft: CorrelationDraft, reference: str, name: str | None, rule_id: str, rule: Draft | None
) -> tuple[tuple[Fields, ...], tuple[Fields, ...]]:
    """Return the fields of a rule's events that keys and value stand for: by alias, then as pipelines name them."""
    known = {reference, rule_id, name}
    own = {
        alias.alias: field
        for alias in draft.parsed.aliases
        for to, field in alias.mapping.items()
        if to.reference in known or to.reference.lower() == rule_id.lower()
    }
    keys = [own.get(key, key) for key in draft.info.dedup_by]
    values = [own.get(field, field) for field in _value_fields(draft.parsed)]
    named = [*keys, *values]
    mapped = _mapped(rule, named) if rule is not None and named else {}
    return tuple(mapped.get(key, (key,)) for key in keys), tuple(mapped.get(field, (field,)) for field in values)


def _mapped(rule: Draft, fields: list[str]) -> dict[str, Fields]:
    """Return what each pipeline of a rule makes of fields, in their order, and the fields themselves."""
    found: dict[str, dict[str, None]] = {field: {} for field in fields}
    for variant in rule.variants:
        items = [
            SigmaDetectionItem(field, [], [SigmaExists(True)]) for field in found
        ]  # not parsed: any text is a name
        probe = SigmaRule(
            title=rule.info.title,
            logsource=SigmaLogSource.from_dict(rule.document.data["logsource"]),
            detection=SigmaDetections(
                {f"field{at}": SigmaDetection([item]) for at, item in enumerate(items)}, ["1 of field*"]
            ),
        )
        process_rule(variant.pipeline, probe, rule.document)
        for at, field in enumerate(found):
            found[field].update(dict.fromkeys(_items(probe.detection.detections.get(f"field{at}"))))
    return {field: tuple(dict.fromkeys([*names, field])) for field, names in found.items()}


def _items(detection: SigmaDetection | SigmaDetectionItem | None) -> Iterator[str]:
    if isinstance(detection, SigmaDetectionItem):
        if detection.field is not None:
            yield detection.field
    elif detection is not None:
        for item in detection.detection_items:
            yield from _items(item)


def _alias_errors(draft: CorrelationDraft, members: Sequence[_Found]) -> Iterator[RuleError]:
    """Report aliases of rules that the correlation doesn't refer to."""
    known = {name for found in members for name in (found.reference, found.name, found.member.rule_id)}
    for alias in draft.parsed.aliases:
        for to in alias.mapping:
            if to.reference not in known and len(members) == len(draft.rules):
                message = f"the correlation does not refer to the rule {to.reference!r}"
                yield draft.document.error(message, _SECTION, "aliases", alias.alias, str(to.reference), at_key=True)
