"""Alerts and events as JSON by HTTP POST, signed: for whatever has no sink of its own.

At least once: what was not answered comes again, with the same `Idempotency-Key`.
"""

from sinks.webhook.settings import WebhookSettings
from sinks.webhook.sink import WebhookSink

__all__ = ["WebhookSettings", "WebhookSink"]
