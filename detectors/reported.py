"""Findings that a record itself reports: a Falco alert is a match of its own rule."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from detectors.alert_info import AlertInfo
from detectors.alert_table import described
from detectors.engine import DEDUP_CHARS_MAX, dedup_text
from detectors.fields import Getter, getter, top_keys
from vedette.schema.finding import Clause, Match

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.schema.event import Event
    from vedette.schema.rule import RuleInfo


def reported_match(rule: RuleInfo, event: Event, alerts: Mapping[str, AlertInfo]) -> Match:
    """Return the match of the rule that `event` reports, with what `alerts` say of it.

    Where the event has none of the fields by which they tell such alerts apart (a process of the node, no pod), they
    are told apart by the source's own fields, and share no alert with others.
    """
    said = alerts.get(rule.title)
    if said is not None:
        rule = described(rule, said)
        if said.dedup_by is not None and not any(_dedup_values(rule, event)):
            rule = replace(rule, dedup_by=(), dedup_as="")
    return Match(rule, event, partial(_explained, rule), partial(_dedup_values, rule, event))


def _explained(rule: RuleInfo) -> tuple[Clause, ...]:
    test = "reported by the sensor"
    return (Clause(where="rule", field="rule", test=test, path="rule", value=rule.title),)


def _dedup_values(rule: RuleInfo, event: Event) -> tuple[str, ...]:
    doc = event.doc
    values: list[str] = []
    for name, shorter, get in _getters(rule.dedup_by or event.decoder.dedup_by):
        plain = doc.get(name)
        if type(plain) is str and len(plain) <= DEDUP_CHARS_MAX:  # the usual case: a short string under its own name
            values.append(plain)
        elif plain is None and shorter.isdisjoint(doc):  # or nothing at all
            values.append("")
        else:
            values.append(dedup_text(get(doc)))
    return tuple(values)


@lru_cache(maxsize=64)
def _getters(names: tuple[str, ...]) -> tuple[tuple[str, frozenset[str], Getter], ...]:
    """Return for each name the keys of objects that it may also stand in, and how to read it."""
    return tuple((name, frozenset(top_keys(name)[:-1]), getter(name)) for name in names)
