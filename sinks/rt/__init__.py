"""Alerts as tickets of Request Tracker 5: one ticket for each thing that goes wrong, one comment for each update."""

from sinks.rt.settings import RtSettings
from sinks.rt.sink import RtSink

__all__ = ["RtSettings", "RtSink"]
