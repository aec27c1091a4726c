"""Sigma correlations (specification 2.1), one document at a time: parsed by pySigma, and checked.

Beyond pySigma we take ranges (`gt: 100` and `lte: 200`, as in the specification) and ids in the expressions of temporal
correlations. A rule that cannot be run as it was meant is refused with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, cast

import sigma.exceptions as sigma_errors
from msgspec.structs import replace
from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
)
from sigma.rule import SigmaRule

from detectors.correlation.definition import (
    FROM_ABOVE,
    Bound,
    Comparison,
    Kind,
)
from detectors.sigma.correlation_drafts import SECTION, CorrelationDraft
from detectors.sigma.dialect import adapted
from detectors.sigma.documents import Document
from detectors.sigma.metadata import Metadata
from detectors.sigma.parsing import POLICY, said
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError
from vedette.schema.limits import CORRELATION_GROUP_EVENTS_MAX

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
    (sigma_errors.SigmaTimespanError, "", (SECTION, "timespan")),
    (sigma_errors.SigmaCorrelationTypeError, "", (SECTION, "type")),
    (sigma_errors.SigmaCorrelationConditionError, "", (SECTION, "condition")),
    (sigma_errors.SigmaCorrelationRuleError, "group-by", (SECTION, "group-by")),
    (sigma_errors.SigmaCorrelationRuleError, "alias", (SECTION, "aliases")),
    (sigma_errors.SigmaCorrelationRuleError, "generate", (SECTION, "generate")),
    (sigma_errors.SigmaCorrelationRuleError, "ield reference", (SECTION, "condition")),
    (sigma_errors.SigmaCorrelationRuleError, "ondition", (SECTION, "condition")),
    (sigma_errors.SigmaCorrelationRuleError, "eference", (SECTION, "rules")),
)
"""Which attribute each of pySigma's errors is about, by its class and a part of its text."""


def read_correlation(document: Document, errors: list[RuleError]) -> CorrelationDraft | None:
    """Parse a correlation; if anything is wrong with it, append every error and return None."""
    count = len(errors)
    data = adapted(document, errors)
    section: Any = data[SECTION]
    if not is_object(section):
        errors.append(document.error("correlation must be a mapping", SECTION))
        return None
    errors.extend(_key_errors(document, section))
    errors.extend(_expression_errors(document, section))
    if len(errors) > count:
        return None
    rules, section = _named(section)
    first, others = _split_bounds(section.get("condition"))
    parsed = _parse(document, {**data, SECTION: {**section, "condition": first}}, errors)
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
            yield document.error(f"unknown key {key!r}; {hint}", SECTION, key, at_key=True)
    rules: Any = section.get("rules")
    for position, rule in enumerate(rules if is_list(rules) else ()):
        if not isinstance(rule, str):
            yield document.error("a reference is a rule's id or name; quote it", SECTION, "rules", position)
        elif rule in rules[:position]:
            yield document.error(f"the rule {rule!r} is named twice", SECTION, "rules", position)


def _expression_errors(document: Document, section: dict[str, Any]) -> Iterator[RuleError]:
    """Report where an expression and the list of rules do not name the same."""
    condition, rules = section.get("condition"), section.get("rules")
    if not isinstance(condition, str) or not is_list(rules):
        return
    tokens = [token for token in _TOKEN.findall(condition) if token not in _WORDS]
    for token in dict.fromkeys(tokens):
        if token not in rules:
            yield document.error(f"{token!r} is none of the rules listed", SECTION, "condition")
    for position, rule in enumerate(rules):
        if rule not in tokens:
            yield document.error(f"the condition does not name the rule {rule!r}", SECTION, "rules", position)


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
    keys = next((keys for kind, part, keys in _PLACES if isinstance(error, kind) and part in message), (SECTION,))
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
            errors.append(document.error(said(error, ""), SECTION, "condition", key))
    return tuple(Bound(Comparison(condition.op.name.lower()), condition.count) for condition in found)


def _draft_errors(draft: CorrelationDraft) -> Iterator[RuleError]:
    kind, condition = draft.kind, draft.parsed.condition
    refuse = draft.document.error
    if not draft.rules:
        yield refuse("it names no rules", SECTION, "rules")
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        return
    if kind is Kind.VALUE_PERCENTILE and condition.percentile is None:
        message = "name the percentile, a number from 0 to 100: `percentile: 95`; without it the meaning is open"
        yield refuse(message, SECTION, "condition")
    if condition.percentile is not None and not 0 <= condition.percentile <= _PERCENT_MAX:
        yield refuse("a percentile is a number from 0 to 100", SECTION, "condition", "percentile")
    if kind.is_numeric and len(draft.value_fields) != 1:
        yield refuse(f"{kind} calculates with one field", SECTION, "condition", "field")
    yield from _threshold_errors(draft, kind)


def _threshold_errors(draft: CorrelationDraft, kind: Kind) -> Iterator[RuleError]:
    for bound in draft.bounds:
        keys = (SECTION, "condition", bound.comparison.value)
        if kind in (Kind.EVENT_COUNT, Kind.VALUE_COUNT) and bound.count > CORRELATION_GROUP_EVENTS_MAX:
            message = f"a window holds {CORRELATION_GROUP_EVENTS_MAX} events of a group; take a lower number"
            yield draft.document.error(f"{message} and a shorter timespan", *keys)
        impossible = bound.comparison in FROM_ABOVE and not bound.holds(len(draft.rules))
        if kind.is_temporal and impossible:
            yield draft.document.error(f"it never holds: there are only {len(draft.rules)} rules", *keys)
