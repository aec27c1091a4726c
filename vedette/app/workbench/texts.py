"""Conditions and clauses as people and programs read them; values are the attacker's, and made harmless."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from detectors.testing.trace import State
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.testing.trace import Part

_MARKS: Final = {State.HELD: "✓", State.FAILED: "✗", State.NOT_NEEDED: "·"}
_WORDS: Final = {"and": "all of", "or": "one of", "not": "not"}


def tree_lines(part: Part, depth: int = 0) -> Iterator[str]:
    """Yield a condition as a tree: a line for each part, with how it stands."""
    text = clause_text(part) if part.kind == "clause" else _WORDS[part.kind]
    yield f"{'  ' * depth}{_MARKS[part.state]} {text}"
    for inner in part.parts:
        yield from tree_lines(inner, depth + 1)


def clause_text(part: Part) -> str:
    """Say a clause, and what it was held against: `selection.verb: equals "exec"; is "get" (verb)`."""
    where = f"{part.where}: " if part.where else ""
    asked = part.test if part.where.endswith(f".{part.field}") or not part.field else f"{part.field} {part.test}"
    return safe_text(f"{where}{asked}{_found(part)}", _LINE_CHARS_MAX)


_LINE_CHARS_MAX: Final = 1024


def _found(part: Part) -> str:
    if part.state is State.NOT_NEEDED:
        return ""
    if not part.path:
        return "; the field is absent" if part.field else "; no value of the event is so" if not part.held else ""
    more = f", the first of {part.values} values" if part.values > 1 else ""
    return f"; is {json.dumps(part.value, ensure_ascii=False)} ({part.path}{more})"


def part_document(part: Part) -> dict[str, Any]:
    """Return a part of a condition for programs."""
    document: dict[str, Any] = {"kind": part.kind, "state": part.state.value.replace(" ", "_")}
    if part.kind != "clause":
        return {**document, "parts": [part_document(inner) for inner in part.parts]}
    document |= {"where": part.where, "field": part.field, "test": part.test}
    return {**document, "path": part.path, "value": part.value, "values": part.values}
