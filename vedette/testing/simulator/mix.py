"""What a simulated stream consists of: a table of kinds, per pod and hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.testing.simulator import audit, falco
from vedette.testing.simulator.cluster import PROMETHEUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.testing.simulator.record import SimulatedRecord

_RULE: Final = b'"rule":"'
_USER: Final = b'"username":"'
_CALLERS: Final = (
    ("system:node:", "kubelets"),
    ("system:serviceaccount:kube-system:", "controllers"),
    ("system:kube-", "controllers"),
    ("system:serviceaccount:monitoring:", "add-ons"),
    ("system:serviceaccount:argocd:", "add-ons"),
    ("system:serviceaccount:ci:deployer", "CI"),
    ("system:serviceaccount:", "workloads"),
    ("", "people"),
)
"""Kinds of callers by the beginning of their names, the first that fits."""


def kind_of(record: SimulatedRecord) -> str:
    """Return a record's kind: of Falco alerts the rule, of audit events who called, of flows what came of it."""
    if record.format == falco.FORMAT:
        return f"falco: {_after(record.payload, _RULE)}"
    if record.format == audit.FORMAT:
        caller = _after(record.payload, _USER)
        return f"audit: {next(kind for beginning, kind in _CALLERS if caller.startswith(beginning))}"
    fields = record.payload.decode().split(" ")
    return "flow: scrapes" if fields[3] == PROMETHEUS else f"flow: {fields[12]} {fields[-1]}"


def _after(payload: bytes, key: bytes) -> str:
    start = payload.index(key) + len(key)
    return payload[start : payload.index(b'"', start)].decode()


def table(counts: Mapping[str, int], pod_hours: int) -> str:
    """Render counts of kinds, per pod and hour too."""
    rows = [(kind, counts[kind]) for kind in sorted(counts)] + [("all", sum(counts.values()))]
    return "\n".join(f"{kind:<45}{count:>10}{count / pod_hours:>9.3f}" for kind, count in rows)
