"""Attacks at play: when, by whom, on whom; what they leave behind, labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from vedette.testing.simulator.attacks import api, containers, network, persons, silence
from vedette.testing.simulator.attacks.stage import Attack, Quiet, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vedette.testing.simulator.cluster import Cluster
    from vedette.testing.simulator.people import PersonActor
    from vedette.testing.simulator.record import Emission
    from vedette.testing.simulator.workload import WorkloadActor

    Play: TypeAlias = Callable[[Stage], Iterator[Emission | int]]

__all__ = ["PLAYS", "Attack", "AttackActor", "Quiet"]

PLAYS: Final[Mapping[str, Play]] = {
    "port_scan": network.port_scan,
    "host_sweep": network.host_sweep,
    "forbidden_enumeration": api.forbidden_enumeration,
    "secret_harvest": persons.secret_harvest,
    "slow_exfiltration": network.slow_exfiltration,
    "burst_exfiltration": network.burst_exfiltration,
    "token_from_new_network": api.token_from_new_network,
    "credential_in_two_networks": persons.credential_in_two_networks,
    "sensor_killed": silence.sensor_killed,
    "source_silent": silence.source_silent,
    "beacon": network.beacon,
    "new_process": containers.new_process,
    "miner": containers.miner,
    "lateral_edge": network.lateral_edge,
    "service_account_new_verb": api.service_account_new_verb,
    "mass_delete": persons.mass_delete,
    "persistent_cron_job": api.persistent_cron_job,
    "night_exec": persons.night_exec,
    "drift": containers.drift,
    "credential_files_read": containers.credential_files_read,
    "api_flood": api.api_flood,
}
"""How each scenario is played: what it yields is a record, or the time that it waits for."""


class AttackActor:
    """One attack; `advance` is called for one slot after another, when all others have lived it."""

    def __init__(
        self,
        number: int,
        name: str,
        cluster: Cluster,
        workloads: Sequence[WorkloadActor],
        people: Sequence[PersonActor],
    ) -> None:
        """Draw the attack.

        Raises:
            ValueError: no such scenario, or too few days for it.
        """
        if name not in PLAYS:
            raise ValueError(f"no scenario {name!r}; there are {', '.join(PLAYS)}")
        self._stage = Stage(number, name, cluster, workloads, people)
        self.attack = self._stage.attack
        self._play = PLAYS[name](self._stage)
        self._waits_ns = self._stage.start_ns

    @property
    def quiet(self) -> Sequence[Quiet]:
        """What it silenced."""
        return self._stage.quiet

    def advance(self, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """Play what falls into the slot."""
        del start_ns
        while self._waits_ns < end_ns:
            step = next(self._play, None)
            if step is None:
                self._waits_ns = self._stage.cluster.config.end_ns
                return
            if isinstance(step, int):
                self._waits_ns = step
            else:
                out.append(step._replace(label=self._stage.label))
