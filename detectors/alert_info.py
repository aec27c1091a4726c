"""What is said of an alert that a sensor reports: it stands in place of what the sensor says."""

from __future__ import annotations

import msgspec

from vedette.schema.level import Level


class AlertInfo(msgspec.Struct, frozen=True):
    """What a table says of one alert; what it leaves out is None, and stays as the sensor has it.

    `covers` names the rows of the coverage table (`C20`) that the alert is about. What is in `shadow` counts,
    and alerts nobody. `pack` ships the table.
    """

    level: Level | None = None
    attack: tuple[str, ...] | None = None
    controls: tuple[str, ...] | None = None
    dedup_by: tuple[str, ...] | None = None
    covers: tuple[str, ...] | None = None
    references: tuple[str, ...] | None = None
    falsepositives: tuple[str, ...] | None = None
    dedup_as: str | None = None
    description: str | None = None
    shadow: bool | None = None
    pack: str = ""
