"""From what an analyst asks to SQL. Whatever the words hold, the query is well-formed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sinks.store.reader import AlertFilter

WORDS_MAX: Final = 32
"""Words of one search; FTS5 bounds the depth of an expression at 256."""
WORD_CHARS_MAX: Final = 256
"""Characters of one word; no part of an alert is searched for by more."""
_TRIGRAM: Final = 3
_SHOWN: Final = ("title", "actor", "namespace", "name", "message")
"""Columns that words too short for trigrams are looked for in."""

Condition = tuple[str, tuple[str | int, ...]]


def conditions(wanted: AlertFilter) -> Condition:
    """Return a WHERE expression over table `alert` and its values.

    Raises:
        ConfigError: `after` is no cursor.
    """
    found = list(_conditions(wanted))
    values = tuple(value for _, part in found for value in part)
    return " AND ".join(sql for sql, _ in found), values


def sayable(text: str) -> str:
    """Replace what UTF-8 can't say (a command line's stray bytes); no text in the store holds it."""
    return text.encode("utf-8", "replace").decode()


def _conditions(wanted: AlertFilter) -> Iterator[Condition]:
    yield "level >= ?", (wanted.min_level.rank,)
    if wanted.since_ns is not None:
        yield "opened_ns >= ?", (wanted.since_ns,)
    if wanted.until_ns is not None:
        yield "opened_ns < ?", (wanted.until_ns,)
    if wanted.rule is not None:
        yield "(rule_id = ? OR title = ?)", (sayable(wanted.rule),) * 2
    for column in ("cluster", "namespace", "actor", "status"):
        value = getattr(wanted, column)
        if value is not None:
            yield f"{column} = ?", (sayable(value),)
    if wanted.after:
        yield "(opened_ns, id) < (?, ?)", _position(wanted.after)
    yield from _text(wanted.text)


def _position(cursor: str) -> tuple[int, int]:
    try:
        opened_ns, row_id = map(int, cursor.split("-"))
    except ValueError:
        raise ConfigError(f"{cursor!a} is no cursor. Use the one that the page before ended with") from None
    return opened_ns, row_id


def _text(text: str) -> Iterator[Condition]:
    # The searched text holds no NUL either: it would end the query for SQLite.
    clean = sayable(text).replace("\x00", " ")
    words = [word[:WORD_CHARS_MAX] for word in clean.split()[:WORDS_MAX]]
    phrases = " ".join('"' + word.replace('"', '""') + '"' for word in words if len(word) >= _TRIGRAM)
    if phrases:
        yield "id IN (SELECT rowid FROM search WHERE search MATCH ?)", (phrases,)
    for word in words:
        if len(word) < _TRIGRAM:
            columns = " OR ".join(f"instr(lower({column}), ?) > 0" for column in _SHOWN)
            yield f"({columns})", (word.lower(),) * len(_SHOWN)
