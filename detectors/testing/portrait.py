"""A rule as it is understood: its condition in words, what it asks, how the index finds it, what joins it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from detectors.anchors import branches, needs_of, selective_fields, weaken
from detectors.behaviour.definition import Definition
from detectors.correlation.definition import Both, Correlation, Expression, Seen, Without
from detectors.explain import describe
from detectors.falco.syntax import render
from detectors.fields import top_keys
from detectors.library import Library
from detectors.predicate import And, Atom, Not, Or, Predicate, fields
from detectors.rule import AnyRule, Rule
from detectors.sigma.conditions import canonical_condition
from detectors.testing.behaviour import described
from detectors.testing.trace import grouped
from detectors.values import is_list
from vedette.schema.event import Decoder


class Anchors(msgspec.Struct, frozen=True):
    """How the index finds a rule among the events of a format.

    Each way is a condition on a few fields, one of which has to hold; `every_event`: there is none, and the rule is
    looked at on each event.
    """

    format: str
    ways: tuple[str, ...]
    every_event: bool


class Exempt(msgspec.Struct, frozen=True):
    """An exception that joins a rule."""

    title: str
    path: str
    line: int
    condition: str
    owner: str = ""
    ticket: str = ""
    reason: str = ""
    expires: str = ""


class Portrait(msgspec.Struct, frozen=True):
    """A rule as it is understood.

    `written` is its condition in canonical form, `asks` what it comes to, exceptions and all, for each log source.
    `silent` names the correlations that let it alert no longer on its own. `behaviour` is what a
    detector of behaviour learns.
    """

    written: tuple[str, ...]
    asks: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]
    formats: tuple[str, ...]
    anchors: tuple[Anchors, ...]
    exceptions: tuple[Exempt, ...]
    members: tuple[str, ...]
    above: tuple[str, ...]
    silent: tuple[str, ...]
    idle: str = ""
    behaviour: dict[str, Any] | None = None


def portrait(library: Library, rule: AnyRule, decoders: Mapping[str, Decoder]) -> Portrait:
    """Return how something of a library is understood, on the events of some decoders."""
    if isinstance(rule, Definition):
        return _of_behaviour(library, rule)
    related, rule_id = library.related, rule.info.rule_id
    variants = library.variants(rule_id)
    names = related.formats(rule, decoders)
    asked = dict.fromkeys(name or "any field" for one in variants for name in fields(one.predicate))
    above = related.above(rule)
    return Portrait(
        written=_written(library, rule),
        asks=tuple((_source(one), _asks(one)) for one in variants),
        fields=tuple(asked),
        formats=names,
        anchors=tuple(_anchors(one, decoders[name]) for one in variants for name in related.formats(one, decoders)),
        exceptions=tuple(_exempt(library, rule_id)),
        members=tuple(member.title for member in rule.members) if isinstance(rule, Correlation) else (),
        above=tuple(over.info.title for over in above),
        silent=tuple(over.info.title for over in above if not over.generate),
        idle=variants[0].idle if variants else "",
    )


def _of_behaviour(library: Library, rule: Definition) -> Portrait:
    return Portrait(
        written=_written(library, rule),
        asks=((f"vedette/{rule.kind}", sentence(rule.predicate)),),
        fields=tuple(dict.fromkeys(name or "any field" for name in fields(rule.predicate))),
        formats=(),
        anchors=(),
        exceptions=(),
        members=(),
        above=(),
        silent=(),
        behaviour=described(rule),
    )


# --- conditions in words ----------------------------------------------------------------------------------------------
def sentence(predicate: Predicate) -> str:
    """Say a predicate in words, with parentheses around each `and` and `or` below the top."""
    text = _said(predicate)
    return text[1:-1] if isinstance(predicate, And | Or) and text.startswith("(") else text


def _said(predicate: Predicate) -> str:
    if isinstance(predicate, Atom):
        return _clause([predicate])
    if isinstance(predicate, Not):
        return f"not {_said(predicate.part)}"
    if isinstance(predicate, And):
        return f"({' and '.join(map(_said, predicate.parts))})" if predicate.parts else "everything"
    parts = [_said(group[0]) if len(group) == 1 else _values(group) for group in grouped(predicate.parts)]
    return f"({' or '.join(parts)})" if len(parts) > 1 else "".join(parts) or "nothing"


def _values(group: list[Predicate]) -> str:
    return _clause([part for part in group if isinstance(part, Atom)])


def _clause(atoms: list[Atom]) -> str:
    return f"{atoms[0].field or 'any value'} {describe(atoms)}"


def _written(library: Library, rule: AnyRule) -> tuple[str, ...]:
    """Return the condition as its language has it; each `and` and `or` in parentheses."""
    if isinstance(rule, Correlation):
        return (_measured(rule),)
    falco = library.falco.get(rule.info.rule_id)
    if falco is not None:
        return (render(falco.condition),)
    conditions: Any = library.document(rule.info.rule_id).data["detection"]["condition"]
    return tuple(canonical_condition(str(text)) for text in (conditions if is_list(conditions) else [conditions]))


def _measured(correlation: Correlation) -> str:
    of = f" of {', '.join(correlation.value)}" if correlation.value else ""
    if correlation.expression is not None:
        held = _expression(correlation.expression, [member.title for member in correlation.members])
    else:
        held = " and ".join(f"{bound.comparison} {bound.count}" for bound in correlation.bounds)
    percentile = f" {correlation.percentile}" if correlation.percentile else ""
    each = f" for each {', '.join(correlation.group_by)}" if correlation.group_by else ""
    return f"{correlation.kind}{percentile}{of} {held} within {correlation.within}{each}"


def _expression(expression: Expression, titles: list[str]) -> str:
    if isinstance(expression, Seen):
        return f"`{titles[expression.member]}`"
    if isinstance(expression, Without):
        return f"not {_expression(expression.part, titles)}"
    word = " and " if isinstance(expression, Both) else " or "
    return f"({word.join(_expression(part, titles) for part in expression.parts)})"


# --- what stands around it --------------------------------------------------------------------------------------------
def _source(rule: Rule) -> str:
    return "/".join(part for part in rule.logsource if part) or "any"


def _asks(rule: Rule) -> str:
    return "what its condition says" if rule.exact is not None else sentence(rule.predicate)


def _anchors(rule: Rule, decoder: Decoder) -> Anchors:
    """Say what the index goes by: of each way in which a rule can hold, what it needs of single fields of the head."""
    known = weaken(rule.predicate, lambda field: _in_head(field, decoder))
    needs = [needs_of(branch) for branch in (branches(known) if known is not None else [None])]
    found = [" and ".join(_said(need[field]) for field in selective_fields(need)) for need in needs]
    return Anchors(decoder.name, tuple(filter(None, found)), not all(found))


def _in_head(field: str | None, decoder: Decoder) -> bool:
    if decoder.head_fields is None:
        return True
    return field is not None and top_keys(field)[0] in decoder.head_fields


def _exempt(library: Library, rule_id: str) -> Iterator[Exempt]:
    for exception in library.exceptions(rule_id):
        path, _, line = exception.document.place().rpartition(":")
        condition = canonical_condition(str(exception.document.data["filter"]["condition"]))
        info = exception.info
        yield Exempt(exception.title, path, int(line), condition, info.owner, info.ticket, info.reason, info.expires)
