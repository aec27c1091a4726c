"""Rule sets compiled twice where rules have exceptions: as they are, and with the watchers of their exceptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.engine import Engine
from detectors.watching import watchers
from vedette.pipeline.rulesets import compile_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.schema.event import Decoder


def compile_watching(content: bytes, decoders: Mapping[str, Decoder]) -> tuple[Engine, Engine]:
    """Compile what `encode_rules` made: the rules, and what the stream is matched with.

    Raises:
        RuleError: one of the rules can't be used (the first of them).
    """
    engine = compile_rules(content, decoders)
    return engine, watching_engine(engine, decoders)


def watching_engine(engine: Engine, decoders: Mapping[str, Decoder]) -> Engine:
    """Return an engine with the same rules, and with watchers; the same engine where there are no exceptions."""
    beside = watchers(engine.rules)
    return Engine([*engine.rules, *beside], decoders, engine.correlations) if beside else engine
