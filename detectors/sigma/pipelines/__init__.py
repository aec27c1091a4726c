"""The processing pipelines that ship: repairs of public rules, and sensors that stand in for other log sources.

A new sensor is a module with `covers` and `items`, and a line in SENSORS. A rule that several sensors cover runs on
each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from sigma.processing.pipeline import ProcessingItem

from detectors.sigma.pipelines import falco, k8s_audit
from vedette.schema.event import LogSource

Items = Callable[[], list[ProcessingItem]]


class Sensor(NamedTuple):
    """A pipeline that turns rules of some log sources into rules on the events of a sensor."""

    covers: Callable[[LogSource], bool]
    items: Items


REPAIRS: Final[dict[str, Items]] = {"k8s_audit": k8s_audit.items}
SENSORS: Final[dict[str, Sensor]] = {"falco": Sensor(falco.covers, falco.items)}
