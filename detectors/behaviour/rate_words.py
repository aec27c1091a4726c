"""What a rate anomaly says to people."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import orjson

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.groups import named
from detectors.behaviour.plain import days, shown
from detectors.behaviour.rate_baseline import Clock, Tally

_MANY: Final = 10_000
"""From here on, odds are told by their power of ten."""


class Judged(NamedTuple):
    """How likely an interval is, by which baseline, and whether that is the entity's own."""

    chance: float
    base: Tally
    own: bool


def told(definition: Definition, clock: Clock, key: str, tally: Tally, slot: int, judged: Judged) -> Deviation:
    """Say what an interval had, and what was to be expected; the tally has a `last` record."""
    assert tally.last is not None, "what is told has a record"
    cluster, entity = orjson.loads(key[key.index("[") :])
    counted, before = tally.counts(slot)
    mean, _ = clock.expect(judged.base, slot)
    each = days(clock.interval_ns)
    known = days((slot - judged.base.since) * clock.interval_ns)
    whose = shown(entity) if judged.own else f"all newcomers of the class of {shown(entity)} together"
    return Deviation(
        definition,
        cluster,
        named(definition.by, entity),
        normal=f"in {known} of history: {_rounded(mean)} in {each} at this hour of the week expected of {whose}, "
        f"{judged.base.most} at most so far",
        seen=f"{counted} in {each}" + (f", and {before} in the {each} before" if before else ""),
        unusual=f"by chance so many come {_odds(judged.chance)}",
        last=tally.last,
        first_ns=tally.first_ns if slot == tally.slot else slot * clock.interval_ns,
        evidence=(("count", counted), ("expected", round(mean, 4)), ("chance", judged.chance)),
    )


def _rounded(mean: float) -> str:
    return f"{mean:.0f}" if mean >= 10 else f"{mean:.2g}"  # noqa: PLR2004 - digits that people read


def _odds(chance: float) -> str:
    if chance <= 0.0:
        return "practically never"
    if chance * _MANY > 1.0:
        return f"once in {1.0 / chance:,.0f} intervals"
    return f"once in 10^{math.floor(-math.log10(chance))} intervals"
