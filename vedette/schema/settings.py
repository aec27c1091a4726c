"""What of the configuration changes detection. It enters the intake log as a blob, like rule sets do."""

from __future__ import annotations

import msgspec

from vedette.schema.limits import (
    OPEN_ALERTS_MAX,
    REVISION_INTERVAL_NS,
    REVISION_INTERVAL_NS_MAX,
    ROLLUP_WINDOW_NS,
)


class SourceLabels(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the operator says about the records of one source."""

    cluster: str = ""
    labels: dict[str, str] = {}


class RollUpSettings(msgspec.Struct, frozen=True):
    """How findings become alerts; times in ns of arrival time."""

    window_ns: int = ROLLUP_WINDOW_NS
    revision_interval_ns: int = REVISION_INTERVAL_NS
    revision_interval_ns_max: int = REVISION_INTERVAL_NS_MAX
    open_alerts_max: int = OPEN_ALERTS_MAX


class DetectionSettings(msgspec.Struct, frozen=True):
    """All settings that detection reads; `cluster` holds where a source names none."""

    cluster: str = ""
    sources: dict[str, SourceLabels] = {}
    rollup: RollUpSettings = RollUpSettings()
    shadow: tuple[str, ...] = ()
    """Packs, ids and titles of the rules that count, and alert nobody."""
    heard: tuple[str, ...] = ()
    """Those that alert all the same, whatever keeps them in shadow."""

    def of(self, source: str) -> SourceLabels:
        """Return cluster and labels for the records of a source."""
        own = self.sources.get(source)
        if own is None:
            return SourceLabels(self.cluster)
        return own if own.cluster else SourceLabels(self.cluster, own.labels)


def encode_settings(settings: DetectionSettings) -> bytes:
    """Encode canonically: equal settings give equal bytes."""
    return msgspec.json.encode(settings, order="deterministic")


def decode_settings(content: bytes) -> DetectionSettings:
    """Decode what `encode_settings` made."""
    return msgspec.json.decode(content, type=DetectionSettings)
