"""Allowed edges: which workloads may talk to which, as a person has written it down. Nothing is learned here.

behaviour:
  type: allowed_edges
  allow:
    - {from: 'shop/*', to: data/postgres, ports: [5432]}     # namespace/workload; * stands for anything
    - {from: '*/*', to: 'monitoring/*'}
    - {from: shop/checkout, to: outside, ports: [443]}       # any address that is not inside

A connection that no line allows deviates (zero trust: what is not allowed is not meant to be). Those with an end that
nobody can name are left alone and counted; so are those that were turned away, which somebody has taken care of.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Final, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.fields import scope_of
from detectors.behaviour.groups import count, named
from detectors.behaviour.plain import Plain
from vedette.schema.observation import Observation
from vedette.schema.operator import KeyedState

OUTSIDE: Final = "outside"
_REMEMBERED_MAX: Final = 65_536
"""Edges whose verdict is remembered."""
_GROUP: Final = ("namespace", "workload", "peer", "port")

_Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
_End = Annotated[str, msgspec.Meta(pattern=rf"^([^/]+/[^/]+|{OUTSIDE})$")]


class Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line: both ends as `namespace/workload` with `*`, and the ports; none means any."""

    to: _End
    source: _End = msgspec.field(name="from")
    ports: tuple[_Port, ...] = ()

    def allows(self, source: str, target: str, port: int) -> bool:
        """Say whether it allows a connection."""
        return (
            (not self.ports or port in self.ports) and fnmatchcase(source, self.source) and fnmatchcase(target, self.to)
        )


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    allow: tuple[Allowed, ...]


class Nothing(msgspec.Struct):
    """There is nothing to remember."""


class AllowedEdges(Plain):
    """Holds connections against a list. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "allowed_edges"
    name = "behaviour_allowed_edges"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin; it never knows more than that."""
        super().__init__()
        self.state: KeyedState[Nothing] = KeyedState(Nothing)
        self._verdicts: dict[tuple[str, str, str, int], bool] = {}

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        del definitions
        self._verdicts.clear()

    def rebuild(self) -> None:
        """Nothing is derived."""

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Hold a connection against the list."""
        if seen.outcome == "deny":
            return None
        target = _target(seen)
        if not seen.workload or not target:
            count(self.left_out, "unresolved", definition)
            return None
        source = f"{seen.namespace}/{seen.workload}"
        edge = (definition.content_hash, source, target, seen.port)
        known = self._verdicts.get(edge)
        if known is None:
            known = self._judge(definition, edge)
        return None if known else _deviation(definition, seen, source, target)

    def _judge(self, definition: Definition, edge: tuple[str, str, str, int]) -> bool:
        if len(self._verdicts) >= _REMEMBERED_MAX:
            self._verdicts.clear()
        lines = cast("Settings", definition.settings).allow
        self._verdicts[edge] = verdict = any(line.allows(*edge[1:]) for line in lines)
        return verdict


def _target(seen: Observation) -> str:
    if seen.peer_workload:
        return f"{seen.peer_namespace}/{seen.peer_workload}"
    return OUTSIDE if scope_of(seen.peer) == "outside" else ""


def _deviation(definition: Definition, seen: Observation, source: str, target: str) -> Deviation:
    to = seen.peer if target == OUTSIDE else target
    lines = cast("Settings", definition.settings).allow
    allowed = [line for line in lines if fnmatchcase(source, line.source)]
    may = ", ".join(f"{line.to}{f' {list(line.ports)}' if line.ports else ''}" for line in allowed[:5]) or "nothing"
    return Deviation(
        definition,
        seen.cluster,
        named(_GROUP, (seen.namespace, seen.workload, target, str(seen.port))),
        normal=f"{source} may talk to {may}",
        seen=f"{source} talked to {to} port {seen.port}",
        unusual="no line of the list allows it",
        last=seen.trace(),
        observation=seen,
        first_ns=seen.time_ns,
    )
