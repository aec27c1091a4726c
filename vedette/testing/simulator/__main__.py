"""`python -m vedette.testing.simulator`: simulated days as files, one for each format, and the truth about them."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import orjson
from cyclopts import App, Parameter

from vedette.testing.simulator import FLOW_FIELDS, Simulation, SimulationConfig, audit, falco, flow

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    out: Annotated[Path, Parameter(help="Folder for the files; it is made if need be.")],
    pods: Annotated[int, Parameter(help="Pods that stand at mean load.")] = 50,
    days: Annotated[int, Parameter(help="Days; the first is a Monday.")] = 2,
    seed: Annotated[int, Parameter(help="Below 10000: for tuning; from there on: for reporting.")] = 7,
    learning_days: Annotated[int, Parameter(help="Days before the first attack.")] = 1,
    attack: Annotated[list[str] | None, Parameter(negative="", help="A scenario; can be given several times.")] = None,
) -> int:
    """Write audit events, Falco alerts and flow records of a simulated cluster, and labels.jsonl.

    labels.jsonl has a line for each attack (`"kind": "attack"`), and one for each record of it: file and line.
    """
    config = SimulationConfig(pods, days, seed, learning_days, tuple(attack or ()))
    try:
        simulation = Simulation(config)
    except ValueError as error:
        print(error)  # noqa: T201 - it talks to people
        return 2
    out.mkdir(parents=True, exist_ok=True)
    counts = write(simulation, out)
    for format_name, count in counts.items():
        print(f"{out / FILES[format_name]}: {count} records")  # noqa: T201 - as above
    return 0


def write(simulation: Simulation, folder: Path) -> dict[str, int]:
    """Write all records and labels into a folder; return how many records there are of each format."""
    counts = dict.fromkeys(FILES, 0)
    with contextlib.ExitStack() as stack:
        files: dict[str, BinaryIO] = {
            name: stack.enter_context((folder / file).open("wb")) for name, file in FILES.items()
        }
        labels = stack.enter_context((folder / LABELS).open("wb"))
        files[flow.FORMAT].write(FLOW_FIELDS.encode() + b"\n")
        for record in simulation.records():
            counts[record.format] += 1
            files[record.format].write(record.payload + b"\n")
            if record.label is not None:
                line = counts[record.format] + (record.format == flow.FORMAT)
                where = {"kind": "record", "file": FILES[record.format], "line": line, "time_ns": record.time_ns}
                labels.write(orjson.dumps(where | record.label._asdict()) + b"\n")
        for attack in simulation.attacks:
            truth = asdict(attack) | {"entity": attack.entity._asdict()}
            labels.write(orjson.dumps({"kind": "attack"} | truth) + b"\n")
    return counts


if __name__ == "__main__":
    app()
