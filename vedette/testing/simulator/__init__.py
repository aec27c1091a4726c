"""A simulated cluster: days of ordinary life in real formats, with attacks in between that are labelled.

    from vedette.testing.simulator import Simulation, SimulationConfig

    simulation = Simulation(SimulationConfig(pods=50, days=3, seed=7, attacks=("beacon",)))
    for record in simulation.records():
        ...

For whoever measures a detector: `docs/developer/simulator.md` says what is in the mix and why. Everything follows from
the configuration; no clock, no `hash()`, one stream of chance for each entity.
"""

from vedette.testing.simulator.attacks import Attack
from vedette.testing.simulator.attacks.stage import Entity
from vedette.testing.simulator.cluster import SimulationConfig
from vedette.testing.simulator.flow import FIELDS as FLOW_FIELDS
from vedette.testing.simulator.record import Label, SimulatedRecord
from vedette.testing.simulator.scenarios import REPORTING_SEEDS_FROM, SCENARIOS, Phase, phase_of
from vedette.testing.simulator.simulation import Simulation

__all__ = [
    "FLOW_FIELDS",
    "REPORTING_SEEDS_FROM",
    "SCENARIOS",
    "Attack",
    "Entity",
    "Label",
    "Phase",
    "SimulatedRecord",
    "Simulation",
    "SimulationConfig",
    "phase_of",
]
