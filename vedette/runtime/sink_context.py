"""What the application hands every sink beside its own settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vedette.runtime.clock import Clock, SystemClock
from vedette.runtime.notes import MemoryNotes, Notes


@dataclass(frozen=True, slots=True)
class SinkContext:
    """The world of a sink. Paths in a sink's settings are relative to `data_dir`, the data folder."""

    data_dir: Path
    clock: Clock = field(default_factory=SystemClock)
    notes: Notes = field(default_factory=MemoryNotes)
    """What the sink must know again after a crash."""
