"""Types, labels and meanings of all metrics for docs/metrics.md, from the families in the code."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, Final

from prometheus_client import REGISTRY

import collector
import sinks
import vedette
from tests.vedette.app.metrics.conftest import LIVE, READING
from vedette.app.metrics.scraper import Page

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_ROW: Final = re.compile(r"^\| `(vedette_\w+)` \|.*\|$", re.MULTILINE)
_SUFFIXES: Final = {"counter": "_total", "info": "_info"}


def render(page: str) -> str:
    """Write each row of the page's tables anew; which table a metric stands in is the page's to say.

    Raises:
        KeyError: a row names a metric that is not there.
    """
    found = rows()
    return _ROW.sub(lambda row: found[row[1]], page)


def rows() -> dict[str, str]:
    """Return the row of each metric by its name."""
    for package in (collector, sinks, vedette):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    families = [*Page(READING, LIVE).collect()]
    named = {f"{family.name}{_SUFFIXES.get(family.type, '')}": family for family in families}
    return {name: _row(name, family) for name, family in named.items() if name.startswith("vedette_")}


def _labels(family: Metric) -> tuple[str, ...]:
    """Labels of a family made for a scrape, of one that the process keeps, or (of an info) of its series."""
    kept = {getattr(each, "_name", ""): each for each in REGISTRY._collector_to_names}
    named: tuple[str, ...] = getattr(kept.get(family.name, family), "_labelnames", ())
    return named or tuple(dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le"))


def _row(name: str, family: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in _labels(family))
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |".replace("|  |", "| |")
