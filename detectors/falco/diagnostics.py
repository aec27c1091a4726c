"""What can be said about rule files: Falco's codes, a message, the item, and the place.

Source: falcosecurity/falco, userspace/engine/falco_load_result.{h,cpp}.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from detectors.rule import RuleText
from vedette.schema.errors import RuleError


class LoadCode(StrEnum):
    """Errors (`LOAD_ERR_…`) and warnings that Falco reports when it loads rules."""

    ERR_YAML_PARSE = "LOAD_ERR_YAML_PARSE"
    ERR_YAML_VALIDATE = "LOAD_ERR_YAML_VALIDATE"
    ERR_COMPILE_CONDITION = "LOAD_ERR_COMPILE_CONDITION"
    ERR_COMPILE_OUTPUT = "LOAD_ERR_COMPILE_OUTPUT"
    ERR_VALIDATE = "LOAD_ERR_VALIDATE"
    UNKNOWN_SOURCE = "LOAD_UNKNOWN_SOURCE"
    UNSAFE_NA_CHECK = "LOAD_UNSAFE_NA_CHECK"
    NO_EVTTYPE = "LOAD_NO_EVTTYPE"
    UNKNOWN_FILTER = "LOAD_UNKNOWN_FILTER"
    UNUSED_MACRO = "LOAD_UNUSED_MACRO"
    UNUSED_LIST = "LOAD_UNUSED_LIST"
    UNKNOWN_ITEM = "LOAD_UNKNOWN_ITEM"
    DEPRECATED_ITEM = "LOAD_DEPRECATED_ITEM"
    APPEND_NO_VALUES = "LOAD_APPEND_NO_VALUES"
    EXCEPTION_NAME_NOT_UNIQUE = "LOAD_EXCEPTION_NAME_NOT_UNIQUE"
    INVALID_MACRO_NAME = "LOAD_INVALID_MACRO_NAME"
    INVALID_LIST_NAME = "LOAD_INVALID_LIST_NAME"
    COMPILE_CONDITION = "LOAD_COMPILE_CONDITION"
    UNKNOWN_KEY = "LOAD_UNKNOWN_KEY"


class Mark(Protocol):
    """A place in a text, counted from 0; PyYAML has two classes of it."""

    @property
    def index(self) -> int:
        """Characters before it."""
        ...

    @property
    def line(self) -> int:
        """Its line."""
        ...

    @property
    def column(self) -> int:
        """Its column in that line."""
        ...


class Place(NamedTuple):
    """Where something stands: lines and columns count from 1, 0 is unknown."""

    path: str
    line: int = 0
    column: int = 0


class Context(NamedTuple):
    """What a message speaks of: the kind of item (`rule`, `exception`, …), its name, and where it stands."""

    item_type: str
    item_name: str
    place: Place


class Diagnostic(msgspec.Struct, frozen=True):
    """One error or warning."""

    code: LoadCode
    message: str
    item_type: str
    item_name: str
    path: str
    line: int = 0
    column: int = 0

    @property
    def text(self) -> str:
        """The message, with the item that it speaks of."""
        return f"{self.item_type} '{self.item_name}': {self.message}" if self.item_name else self.message

    def as_error(self) -> RuleError:
        """Return it as the error of the house; `str()` begins with `path:line:column`."""
        return RuleError(f"{self.text} ({self.code})", path=self.path, line=self.line, column=self.column)


class LoadError(Exception):
    """Loading can't go on."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        """Keep what to report."""
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def diagnostic(code: LoadCode, message: str, context: Context, place: Place | None = None) -> Diagnostic:
    """Return a message on an item, at its place or a better one."""
    where = place or context.place
    return Diagnostic(code, message, context.item_type, context.item_name, where.path, where.line, where.column)


def invalid(message: str, context: Context, place: Place | None = None) -> LoadError:
    """Return the error of an item that has not the form it should have."""
    return LoadError(diagnostic(LoadCode.ERR_YAML_VALIDATE, message, context, place))


def wrong(message: str, context: Context, place: Place | None = None) -> LoadError:
    """Return the error of an item that has the form and makes no sense."""
    return LoadError(diagnostic(LoadCode.ERR_VALIDATE, message, context, place))


def place_of(source: RuleText, mark: Mark | None) -> Place:
    """Return where a mark of PyYAML stands."""
    return Place(source.path) if mark is None else Place(source.path, mark.line + 1, mark.column + 1)
