"""Rule sets compiled twice where rules have exceptions: as they are, and as the stream is matched with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.engine import Engine
from detectors.watching import watched
from vedette.pipeline.rulesets import compile_rules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vedette.schema.event import Decoder


def compile_watching(
    content: bytes, decoders: Mapping[str, Decoder], cache: Path | None = None
) -> tuple[Engine, Engine]:
    """Compile what `encode_rules` made: the rules, and what the stream is matched with; see `detectors.watching`.

    Raises:
        RuleError: one of the rules can't be used (the first of them).
    """
    engine = compile_rules(content, decoders, cache)
    rules = watched(engine.rules)
    return engine, engine if rules == engine.rules else Engine(
        rules, decoders, engine.correlations, alerts=engine.alerts, definitions=engine.definitions
    )
