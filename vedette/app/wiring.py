"""From the configuration to the parts that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.sources import SOURCES
from detectors.packs import read_rule_files, shipped_pack_texts
from sinks import SINKS, SinkContext
from vedette.pipeline.deliver import Delivery
from vedette.pipeline.notes import CoreNotes
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.rule import RuleText
    from vedette.app.config import Config, Rules
    from vedette.journal.sqlite import DataFolder
    from vedette.pipeline.core_thread import CoreThread
    from vedette.runtime.clock import Clock
    from vedette.runtime.parcel import Intake
    from vedette.runtime.source import Source
    from vedette.schema.event import Decoder


def read_rules(rules: Rules) -> list[RuleText]:
    """Read the texts of all configured rules.

    Raises:
        ConfigError: a pack or a path is not there. RuleError: a file can't be read as text.
    """
    shipped = shipped_pack_texts()
    packs = {text.pack for text in shipped}
    for name in rules.packs:
        if name not in packs:
            message = f"rules.packs: there is no shipped pack `{name}`; there is {', '.join(sorted(packs))}"
            raise ConfigError(message)
    return [text for text in shipped if text.pack in rules.packs] + read_rule_files(rules.paths)


def build_sources(config: Config, intake: Intake, decoders: Mapping[str, Decoder]) -> list[Source]:
    """Make the configured sources.

    Raises:
        ConfigError: a source names a format that is not there.
    """
    return [SOURCES[entry.kind][1](name, entry.settings, intake, decoders) for name, entry in config.sources.items()]


def build_deliveries(config: Config, folder: DataFolder, core: CoreThread, clock: Clock) -> list[Delivery]:
    """Make the configured deliveries."""
    deliveries: list[Delivery] = []
    for name, entry in config.sinks.items():
        context = SinkContext(folder.path, clock, CoreNotes(name, core, clock))
        sink = SINKS[entry.kind][1](name, entry.settings, context)
        deliveries.append(Delivery(sink, entry.policy(), core, clock))
    return deliveries
