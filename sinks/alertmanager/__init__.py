"""Alerts to Prometheus Alertmanager by its API v2: for teams that are paged by it already.

At least once, and a repeat leaves no trace: an Alertmanager tells alerts apart by their labels, and the alert's id is
one of them. Nothing has to be sent again while an alert is open, since each says until when it holds.
"""

from sinks.alertmanager.settings import AlertmanagerSettings
from sinks.alertmanager.sink import AlertmanagerSink

__all__ = ["AlertmanagerSettings", "AlertmanagerSink"]
