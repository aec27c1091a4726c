"""Writes the dashboards of deploy/grafana. A test compares them with what this makes.

python -m tools.grafana.generate
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.grafana.detections import detections
from tools.grafana.health import pipeline_health
from tools.grafana.tuning import rule_tuning

if TYPE_CHECKING:
    from collections.abc import Callable

    from grafana_foundation_sdk.builders.dashboard import Dashboard

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS: Final[dict[str, Callable[[], Dashboard]]] = {
    "pipeline-health.json": pipeline_health,
    "detections.json": detections,
    "rule-tuning.json": rule_tuning,
}


def render(make: Callable[[], Dashboard]) -> str:
    """Return a dashboard as Grafana imports it."""
    return json.dumps(make().build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, make in DASHBOARDS.items():
        (FOLDER / name).write_text(render(make), "utf-8")
