"""Falco rules, loaded."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

import msgspec

from detectors.falco.diagnostics import Diagnostic, Place
from detectors.falco.items import RuleItem
from detectors.falco.output import Output
from detectors.falco.sources import SOURCES, Source
from detectors.falco.syntax import Expr, render
from detectors.falco.texts import joined
from vedette.schema.errors import RuleError
from vedette.schema.event import LogSource
from vedette.schema.level import Level
from vedette.schema.rule import RuleInfo

LEVELS: Final = {
    "Emergency": Level.CRITICAL,
    "Alert": Level.CRITICAL,
    "Critical": Level.CRITICAL,
    "Error": Level.HIGH,
    "Warning": Level.MEDIUM,
    "Notice": Level.LOW,
    "Informational": Level.INFORMATIONAL,
    "Debug": Level.INFORMATIONAL,
}
"""The level of each of Falco's priorities: as for alerts that Falco itself sends."""
LOGSOURCES: Final = {
    "k8s_audit": LogSource("kubernetes", "audit"),
    "syscall": LogSource("falco", "syscall"),
    "json": LogSource(),
}

_TECHNIQUE: Final = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII)


class FalcoRule(NamedTuple):
    """A rule with its lists, macros and exceptions put in.

    `enabled` is what its files say of it, `condition_text` and `output_text` are their words; `place` is where the file
    that defined it does so.
    """

    info: RuleInfo
    source: Source
    priority: str
    enabled: bool
    condition: Expr
    condition_text: str
    output: Output
    output_text: str
    content_hash: str
    place: Place

    @property
    def logsource(self) -> LogSource:
        """Where the events come from that it is for."""
        return LOGSOURCES[self.source.name]

    @property
    def name(self) -> str:
        """The name that its file gives it."""
        return self.info.title


class FalcoRules(NamedTuple):
    """Enabled and disabled rules in the order of evaluation, and everything that Falco would say of their files."""

    rules: tuple[FalcoRule, ...]
    failures: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]

    @property
    def errors(self) -> tuple[RuleError, ...]:
        """The failures as errors of the house."""
        return tuple(failure.as_error() for failure in self.failures)


def source_of(item: RuleItem) -> Source:
    """Return the source that a rule's fields belong to."""
    return SOURCES[item.source]._replace(untyped_lists=item.has_untyped_lists)


def finished(item: RuleItem, condition: Expr, output: Output, output_text: str, pack: str) -> FalcoRule:
    """Return a rule whose parts are compiled."""
    tags = tuple(sorted(item.tags))
    info = RuleInfo(
        rule_id=f"falco:{item.name}",
        title=item.name,
        level=LEVELS[item.priority],
        description=item.desc.strip(),
        attack=tuple(tag.upper() for tag in tags if _TECHNIQUE.fullmatch(tag.upper())),
        tags=tags,
        pack=pack,
    )
    content = (msgspec.structs.replace(info, pack=""), item.source, item.priority, render(condition), output_text)
    digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
    return FalcoRule(
        info,
        source_of(item),
        item.priority,
        item.enabled,
        condition,
        joined(item.condition),
        output,
        output_text,
        digest,
        item.context.place,
    )
