"""What every rule language is loaded into, and what it is loaded from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from detectors.alert_info import AlertInfo
from detectors.behaviour.definition import Definition
from detectors.correlation.definition import Correlation
from detectors.predicate import Predicate
from detectors.testing.case import RuleTest
from vedette.schema.errors import RuleError
from vedette.schema.event import Event, LogSource
from vedette.schema.finding import Clause
from vedette.schema.rule import RuleInfo


class RuleText(msgspec.Struct, frozen=True):
    """One file of rules as it was read; `path` is for people, `pack` names the pack that ships it (or the file)."""

    path: str
    text: str
    pack: str


@runtime_checkable
class Exact(Protocol):
    """What decides where a predicate can't say all that a rule asks: on whole events, and in its own language."""

    def holds(self, event: Event) -> bool:
        """Say whether the rule matches an event for which its predicate holds."""
        ...

    def explain(self, event: Event) -> tuple[Clause, ...]:
        """Return the clauses that decided that it matches, in the rule's order."""
        ...


class Rule(msgspec.Struct, frozen=True):
    """A rule ready for the engine: it holds for the events of `logsource` that satisfy `predicate`, and `exact`.

    `content_hash` changes exactly when what the rule detects or says of itself changes: not with its file, its layout,
    its tests or the interpreter's hash seed. Rules with an unchanged one keep their state over a reload.
    """

    info: RuleInfo
    logsource: LogSource
    predicate: Predicate
    content_hash: str
    tests: tuple[RuleTest, ...] = ()
    covers: tuple[str, ...] = ()
    """Which detection concepts (`C20`) and ideas (`U14`) of the coverage table it is about."""
    exact: Exact | None = None
    """Has the last word; where it is there, the predicate only has to hold wherever the rule matches."""
    idle: str = ""
    """Why the rule is never asked; it may still be named, and what others find by it has its id."""


AnyRule = Rule | Correlation | Definition
"""Whatever has an id, and finds something: a rule, a correlation, or a detector of behaviour."""


class LoadedRules(NamedTuple):
    """Rules in the order of their texts, and every reason why others were refused."""

    rules: tuple[Rule, ...]
    errors: tuple[RuleError, ...]
    correlations: tuple[Correlation, ...] = ()
    """Those that others refer to come before them."""
    alerts: Mapping[str, AlertInfo] = MappingProxyType({})
    """What is said of alerts that a sensor reports, by the names of its rules."""
    definitions: tuple[Definition, ...] = ()
    """Detectors of behaviour."""

    @property
    def everything(self) -> tuple[AnyRule, ...]:
        """All rules, correlations and detectors of behaviour."""
        return (*self.rules, *self.correlations, *self.definitions)

    @property
    def infos(self) -> list[RuleInfo]:
        """What all of them say about themselves."""
        return [found.info for found in self.everything]


def content_hash(info: RuleInfo, logsource: LogSource, predicate: Predicate, *exact: str) -> str:
    """Return the SHA-256 of a rule's content, as hex; `exact` is what stands for the content of its exact part."""
    content = (msgspec.structs.replace(info, pack=""), logsource, predicate, *exact)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
