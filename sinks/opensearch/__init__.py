"""OpenSearch: alerts and events in dated indices, for searching and dashboards.

Effectively once: an alert is written under its id with its version (`version_type=external`), an event is created under
its own id, and the server's word that it is there already is a success.
"""

from sinks.opensearch.settings import OpenSearchSettings
from sinks.opensearch.sink import OpenSearchSink

__all__ = ["OpenSearchSettings", "OpenSearchSink"]
