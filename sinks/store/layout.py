"""The store's tables, and which files are one.

`alert` is narrow, so that lists and filters read little; documents stand beside it, compressed; `search` holds no text
of its own, only which part of a text occurs in which alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.journal.sqlite.connection import transaction
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

APPLICATION_ID: Final = 0x56454453
"""`VEDS` in SQLite's header (PRAGMA application_id): tells a store from any other SQLite file."""
LAYOUT_VERSION: Final = 1
"""Raised with every change that an older program could not read (PRAGMA user_version)."""

_TABLES: Final = """
CREATE TABLE alert(
    id INTEGER PRIMARY KEY,
    alert_id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    opened_ns INTEGER NOT NULL,
    first_seen_ns INTEGER NOT NULL,
    last_seen_ns INTEGER NOT NULL,
    level INTEGER NOT NULL,
    rule_id TEXT NOT NULL,
    title TEXT NOT NULL,
    cluster TEXT NOT NULL,
    source TEXT NOT NULL,
    actor TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL,
    text_hash INTEGER NOT NULL
) STRICT;
CREATE INDEX alert_by_opening ON alert(opened_ns);
CREATE TABLE document(id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE VIRTUAL TABLE search USING fts5(text, content='', contentless_delete=1, tokenize='trigram');
"""
# Trigrams find any part of three characters or more (of an address, a pod's name, a path), which words do not; they
# cost some 30 µs an alert, once, because the text does not change between revisions.


def create_tables(connection: apsw.Connection, path: Path) -> None:
    """Make an empty file a store; leave a store as it is.

    Raises:
        ConfigError: the file is something else, or a newer version made it.
        TransientError: it can't be written now. PermanentError: it is damaged.
    """
    with transaction(connection, path):
        if connection.pragma("application_id") == 0 and not list(connection.execute("SELECT 1 FROM sqlite_schema")):
            connection.execute(_TABLES)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", LAYOUT_VERSION)
        check_tables(connection, path)


def check_tables(connection: apsw.Connection, path: Path) -> None:
    """Make sure that a file is a store which this version can read.

    Raises:
        ConfigError: it is not.
    """
    if connection.pragma("application_id") != APPLICATION_ID:
        message = f"{path} is not a Vedette store. Name another path for the store, or move that file away"
        raise ConfigError(message)
    version = connection.pragma("user_version")
    if version != LAYOUT_VERSION:
        message = (
            f"{path} was written by another version of Vedette (layout {version}, this one reads {LAYOUT_VERSION})."
            " Install that version, or name another path for the store; nothing was changed"
        )
        raise ConfigError(message)
