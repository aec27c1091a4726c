"""A revision of an alert, as the alerts log carries it to every sink."""

from __future__ import annotations

from typing import Any, NamedTuple

GENERATION_FACTOR = 1 << 32


class AlertRevision(NamedTuple):
    """One state of an alert that left detection.

    `document` is the OCSF Detection Finding as JSON bytes. `opened_ns` is the arrival of the opening record, frozen in
    revision 1. Of two revisions of one alert the one with the greater `version` holds.
    """

    alert_id: str
    generation: int
    revision: int
    opened_ns: int
    level: str
    rule_id: str
    document: bytes

    @property
    def version(self) -> int:
        """External version: `generation · 2³² + revision`."""
        return self.generation * GENERATION_FACTOR + self.revision


AlertDocument = dict[str, Any]
"""An OCSF Detection Finding (class_uid 2004) as plain dicts; see docs/alerts.md."""
