"""How many files the agent may have open: what its configuration asks for, and what the system allows."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

from collector.sources.files.watch import FILES_OPEN_MAX

if TYPE_CHECKING:
    from vedette.app.config import Config

SPARE_FILES: Final = 256
"""Journal, store, log, sinks, libraries."""


def open_files_needed(config: Config) -> int:
    """Return how many files the agent may come to have open, connections included."""
    needed = SPARE_FILES + (config.metrics.connections_max if config.metrics.listen else 0)
    for entry in config.sources.values():
        if entry.kind == "http":
            needed += entry.settings.connections_max
        elif entry.kind == "files":
            needed += FILES_OPEN_MAX
    return needed


def allow_open_files(wanted: int) -> int:
    """Raise the process's own limit as far as wanted and allowed (many shells begin at 1024); return the highest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = wanted if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, highest), hard))
    return highest
