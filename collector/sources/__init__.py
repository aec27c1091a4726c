"""Where telemetry comes from: one origin per module, named as its configuration key names it.

A source turns an origin (a port, a file, a topic) into records and moves its cursor, or answers its peer, only after
the journal has made those records durable. Sources are strangers to each other and know no decoder.
"""

from typing import Any, Final

from collector.sources.falco_grpc import FalcoGrpcSettings, FalcoGrpcSource
from collector.sources.files import FilesSettings, FilesSource
from collector.sources.http import HttpSettings, HttpSource
from collector.sources.kafka import KafkaSettings, KafkaSource
from collector.sources.stdin import StdinSettings, StdinSource

SOURCES: Final[dict[str, tuple[type[Any], type[Any]]]] = {
    "http": (HttpSettings, HttpSource),
    "files": (FilesSettings, FilesSource),
    "falco_grpc": (FalcoGrpcSettings, FalcoGrpcSource),
    "kafka": (KafkaSettings, KafkaSource),
    "stdin": (StdinSettings, StdinSource),
}
"""Every source by its configuration key: its settings, and its class `(name, settings, intake, decoders)`."""
