"""The room that all rows share. It remembers that something was evicted: who has no profile then may have had one."""

from __future__ import annotations

from typing import Final, cast

from detectors.behaviour.groups import Groups
from detectors.behaviour.profiles.state import Moments, Row, weight_of

TUPLES_MAX: Final = 300_000
"""What all profiles, workloads' pods and images and the like may weigh together: 130 to 145 MB measured."""
CLUSTER: Final = "(cluster)"
"""Owner of what is known of whole clusters."""
_KEY: Final = '["evicted"]'


class Room(Groups[Row]):
    """Groups of rows that note evictions."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(cast("type[Row]", Row), TUPLES_MAX, weight_of)
        self.now_ns = 0
        """Event time of the observation at hand."""
        self.evicted = 0
        """Rows that had to go since somebody last set it to 0."""

    def weigh(self, key: str, group: Row) -> int:
        """Take note that a row weighs something else now; return how many others had to go."""
        evicted = super().weigh(key, group)
        if evicted:
            self.evicted += evicted
            self._note()
        return evicted

    def _note(self) -> None:
        row = self.get(_KEY)
        if isinstance(row, Moments):
            self.touch(_KEY)
            row.times["last"] = max(self.now_ns, row.times["last"])
        else:
            row = Moments(CLUSTER, {"last": self.now_ns})
            self.state.put(_KEY, row)
            super().weigh(_KEY, row)

    @property
    def evicted_ns(self) -> int:
        """When something last had to go, event time; 0 if never."""
        row = self.get(_KEY)
        return row.times["last"] if isinstance(row, Moments) else 0
