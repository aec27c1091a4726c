"""Checks what a configuration names, beyond its own keys: rules, packs, formats, what sinks can take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.loading import load_rules
from vedette.app.rule_set import check_names
from vedette.app.wiring import build_sinks, build_sources, read_rules
from vedette.runtime.sink_context import SinkContext
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.falco.evaluation import FalcoOptions
    from detectors.rule import LoadedRules, RuleText
    from vedette.app.config import Config
    from vedette.runtime.parcel import Intake


class Checked(NamedTuple):
    """What was found: how many rules, and which of them can never match, with the reason."""

    rules: int
    dead: list[tuple[str, str]]


def check_config(config: Config) -> Checked:
    """Make all that `run` would make before it opens anything.

    Raises:
        ConfigError: a pack, a path or a format is not there, a sink can't take events, or rules can't be used.
        RuleError: a file of rules can't be read as text.
    """
    # Sources keep the door to intake for later, and sinks open nothing yet: nothing is started here.
    build_sources(config, cast("Intake", None), DECODERS)
    build_sinks(config, lambda _: SinkContext(config.data_dir))
    loaded = usable_rules(read_rules(config.rules), config.rules.falco.options())
    check_names(config.rules, loaded.infos)
    dead = Engine(loaded.rules, DECODERS).dead
    return Checked(len(loaded.infos), [(f"{rule.info.pack}: {rule.info.title}", reason) for rule, reason in dead])


def usable_rules(texts: Iterable[RuleText], falco: FalcoOptions) -> LoadedRules:
    """Load rules, all or nothing.

    Raises:
        ConfigError: some can't be used; a line for each.
    """
    loaded = load_rules(texts, falco=falco)
    if loaded.errors:
        raise ConfigError("\n".join(map(str, loaded.errors)))
    return loaded
