"""What an analyst decided about an alert."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.text import clip_text, whole_text

ANALYST_CHARS_MAX: Final = 256
"""Characters of the name of whoever decided; the longest name that Linux and LDAP directories commonly take."""


class Judgement(StrEnum):
    """What an alert turned out to be; the names are those of the command line and of documents."""

    TRUE_POSITIVE = "true_positive"
    """An attack, or what the rule is there to find."""
    FALSE_POSITIVE = "false_positive"
    """The rule is wrong about it."""
    BENIGN = "benign"
    """The rule is right, and it was allowed."""


class Verdict(msgspec.Struct, frozen=True):
    """A decision; `time_ns` is the arrival of its record. The words are anybody's: whoever shows them escapes them."""

    judgement: Judgement
    analyst: str = ""
    reason: str = ""
    time_ns: int = 0


def make_verdict(judgement: Judgement, analyst: str, reason: str, time_ns: int) -> Verdict:
    """Return a verdict whose words are bounded, and such that UTF-8 can carry them."""
    return Verdict(
        judgement,
        clip_text(whole_text(analyst), ANALYST_CHARS_MAX),
        clip_text(whole_text(reason), TEXT_CHARS_MAX),
        time_ns,
    )
