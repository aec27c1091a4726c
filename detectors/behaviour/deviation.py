"""What a detector of behaviour found: what is normal, what came, how unusual that is."""

from __future__ import annotations

from typing import NamedTuple

from detectors.behaviour.definition import Definition
from vedette.schema.finding import Clause
from vedette.schema.observation import Observation, Trace
from vedette.schema.rule import RuleInfo

TRACES_MAX = 20
"""Records that a deviation names beside the last one."""


class Deviation(NamedTuple):
    """One finding of a detector of behaviour.

    `group`: with the definition and the cluster it makes the alert's identity; names and values of fields, in order.
    `normal`, `seen` and `unusual` are sentences for people, made of bounded texts: what is normal for whom, what came,
    and how unusual it is. `evidence` is what was compared, by the names that people know (at most some dozen values).

    `last` is the record that showed it; `observation` is what was seen in it, None where time alone told (silence, the
    end of a window). `first_ns` is the event time at which it began, `traces` are other records that show it, in order.
    """

    definition: Definition
    cluster: str
    group: tuple[tuple[str, str], ...]
    normal: str
    seen: str
    unusual: str
    last: Trace
    observation: Observation | None = None
    first_ns: int = 0
    traces: tuple[Trace, ...] = ()
    evidence: tuple[tuple[str, str | int | float], ...] = ()

    @property
    def info(self) -> RuleInfo:
        """What the definition says about itself."""
        return self.definition.info

    def clauses(self) -> tuple[Clause, ...]:
        """Explain: normal, seen, unusual, then each value that was compared, by its name."""
        where = f"behaviour.{self.definition.type}"
        told = (("normal", self.normal), ("seen", self.seen), ("unusual", self.unusual))
        named = ", ".join(name for name, _ in self.group)
        return (
            *(Clause(f"{where}.{part}", named, sentence) for part, sentence in told if sentence),
            *(Clause(where, name, "was compared", value=value) for name, value in (*self.group, *self.evidence)),
        )
