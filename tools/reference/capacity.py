"""The figures of docs/capacity.md, from the last soak that was kept (bench/results/soak.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT: Final = Path(__file__).parents[2] / "bench" / "results" / "soak.json"
BEGIN: Final = "<!-- Figures of bench/results/soak.json, written by `make docs`. -->\n"
END: Final = "<!-- End of the figures. -->"
MIB: Final = 1024 * 1024
_ROWS: Final = (
    ("memory of the agent alone, MiB", "memory_bytes", MIB, 1),
    ("open files", "files", 1, 0),
    ("threads", "threads", 1, 0),
    ("intake log, MiB", "log_bytes", MIB, 1),
    ("store, MiB", "store_bytes", MIB, 1),
    ("core log, MiB", "core_bytes", MIB, 1),
    ("from due to answered, p50, ms", "p50_ms", 1, 1),
    ("from due to answered, p99, ms", "p99_ms", 1, 1),
    ("records that wait for detection", "waiting", 1, 0),
    ("CPU of the agent, µs a record", "us_per_record", 1, 1),
)


def render(page: str) -> str:
    """Write what stands between the marks anew."""
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    return before + BEGIN + "\n".join(_figures(json.loads(KEPT.read_text("utf-8")))) + "\n" + END + after


def _figures(soak: dict[str, Any]) -> Iterator[str]:
    machine = soak["machine"]
    loads = " to ".join(f"{machine[when][0]:.1f}" for when in ("load_before", "load_after"))
    yield ""
    yield (
        f"On {machine['cores']} cores with Python {machine['python']} (load average {loads}) the agent detected at "
        f"most **{soak['maximum_rate']:,} records/s**. It was then offered **{soak['rate']:,.0f} records/s for "
        f"{soak['seconds'] / 60:.0f} minutes**: {soak['sent']:,.0f} records, each answered and detected once."
    )
    yield from ("", "| median of each third | first | second | last |", "|---|---|---|---|")
    for title, name, unit, digits in _ROWS:
        yield f"| {title} | {' | '.join(f'{third[name] / unit:,.{digits}f}' for third in soak['thirds'])} |"
    yield from ("", "| claim, of the last two thirds | figure | at most | |", "|---|---|---|---|")
    for claim in soak["claims"]:
        if claim["unit"]:
            held = "holds" if claim["holds"] else "**broken**"
            yield f"| {claim['name']} | {_said(claim, 'figure')} | {_said(claim, 'bound')} {_unit(claim)} | {held} |"
    accounted = all(claim["holds"] for claim in soak["claims"] if not claim["unit"])
    fine = "Nothing was refused, taken for a repetition, dead-lettered or left waiting, and the ledger balances."
    yield from ("", fine if accounted else "**Not every record is accounted for.**", "")


def _said(claim: dict[str, Any], name: str) -> str:
    value = claim[name] / MIB if claim["unit"] == "bytes" else claim[name]
    return f"{value:,.0f}" if abs(value) >= 10 or float(value).is_integer() else f"{value:.2g}"


def _unit(claim: dict[str, Any]) -> str:
    return "MiB" if claim["unit"] == "bytes" else str(claim["unit"])
