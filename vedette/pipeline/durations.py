"""How long each stage takes, counted by the process: what a running agent does, not what the log says.

Nothing is logged beside them: each moves many times a second. Labels are names from the configuration.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from vedette.pipeline.stretch import LATENCY_BUCKETS_S

INTAKE_COMMIT: Final = Histogram(
    "vedette_intake_commit_seconds", "How long group commits of intake took.", buckets=LATENCY_BUCKETS_S
)
DETECTION_COMMIT: Final = Histogram(
    "vedette_detection_commit_seconds", "How long commits of detection took.", buckets=LATENCY_BUCKETS_S
)
DETECTION_BUSY: Final = Counter(
    "vedette_detection_busy_seconds_total", "Time that detection spent on records; a rate near 1 is all that there is."
)
DELIVERY_SEND: Final = Histogram(
    "vedette_delivery_send_seconds",
    "How long a sink took to answer, well or not.",
    ["sink"],
    buckets=LATENCY_BUCKETS_S,
)
