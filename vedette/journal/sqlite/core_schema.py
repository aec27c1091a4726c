"""Tables of the core log, `core.db`, and how older ones are brought up to date: see `folder.FORMAT_VERSION`."""

from __future__ import annotations

from typing import Final

import apsw

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state(
    id INTEGER PRIMARY KEY CHECK(id = 1),
    seq INTEGER NOT NULL,           -- detection has committed everything up to here
    arrival_ns INTEGER NOT NULL,
    digest BLOB NOT NULL,           -- over everything that detection emitted
    generation INTEGER NOT NULL,
    checkpoint_seq INTEGER NOT NULL,
    checkpoint_digest BLOB NOT NULL
);
INSERT OR IGNORE INTO state VALUES(1, 0, 0, x'', 1, 0, x'');
CREATE TABLE IF NOT EXISTS alert(
    position INTEGER PRIMARY KEY,
    alert_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    opened_ns INTEGER NOT NULL,     -- arrival of the opening record
    logged_ns INTEGER NOT NULL,     -- arrival of the record that made this revision
    level TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    document BLOB NOT NULL,         -- OCSF JSON
    source TEXT NOT NULL DEFAULT '',
    cluster TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '[]', -- JSON
    ticket_key TEXT NOT NULL DEFAULT '',
    joined TEXT NOT NULL DEFAULT '[]' -- JSON: the other rules of a shared alert
);
CREATE TABLE IF NOT EXISTS dead_letter(
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL, arrival_ns INTEGER NOT NULL,
    source TEXT NOT NULL, format TEXT NOT NULL, origin TEXT NOT NULL, record INTEGER NOT NULL,
    stage TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, payload BLOB NOT NULL,
    context TEXT NOT NULL DEFAULT '', replayed_ns INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS ledger(
    source TEXT PRIMARY KEY, processed INTEGER NOT NULL, filtered INTEGER NOT NULL, dead_lettered INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS loss(
    source TEXT, kind TEXT, count INTEGER NOT NULL, PRIMARY KEY(source, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery(
    name TEXT PRIMARY KEY, start INTEGER NOT NULL, position INTEGER NOT NULL,
    delivered INTEGER NOT NULL, superseded INTEGER NOT NULL, dead_lettered INTEGER NOT NULL,
    expired INTEGER NOT NULL, suppressed INTEGER NOT NULL,
    log TEXT NOT NULL DEFAULT 'alerts' -- alerts: positions are those of `alert`; events: sequence numbers of intake
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery_filter(
    delivery TEXT, since_ns INTEGER,   -- decides about alerts opened, and records that arrived, from here on
    filter TEXT NOT NULL, PRIMARY KEY(delivery, since_ns)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_delivery(
    id INTEGER PRIMARY KEY, delivery TEXT NOT NULL, position INTEGER NOT NULL, alert_id TEXT NOT NULL,
    generation INTEGER NOT NULL, revision INTEGER NOT NULL, reason TEXT NOT NULL, document BLOB NOT NULL,
    log TEXT NOT NULL DEFAULT 'alerts', opened_ns INTEGER NOT NULL DEFAULT 0,
    level TEXT NOT NULL DEFAULT '', rule_id TEXT NOT NULL DEFAULT '', source TEXT NOT NULL DEFAULT '',
    cluster TEXT NOT NULL DEFAULT '', tags TEXT NOT NULL DEFAULT '[]', ticket_key TEXT NOT NULL DEFAULT '',
    queued INTEGER NOT NULL DEFAULT 0, -- 1: to be delivered again
    joined TEXT NOT NULL DEFAULT '[]'
);
CREATE TABLE IF NOT EXISTS note(
    delivery TEXT, key TEXT, value BLOB NOT NULL, written_ns INTEGER NOT NULL, PRIMARY KEY(delivery, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally(
    metric TEXT, labels TEXT, value INTEGER NOT NULL, PRIMARY KEY(metric, labels) -- labels: JSON
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operator(name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint(
    operator TEXT, key TEXT, ord INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY(operator, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS staged(
    operator TEXT, key TEXT, ord INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY(operator, key)
) WITHOUT ROWID;
"""
INDEXES: Final = """
CREATE INDEX IF NOT EXISTS queued_delivery ON dead_delivery(delivery, id) WHERE queued = 1;
"""


def create_tables(connection: apsw.Connection) -> None:
    """Make what is not there, and give older tables the columns that they lack, within a transaction."""
    connection.execute(SCHEMA)
    model = apsw.Connection(":memory:")
    model.execute(SCHEMA)
    for (table,) in model.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = f"PRAGMA table_info({table})"
        there = {name for _, name, *_ in connection.execute(columns)}
        for _, name, kind, _, default, _ in model.execute(columns):
            if name not in there:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind} NOT NULL DEFAULT {default}")
    connection.execute(INDEXES)
