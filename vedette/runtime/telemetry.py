"""Operational events: one frozen class per occurrence that logs one structured line and moves its metric in one call.

So logs and metrics never disagree. Labels come from the class's own `labels`, which name only fields with bounded
values (configured names, enums, constants), never what an attacker chooses. Ends with the process's standard logging.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from typing import TYPE_CHECKING, ClassVar, TextIO

from prometheus_client import Counter

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class OperationalEvent:
    """Base of operational events. Subclasses are frozen dataclasses whose fields are the log line's.

    `component` is the module path people know (`sources.http`), `level` a logging level, `metric` the counter that
    moves by `amount()` with `labels` taken from the fields of those names.
    """

    component: ClassVar[str]
    message: ClassVar[str]
    level: ClassVar[int] = logging.INFO
    metric: ClassVar[Counter | None] = None
    labels: ClassVar[tuple[str, ...]] = ()

    def amount(self) -> float:
        """How far the metric moves: by one, unless the event has a `count`."""
        return float(getattr(self, "count", 1))

    def emit(self) -> None:
        """Log the line and move the metric."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.metric is not None:
            target = self.metric.labels(*(str(fields[label]) for label in self.labels)) if self.labels else self.metric
            target.inc(self.amount())
        logging.getLogger(f"vedette.{self.component}").log(self.level, self.message, extra={"fields": fields})


class JsonLines(logging.Formatter):
    """One JSON object a line, ASCII only: what an attacker wrote stays inside its quotes, on terminals too."""

    def format(self, record: logging.LogRecord) -> str:
        """Render time, level, component, message and the event's fields."""
        fields: Mapping[str, object] = getattr(record, "fields", {})
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "component": record.name.removeprefix("vedette."),
            "message": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: str = "info", stream: TextIO = sys.stderr) -> None:
    """Send the log of the whole process to `stream` as JSON lines; called once, by the application."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    hush_libraries()


def hush_libraries() -> None:
    """Keep what is secret out of the logs of others: httpx logs each URL, and at debug the header fields."""
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)
