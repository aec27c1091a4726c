"""Tables of the core log, `core.db`. Its format counts in `folder.FORMAT_VERSION`."""

from typing import Final

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
    document BLOB NOT NULL          -- OCSF JSON
);
CREATE TABLE IF NOT EXISTS dead_letter(
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL, arrival_ns INTEGER NOT NULL,
    source TEXT NOT NULL, format TEXT NOT NULL, origin TEXT NOT NULL, record INTEGER NOT NULL,
    stage TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, payload BLOB NOT NULL
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
    expired INTEGER NOT NULL, suppressed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_delivery(
    id INTEGER PRIMARY KEY, delivery TEXT NOT NULL, position INTEGER NOT NULL, alert_id TEXT NOT NULL,
    generation INTEGER NOT NULL, revision INTEGER NOT NULL, reason TEXT NOT NULL, document BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS operator(name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint(
    operator TEXT, key TEXT, ord INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY(operator, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS staged(
    operator TEXT, key TEXT, ord INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY(operator, key)
) WITHOUT ROWID;
"""
