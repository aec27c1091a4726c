"""What docs/metrics.md promises: each metric's type and labels, and how many series it has at most."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.samples import Sample

DOCS: Final = Path(__file__).parents[4] / "docs" / "metrics.md"
HISTOGRAM_SERIES: Final = 18
_PARTS: Final = ("_bucket", "_count", "_sum")


class Described(NamedTuple):
    """A row of the tables of metrics."""

    kind: str
    labels: frozenset[str]


def described() -> dict[str, Described]:
    """Return each documented metric by its name."""
    rows = re.findall(r"^\| `(vedette_\w+)` \| (\w+) \| (.*?) \|", DOCS.read_text("utf-8"), re.MULTILINE)
    return {name: Described(kind, _labels(labels)) for name, kind, labels in rows}


def series_max(*, s: int, d: int, r: int, e: int) -> dict[str, int]:
    """Return the budget of each documented metric with so many sources, sinks, rules and exceptions."""
    section = DOCS.read_text("utf-8").partition("## How many series")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in section.splitlines() if line[:2] == "| "][1:]
    values = {"s": s, "d": d, "r": r, "e": e}
    plain = {_labels(cell): _evaluate(text, values) for cell, text in rows if not cell.startswith("of ")}
    found: dict[str, int] = {}
    for name, (kind, labels) in described().items():
        if kind == "info":
            found[name] = r if name == "vedette_rule_info" else 1
        else:
            found[name] = plain[labels] * (HISTOGRAM_SERIES if kind == "histogram" else 1)
    return found


def counted(samples: Iterable[Sample]) -> Counter[str]:
    """Count the series of each metric by its documented name."""
    names = described()
    found = Counter[str]()
    for sample in samples:
        base = next((sample.name.removesuffix(part) for part in _PARTS if sample.name.endswith(part)), sample.name)
        found[base if base in names else sample.name] += 1
    return found


def _labels(cell: str) -> frozenset[str]:
    return frozenset(re.findall(r"`(\w+)`", cell))


def _evaluate(formula: str, values: dict[str, int]) -> int:
    """Evaluate `3 s` or `s (r + 1)`."""
    product = 1
    for factor in re.findall(r"\([^)]*\)|\S+", formula):
        product *= sum(values[term] if term in values else int(term) for term in re.findall(r"\w+", factor))
    return product
