"""What detectors of behaviour find and miss on simulated days: alerts told apart by the attacks they belong to.

    score = play(definitions, SimulationConfig(pods=50, days=6, seed=7, attacks=("beacon",)))
    score.alerts            # every alert, with the attack that it shows or ""
    score.missed()          # attacks without an alert of medium or higher

Deviations roll up as in the pipeline: those of one definition and group within an hour of the first are one alert. An
alert belongs to an attack if one of its records was made by it; an alert that time alone brought, or a habit in which
the attack's records are few among many, belongs to it if it names the attack's entity while the attack lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vedette.schema.level import Level
from vedette.schema.limits import ROLLUP_WINDOW_NS, SECOND_NS
from vedette.testing.behaviour import BehaviourWatch
from vedette.testing.simulator import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectors.behaviour.definition import Definition
    from vedette.pipeline.observing import Deviated
    from vedette.testing.simulator import Attack, SimulatedRecord, SimulationConfig

_DAY_NS: Final = 86_400 * SECOND_NS
_AFTER_NS: Final = 2 * 3_600 * SECOND_NS
"""How long after an attack an alert may still tell of it: the end of an interval that it fell into."""
_LABELS_KEPT: Final = 200_000


class Alert(NamedTuple):
    """An alert: which definition, about what, when (arrival time, ns), and of which attack ("" for none)."""

    title: str
    type: str
    level: Level
    group: tuple[str, ...]
    time_ns: int
    attack: str
    normal: str
    seen: str


class Score(NamedTuple):
    """What came of a simulation. `judged_from_ns`: alerts before, while everything was new, count for nothing."""

    config: SimulationConfig
    attacks: tuple[Attack, ...]
    alerts: list[Alert]
    records: int
    judged_from_ns: int

    @property
    def judged_days(self) -> float:
        """How many days were judged."""
        return (self.config.end_ns - self.judged_from_ns) / _DAY_NS

    def false_alerts(self, level: Level = Level.LOW) -> list[Alert]:
        """Return the alerts of a level or higher that no attack made."""
        return [alert for alert in self.alerts if not alert.attack and alert.level.rank >= level.rank]

    def found(self, attack: Attack, level: Level = Level.LOW) -> list[Alert]:
        """Return the alerts that show an attack, the first one first."""
        return [one for one in self.alerts if one.attack == attack.attack_id and one.level.rank >= level.rank]

    def missed(self, level: Level = Level.LOW) -> list[Attack]:
        """Return the attacks that no alert shows."""
        return [attack for attack in self.attacks if not self.found(attack, level)]


def play(
    definitions: Sequence[Definition],
    config: SimulationConfig,
    *,
    judge_after_days: float,
    each: Callable[[SimulatedRecord], None] | None = None,
) -> Score:
    """Run definitions over a simulation; `each` is shown every record."""
    simulation = Simulation(config)
    scoring = Scoring(BehaviourWatch(definitions), simulation, config, judge_after_days)
    for record in simulation.records():
        if each is not None:
            each(record)
        scoring.feed(record)
    return scoring.score()


class Scoring:
    """Scores one simulation as it goes on."""

    def __init__(
        self, watch: BehaviourWatch, simulation: Simulation, config: SimulationConfig, judge_after_days: float
    ) -> None:
        """Begin with what `watch` has learned so far."""
        self._watch = watch
        self._simulation = simulation
        self._config = config
        self._judged_from_ns = config.end_ns - int((config.days - judge_after_days) * _DAY_NS)
        self._labels: dict[int, str] = {}
        self._open: dict[tuple[str, tuple[str, ...]], tuple[int, int]] = {}
        self._alerts: list[Alert] = []

    def feed(self, record: SimulatedRecord) -> None:
        """Feed one record."""
        if record.label is not None:
            self._labels[self._watch.seq + 1] = record.label.attack
            if len(self._labels) > _LABELS_KEPT:
                del self._labels[next(iter(self._labels))]
        for found in self._watch.feed(record):
            self._take(found)

    def score(self) -> Score:
        """Return what came of it."""
        return Score(self._config, self._simulation.attacks, self._alerts, self._watch.seq, self._judged_from_ns)

    def _take(self, found: Deviated) -> None:
        now_ns, attack = self._watch.arrival_ns, self._attack_of(found)
        key = (found.info.rule_id, found.group)
        closes_ns, position = self._open.get(key, (0, -1))
        if now_ns < closes_ns:
            if attack and position >= 0 and not self._alerts[position].attack:
                self._alerts[position] = self._alerts[position]._replace(attack=attack)
            return
        judged = now_ns >= self._judged_from_ns
        self._open[key] = (now_ns + ROLLUP_WINDOW_NS, len(self._alerts) if judged else -1)
        if judged:
            told = found.deviation
            kind = told.definition.type
            self._alerts.append(
                Alert(found.info.title, kind, found.info.level, found.group, now_ns, attack, told.normal, told.seen)
            )

    def _attack_of(self, found: Deviated) -> str:
        told = found.deviation
        for trace in (told.last, *told.traces):
            if trace.seq in self._labels:
                return self._labels[trace.seq]
        values = {value for _, value in told.group} | {str(value) for _, value in told.evidence}
        for attack in self._simulation.attacks:
            entity = attack.entity
            names = {entity.name, f"{entity.namespace}/{entity.name}"} - {"", "/"}
            lasts = attack.start_ns <= self._watch.arrival_ns <= attack.end_ns + _AFTER_NS
            if lasts and (names & values or any(value.endswith(f":{entity.name}") for value in values if entity.name)):
                return attack.attack_id
        return ""
