"""How much each rule finds, from what the agent committed: counters of `core.db`, and the alerts of the store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sinks.store import AlertFilter
from vedette.app.store_access import open_store
from vedette.journal.sqlite import SqliteCoreReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sinks.store import AlertRow
    from vedette.journal.sqlite import DataFolder

_PAGE: Final = 1_000
ENTITIES_MAX: Final = 10_000
"""Entities of one rule that are told apart; attackers choose names."""


Entity = tuple[str, str, str, str]
"""Cluster, actor, namespace and name of an alert."""


@dataclass(slots=True)
class Noise:
    """What one rule found. `entities`: who and what it was about, each once; `title` where an alert tells it."""

    alerts: int = 0
    findings: int = 0
    title: str = ""
    entities: set[Entity] = field(default_factory=set[Entity])


def stored_noise(config: Path | None, data_dir: Path | None, since_ns: int | None) -> dict[str, Noise]:
    """Return what rules found, by their ids, of the alerts that the store holds and that opened since.

    Raises:
        ConfigError: there is no store. TransientError: it can't be read now.
    """
    found: dict[str, Noise] = {}
    with closing(open_store(config, data_dir, None)) as store:
        after = ""
        while rows := store.list(AlertFilter(since_ns=since_ns, after=after), limit=_PAGE):
            for row in rows:
                _add(found.setdefault(row.rule_id, Noise()), row)
            after = rows[-1].cursor
    return found


def _add(noise: Noise, row: AlertRow) -> None:
    noise.alerts += 1
    noise.findings += row.count
    noise.title = row.title
    if len(noise.entities) < ENTITIES_MAX:
        noise.entities.add((row.cluster, row.actor, row.namespace, row.name))


def counted_noise(folder: DataFolder) -> dict[str, Noise]:
    """Return what rules found since the journal began, by their ids, without entities.

    Findings of rules that were not loaded any more, and of those that sources report, are counted together.

    Raises:
        TransientError: the core log can't be read now.
    """
    found: dict[str, Noise] = {}
    for metric, rule_id, count in _tallies(folder):
        noise = found.setdefault(rule_id, Noise())
        if metric == "alerts":
            noise.alerts += count
        else:
            noise.findings += count
    return found


def _tallies(folder: DataFolder) -> Iterator[tuple[str, str, int]]:
    with closing(SqliteCoreReader(folder.core)) as core:
        for (metric, *_, last), count in core.tallies().items():
            if metric in ("alerts", "findings"):
                yield metric, last, count
