"""Alerts out: one destination per module, named as its configuration key names it.

A sink delivers a batch or raises `TransientError` (try again, perhaps later) or `PermanentError` (set this one
aside); the pipeline owns retries, order and acknowledgement. Delivery is at least once, so every sink sends a stable
identifier that lets its destination drop a repeat. Sinks are strangers to each other.

A new sink is a module here, a line in `SINKS`, a page in docs/sinks, and a row in the contract tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel

from sinks.alertmanager import AlertmanagerSettings, AlertmanagerSink
from sinks.kafka import KafkaSettings, KafkaSink
from sinks.opensearch import OpenSearchSettings, OpenSearchSink
from sinks.rt import RtSettings, RtSink
from sinks.stdout import StdoutSettings, StdoutSink
from sinks.store import StoreSettings, StoreSink
from sinks.syslog import SyslogSettings, SyslogSink
from sinks.webhook import WebhookSettings, WebhookSink
from vedette.runtime.sink import Sink
from vedette.runtime.sink_context import SinkContext

__all__ = ["SINKS", "SinkContext", "SinkFactory"]

SinkFactory = Callable[[str, Any, SinkContext], Sink]
"""`(name, settings, context) -> Sink`: `settings` is an instance of the class that stands beside the factory. Making a
sink opens nothing and never fails."""

SINKS: Final[dict[str, tuple[type[BaseModel], SinkFactory]]] = {
    "alertmanager": (AlertmanagerSettings, AlertmanagerSink),
    "kafka": (KafkaSettings, KafkaSink),
    "opensearch": (OpenSearchSettings, OpenSearchSink),
    "rt": (RtSettings, RtSink),
    "stdout": (StdoutSettings, StdoutSink),
    "store": (StoreSettings, StoreSink),
    "syslog": (SyslogSettings, SyslogSink),
    "webhook": (WebhookSettings, WebhookSink),
}
"""Every kind of sink by its configuration key."""
