"""The journal on SQLite (through apsw): intake segments and `core.db` in one data folder."""

from vedette.journal.sqlite.connection import Storage
from vedette.journal.sqlite.core_log import SqliteCoreLog
from vedette.journal.sqlite.core_reader import SqliteCoreReader
from vedette.journal.sqlite.event_reader import SqliteEventReader
from vedette.journal.sqlite.folder import DataFolder
from vedette.journal.sqlite.intake_log import Retention, SqliteIntakeLog
from vedette.journal.sqlite.intake_reader import SqliteIntakeReader

__all__ = [
    "DataFolder",
    "Retention",
    "SqliteCoreLog",
    "SqliteCoreReader",
    "SqliteEventReader",
    "SqliteIntakeLog",
    "SqliteIntakeReader",
    "Storage",
]
