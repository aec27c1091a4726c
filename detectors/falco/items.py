"""The items of rule files, and who takes them in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from detectors.falco.diagnostics import Context, Diagnostic
from detectors.falco.texts import Text


class Entry(NamedTuple):
    """A part of an exception: one text, or a list of parts."""

    text: str = ""
    items: tuple[Entry, ...] | None = None

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return self.items is not None


@dataclass
class ExceptionItem:
    """An exception of a rule, as far as one item gives it."""

    name: str
    context: Context
    fields: Entry | None = None
    comps: Entry | None = None
    values: tuple[Entry, ...] = ()


@dataclass
class ListItem:
    """A list, or what an item appends to one."""

    name: str
    context: Context
    items: list[str]
    index: int = 0
    visibility: int = 0


@dataclass
class MacroItem:
    """A macro, or what an item appends to one."""

    name: str
    context: Context
    condition: Text
    index: int = 0
    visibility: int = 0


@dataclass
class RuleItem:
    """A rule."""

    name: str
    context: Context
    condition: Text
    output: Text
    desc: str
    priority: str
    source: str
    enabled: bool = True
    warn_evttypes: bool = True
    skip_if_unknown: bool = False
    capture: bool = False
    capture_duration_ms: int = 0
    tags: frozenset[str] = frozenset()
    exceptions: list[ExceptionItem] = field(default_factory=list[ExceptionItem])
    has_unknown_source: bool = False
    has_untyped_lists: bool = False
    index: int = 0
    visibility: int = 0


@dataclass
class RuleUpdate:
    """What an item appends to a rule, or replaces in it; None is not touched."""

    name: str
    context: Context
    source: str | None = None
    condition: Text | None = None
    output: Text | None = None
    desc: str | None = None
    priority: str | None = None
    enabled: bool | None = None
    warn_evttypes: bool | None = None
    skip_if_unknown: bool | None = None
    capture: bool | None = None
    capture_duration_ms: int | None = None
    tags: frozenset[str] | None = None
    exceptions: list[ExceptionItem] | None = None


class Collector(Protocol):
    """Takes what was read, in order; methods raise LoadError for what makes no sense."""

    def warn(self, warning: Diagnostic) -> None:
        """Report."""
        ...

    def require_engine(self, version: tuple[int, int, int], context: Context) -> None:
        """Check a required version of the engine."""
        ...

    def add_list(self, item: ListItem, *, append: bool) -> None:
        """Define or append to a list."""
        ...

    def add_macro(self, item: MacroItem, *, append: bool) -> None:
        """Define or append to a macro."""
        ...

    def add_rule(self, item: RuleItem) -> None:
        """Define a rule."""
        ...

    def append_rule(self, update: RuleUpdate) -> None:
        """Append to a rule."""
        ...

    def replace_rule(self, update: RuleUpdate) -> None:
        """Replace parts of a rule."""
        ...

    def enable_rule(self, update: RuleUpdate) -> None:
        """Switch a rule on or off."""
        ...
