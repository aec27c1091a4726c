"""From the configuration to the parts that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.sources import SOURCES
from detectors.packs import read_rule_files, shipped_pack_texts
from sinks import SINKS, SinkContext
from vedette.journal.sqlite import SqliteEventReader
from vedette.pipeline.alert_feed import AlertFeed
from vedette.pipeline.delivery import Delivery
from vedette.pipeline.event_feed import EventFeed
from vedette.pipeline.notes import CoreNotes
from vedette.runtime.sink import EventSink
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from detectors.rule import RuleText
    from vedette.app.config import Config, Rules
    from vedette.journal.sqlite import DataFolder
    from vedette.pipeline.core_thread import CoreThread
    from vedette.pipeline.stretch import Feed
    from vedette.runtime.clock import Clock
    from vedette.runtime.parcel import Intake
    from vedette.runtime.sink import Sink
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


def build_sinks(config: Config, context: Callable[[str], SinkContext]) -> dict[str, Sink]:
    """Make the configured sinks, each with the context for its name.

    Raises:
        ConfigError: a sink is to deliver events and can't.
    """
    sinks = {name: SINKS[entry.kind][1](name, entry.settings, context(name)) for name, entry in config.sinks.items()}
    for name, entry in config.sinks.items():
        if entry.log == "events" and not isinstance(sinks[name], EventSink):
            able = [kind for kind, (_, factory) in SINKS.items() if hasattr(factory, "deliver_events")]
            others = f"use one of {', '.join(able)}, or remove `log`" if able else "remove `log`"
            raise ConfigError(f"sinks.{name}.log: `{entry.kind}` takes alerts only; {others}")
    return sinks


def build_deliveries(
    config: Config, folder: DataFolder, core: CoreThread, clock: Clock, decoders: Mapping[str, Decoder]
) -> list[Delivery]:
    """Make the configured deliveries; new ones of the events log begin where it ends now.

    Raises:
        ConfigError: as `build_sinks`. TransientError: the intake log can't be read.
    """
    sinks = build_sinks(config, lambda name: SinkContext(folder.path, clock, CoreNotes(name, core, clock)))
    settings = config.detection_settings()
    deliveries: list[Delivery] = []
    for name, entry in config.sinks.items():
        sink, policy = sinks[name], entry.policy()
        feed: Feed[Any]
        if entry.log == "events":
            assert isinstance(sink, EventSink), "build_sinks has seen to it"
            reader = SqliteEventReader(folder.intake)
            feed = EventFeed(sink, policy.filter, core, reader, decoders=decoders, settings=settings)
        else:
            feed = AlertFeed(sink, policy.filter, core)
        deliveries.append(Delivery(feed, policy, core, clock))
    return deliveries
