"""The embedded store: alerts in one SQLite file that the CLI and the console search.

Effectively once: an alert is stored under its id, and an older version never replaces a newer one.
"""

from sinks.store.reader import AlertFilter, AlertRow, Counts, StoreReader
from sinks.store.sink import StoreSettings, StoreSink

__all__ = ["AlertFilter", "AlertRow", "Counts", "StoreReader", "StoreSettings", "StoreSink"]
