"""Connections out of flow records: the flow view.

A flow log has a record for each direction of a connection, each window of aggregation and each interface that saw it;
behaviour is about connections. Until they are merged, each raw flow counts as a connection of its own.
"""

from __future__ import annotations

from msgspec.structs import replace

from vedette.schema.observation import Kind, Observation


class FlowView:
    """Makes connections of what is observed."""

    def take(self, seen: Observation) -> tuple[Observation, ...]:
        """Return the observations that detectors are shown in place of one."""
        return (replace(seen, kind=Kind.CONNECTION),) if seen.kind is Kind.FLOW else (seen,)
