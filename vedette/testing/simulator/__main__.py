"""`python -m vedette.testing.simulator`: simulated days as files, one for each format, and the truth about them."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import orjson
from cyclopts import App, Parameter

from vedette.testing.simulator import FLOW_FIELDS, SimulatedRecord, Simulation, SimulationConfig, audit, falco, flow
from vedette.testing.simulator.mix import kind_of, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES: Final[Mapping[str, str]] = {
    audit.FORMAT: "kube_audit.jsonl",
    falco.FORMAT: "falco.jsonl",
    flow.FORMAT: "vpc_flow.txt",
}
"""The file of each format, inside the folder."""
LABELS: Final = "labels.jsonl"

app = App(name="python -m vedette.testing.simulator", version_flags=[])


@app.default
def simulate(
    *,
    out: Annotated[Path | None, Parameter(help="Folder for the files. Without it, records are only counted.")] = None,
    pods: Annotated[int, Parameter(help="Pods that stand at mean load.")] = 50,
    days: Annotated[int, Parameter(help="Days; the first is a Monday.")] = 2,
    seed: Annotated[int, Parameter(help="Below 10000: for tuning; from there on: for reporting.")] = 7,
    learning_days: Annotated[int, Parameter(help="Days before the first attack.")] = 1,
    attack: Annotated[list[str] | None, Parameter(negative="", help="A scenario; can be given several times.")] = None,
) -> int:
    """Write audit events, Falco alerts and flow records of a simulated cluster, and tell how many of each kind.

    labels.jsonl has a line for each attack (`"kind": "attack"`), and one for each record of it: file and line.
    """
    try:
        simulation = Simulation(SimulationConfig(pods, days, seed, learning_days, tuple(attack or ())))
    except ValueError as error:
        print(error)  # noqa: T201 - it talks to people
        return 2
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    started_s = time.process_time()
    kinds = Counter(map(kind_of, simulation.records() if out is None else written(simulation, out)))
    spent_s = time.process_time() - started_s
    print(table(kinds, pods * days * 24))  # noqa: T201 - as above
    print(f"{kinds.total() / spent_s:.0f} records per second of CPU")  # noqa: T201 - as above
    return 0


def written(simulation: Simulation, folder: Path) -> Iterator[SimulatedRecord]:
    """Write all records and labels into a folder; yield the records."""
    lines = dict.fromkeys(FILES, 0)
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context((folder / file).open("wb")) for name, file in FILES.items()}
        labels = stack.enter_context((folder / LABELS).open("wb"))
        files[flow.FORMAT].write(FLOW_FIELDS.encode() + b"\n")
        lines[flow.FORMAT] += 1
        for record in simulation.records():
            lines[record.format] += 1
            files[record.format].write(record.payload + b"\n")
            if record.label is not None:
                where = {"file": FILES[record.format], "line": lines[record.format], "time_ns": record.time_ns}
                labels.write(orjson.dumps({"kind": "record"} | where | record.label._asdict()) + b"\n")
            yield record
        for attack in simulation.attacks:
            truth = asdict(attack) | {"entity": attack.entity._asdict()}
            labels.write(orjson.dumps({"kind": "attack"} | truth) + b"\n")


if __name__ == "__main__":
    app()
