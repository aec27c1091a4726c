"""Lists put into conditions, and macros into their trees.

Source: falcosecurity/falco, userspace/engine/rule_loader_compiler.cpp (`resolve_list`, `compile_list_infos`,
`resolve_macros`) and filter_macro_resolver.cpp. Lists are put in as text, wherever their name stands alone; a list may
name lists above it, one level deep. A macro is a tree, so its parts keep together; it sees the macros above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from detectors.falco.exceptions import quoted
from detectors.falco.lexer import ConditionError
from detectors.falco.syntax import And, Check, Expr, Macro, Not, Or
from detectors.falco.texts import Traced

CONDITION_CHARS_MAX: Final = 1024 * 1024
"""One condition with its lists; lists that name lists could grow without end."""
CHECKS_MAX: Final = 50_000
"""Comparisons of one condition with its macros; macros that name macros double with each."""
DEPTH_MAX: Final = 200
"""Nesting of one condition with its macros: evaluation recurses."""
LOOP_MAX: Final = 64
"""Macros that name each other before the first of them is expanded."""

_BLANKS: Final = frozenset(" \t\n\r")
_DELIMITERS: Final = _BLANKS | frozenset("(),=")
_WORDS: Final = re.compile(r"[ \t\n\r(),=\"']+")


class Lists:
    """Lists in the order in which they are put in."""

    def __init__(self, lists: Mapping[str, tuple[str, ...]]) -> None:
        self._items = list(lists.items())
        self._order = {name: at for at, (name, _) in enumerate(self._items)}
        self._odd = [at for name, at in self._order.items() if _WORDS.search(name)]

    def put_into(self, condition: str) -> tuple[Traced, set[str]]:
        """Put lists into a condition; returns it with the names of those that it uses.

        Raises:
            ConditionError: it grows too long.
        """
        traced = Traced(condition)
        used: set[str] = set()
        waiting = self._named(condition)
        while waiting:
            at = heappop(waiting)
            name, items = self._items[at]
            if name in used or not _put_in(traced, name, items):
                continue
            used.add(name)
            for other in self._named(" ".join(items)):
                if other > at:
                    heappush(waiting, other)
        return traced, used

    def _named(self, text: str) -> list[int]:
        """Return the lists that a text may name, as a heap."""
        words = set(_WORDS.split(text))
        found = [self._order[word] for word in words if word in self._order]
        found += [at for at in self._odd if self._items[at][0] in text]
        heapify(found)
        return found


def _put_in(traced: Traced, name: str, items: tuple[str, ...]) -> bool:
    put = ", ".join(map(quoted, items))
    found = list(_occurrences(traced.string, name, put))
    if len(traced.string) + len(found) * len(put) > CONDITION_CHARS_MAX:
        raise ConditionError(f"with its lists the condition has more than {CONDITION_CHARS_MAX} characters", 0)
    if found:
        traced.replace(found)
    return bool(found)


def _occurrences(string: str, name: str, put: str) -> Iterator[tuple[int, int, str]]:
    """Yield where a name stands alone, with the blanks around it (for no items one comma as well), and what it gets."""
    done = 0
    for match in re.finditer(re.escape(name), string):
        start, end = match.span()
        if not _stands_alone(string, start, end):
            continue
        while start > done and string[start - 1] in _BLANKS:
            start -= 1
        while end < len(string) and string[end] in _BLANKS:
            end += 1
        if not put:
            if start > done and string[start - 1] == ",":
                start -= 1
            elif string[end : end + 1] == ",":
                end += 1
        yield start, end, f" {put} " if start else f"{put} "
        done = end


def _stands_alone(string: str, start: int, end: int) -> bool:
    return (start == 0 or string[start - 1] in _DELIMITERS) and (end >= len(string) or string[end] in _DELIMITERS)


@dataclass(frozen=True)
class Expanded:
    """A condition without macros, and its measures; `used` are the macros that it names, directly or not."""

    expr: Expr
    checks: int
    depth: int
    used: frozenset[str]


class MacroError(ConditionError):
    """A macro is unknown or names itself; the offset is that of its name."""


class Macros:
    """Macros that are expanded when first needed."""

    def __init__(self, conditions: Mapping[str, Expr], indexes: Mapping[str, int]) -> None:
        self._conditions = conditions
        self._indexes = indexes
        self._done: dict[str, Expanded] = {}

    def keep(self, name: str, expanded: Expanded) -> None:
        """Remember a macro that was expanded among those that it sees."""
        self._done[name] = expanded

    def expand(self, expr: Expr, below: int | None) -> Expanded:
        """Replace all macros by their conditions; with `below` those alone that were defined before that index.

        Raises:
            MacroError: a macro is not visible or names itself.
            ConditionError: the condition becomes too large.
        """
        return self._expand(expr, below, ())

    def _expand(self, expr: Expr, below: int | None, above: tuple[str, ...]) -> Expanded:
        if isinstance(expr, Check):
            return Expanded(expr, 1, 1, frozenset())
        if isinstance(expr, Macro):
            return self._macro(expr, below, above)
        if isinstance(expr, Not):
            part = self._expand(expr.part, below, above)
            return _bounded(Not(part.expr), part.checks, part.depth, part.used)
        parts = [self._expand(part, below, above) for part in expr.parts]
        made: Expr = (And if isinstance(expr, And) else Or)(tuple(part.expr for part in parts))
        used = frozenset[str]().union(*(part.used for part in parts))
        return _bounded(made, sum(part.checks for part in parts), max(part.depth for part in parts), used)

    def _macro(self, macro: Macro, below: int | None, above: tuple[str, ...]) -> Expanded:
        name = macro.name
        if name not in self._conditions or (below is not None and self._indexes[name] >= below):
            raise MacroError(f"Undefined macro '{name}' used in filter.", macro.offset)
        if name in above or len(above) >= LOOP_MAX:
            raise MacroError(f"reference loop in macro '{name}'", macro.offset)
        done = self._done.get(name)
        if done is None:
            try:
                done = self._expand(self._conditions[name], below, (*above, name))
            except MacroError as error:
                raise MacroError(error.message, macro.offset) from error
        return Expanded(done.expr, done.checks, done.depth, done.used | {name})


def _bounded(expr: Expr, checks: int, depth: int, used: frozenset[str]) -> Expanded:
    if checks > CHECKS_MAX:
        raise ConditionError(f"with its macros the condition has more than {CHECKS_MAX} comparisons", 0)
    if depth >= DEPTH_MAX:
        raise ConditionError(f"with its macros the condition is nested deeper than {DEPTH_MAX} levels", 0)
    return Expanded(expr, checks, depth + 1, used)
