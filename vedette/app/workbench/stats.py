"""What each rule finds and costs, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vedette.app.folder_access import find_folder
from vedette.app.tuning.unheard import read_counted
from vedette.app.workbench.cost import measure, sample
from vedette.app.workbench.noise import Noise, counted_noise, stored_noise
from vedette.app.workbench.rules_at_hand import open_library
from vedette.pipeline.unheard import REPORTED
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.app.workbench.cost import Cost
    from vedette.journal.sqlite import DataFolder

_OTHERS: Final = "rules that sources report, and former ones"


class RuleStats(msgspec.Struct, frozen=True):
    """One rule. `entities` is None where there is no store, `cost` where there are no events that it is asked about."""

    rule_id: str
    title: str
    level: str
    alerts: int
    findings: int
    entities: int | None
    cost: Cost | None


def read_stats(config: Path | None, data_dir: Path | None, since_ns: int | None) -> list[RuleStats]:
    """Return all configured rules, and those that others report, the noisiest first.

    Without `since_ns` alerts and findings are those since the journal began, with findings in shadow; with it, those of
    the store's alerts that opened since. What is not of configured rules is told as far as the store has it, or in one
    sum where there is none.

    Raises:
        ConfigError: there is no data folder, or no store where it is needed; or rules can't be used.
        TransientError: the data folder can't be read now.
    """
    library = open_library([], config)
    folder = find_folder(config, data_dir)
    stored = _stored(config, data_dir, since_ns)
    found = counted_noise(folder) if since_ns is None or stored is None else stored
    if stored is not None:
        # The counters know loaded rules alone; the store has what sources report, and what former rules found.
        found = {rule_id: noise for rule_id, noise in found.items() if rule_id in library.rules}
        found |= {rule_id: noise for rule_id, noise in stored.items() if rule_id not in library.rules}
    if since_ns is None:
        _add_shadow(found, folder)
    events = sample(folder)
    stats: list[RuleStats] = []
    for rule_id in dict.fromkeys([*library.rules, *found]):
        noise = found.get(rule_id, Noise())
        rule = library.rules.get(rule_id)
        named = Noise() if stored is None else stored.get(rule_id, Noise())
        stats.append(
            RuleStats(
                rule_id,
                rule.info.title if rule is not None else named.title or noise.title or _OTHERS,
                str(rule.info.level) if rule is not None else "",
                noise.alerts,
                noise.findings,
                None if stored is None else len(named.entities),
                measure(library.variants(rule_id), events),
            )
        )
    return sorted(stats, key=lambda one: (-one.alerts, -one.findings, one.title))


def _add_shadow(found: dict[str, Noise], folder: DataFolder) -> None:
    """Add the findings of rules in shadow, which opened no alerts."""
    for rule_id, tally in read_counted(folder).shadow.items():
        noise = found.setdefault(rule_id, Noise(title=rule_id.removeprefix(REPORTED)))
        noise.findings += tally.findings


def _stored(config: Path | None, data_dir: Path | None, since_ns: int | None) -> dict[str, Noise] | None:
    """What the store tells; None where there is none and it is not needed."""
    try:
        return stored_noise(config, data_dir, since_ns)
    except ConfigError:
        if since_ns is not None:
            raise
        return None
