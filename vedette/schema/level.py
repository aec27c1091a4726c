"""Severity levels: Sigma's five names, ordered, and their OCSF severity ids."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """How urgently an analyst should look (Sigma specification 2.1, `level`)."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (informational) to 4 (critical)."""
        return _RANKS[self]

    @property
    def ocsf_severity_id(self) -> int:
        """OCSF `severity_id`: 1 informational to 5 critical."""
        return _RANKS[self] + 1


_RANKS: Final = {level: rank for rank, level in enumerate(Level)}
