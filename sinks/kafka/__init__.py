"""Alerts and events as records of a Kafka topic, keyed by the alert's id.

At least once: a producer writes each batch once however often it must try, but a batch that an agent had not heard of
when it ended comes again, with the same key and the same `vedette-uid`.
"""

from sinks.kafka.settings import KafkaSettings
from sinks.kafka.sink import KafkaSink

__all__ = ["KafkaSettings", "KafkaSink"]
