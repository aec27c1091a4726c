"""A simulated cluster: days of ordinary life in real formats, with attacks in between that are labelled.

    from vedette.testing.simulator import Simulation, SimulationConfig

    simulation = Simulation(SimulationConfig(pods=50, days=3, seed=7, attacks=("beacon",)))
    for record in simulation.records():
        ...

For whoever measures a detector: `docs/developer/simulator.md` says what is in the mix and why. Everything follows from
the configuration; no clock, no `hash()`, one stream of chance for each entity.
"""
