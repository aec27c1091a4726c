"""Topics of a Kafka cluster, read as a member of a consumer group.

`source` is the life of the source, `member` its place in the group, `claims` how members share partitions so that each
record is stored by one of them, `commits` how that is told to Kafka, `debts` reads what was claimed and not stored
before a crash, `records` turns what Kafka holds into items.
"""

from collector.sources.kafka.settings import KafkaSettings
from collector.sources.kafka.source import KafkaSource

__all__ = ["KafkaSettings", "KafkaSource"]
