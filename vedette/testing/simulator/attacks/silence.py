"""Attacks that show as silence: nothing carries their label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vedette.testing.simulator import audit, falco
from vedette.testing.simulator.attacks.stage import Entity, Quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.testing.simulator.attacks.stage import Stage
    from vedette.testing.simulator.record import Emission

    Steps = Iterator[Emission | int]


def sensor_killed(stage: Stage) -> Steps:
    """Falco on one node falls silent."""
    end_ns = stage.start_ns + stage.span_ns("hours")
    nodes = [stage.cluster.node_at(slot, stage.start_ns) for slot in range(len(stage.cluster.slots))]
    node = stage.random.choice([node for node in nodes if node.ended_ns > end_ns] or nodes)
    stage.attack.entity = Entity("node", node.name)
    yield from _silence(stage, falco.FORMAT, node.name)


def source_silent(stage: Stage) -> Steps:
    """The audit log falls silent."""
    stage.attack.entity = Entity("source", audit.FORMAT)
    yield from _silence(stage, audit.FORMAT, "")


def _silence(stage: Stage, format_name: str, node: str) -> Steps:
    end_ns = stage.start_ns + stage.span_ns("hours")
    stage.quiet.append(Quiet(format_name, node, stage.start_ns, end_ns))
    stage.attack.end_ns = end_ns
    yield stage.start_ns
