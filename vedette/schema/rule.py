"""What every detection says about itself, whatever language it is written in."""

from __future__ import annotations

import msgspec

from vedette.schema.level import Level


class RuleInfo(msgspec.Struct, frozen=True):
    """The part of a rule that alerts, lists and metrics show.

    `rule_id`: stable id (Sigma: its UUID; a Falco alert: `falco:<rule name>`). `title`: the name people know.
    `attack`: MITRE ATT&CK ids (`T1609`, `TA0002`), upper case. `controls`: NIST control ids (`SP 800-53 AU-12`).
    `dedup_by`: the fields whose values, with the rule and the cluster, make the dedup key; empty means the log
    source's default; `@event` is the event's own identity (an alert for each event). `dedup_as`: a name that stands for
    the rule in the dedup key, so that what several rules see of one thing is one alert. `pack`: the pack that ships it,
    or the file it came from.
    """

    rule_id: str
    title: str
    level: Level
    description: str = ""
    attack: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    author: str = ""
    status: str = ""
    dedup_by: tuple[str, ...] = ()
    pack: str = ""
    dedup_as: str = ""
