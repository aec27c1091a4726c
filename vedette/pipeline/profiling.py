"""Where detection meets profiles beside observations: decisions of operators, and severe alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.enrichers.workload import workload_of
from detectors.behaviour.profiles.control import Action, decide, take_in
from detectors.behaviour.profiles.freezes import actor_name, workload_name
from vedette.schema.errors import ConfigError, DecodeError
from vedette.schema.level import Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectors.behaviour.profiles.store import Profiles
    from vedette.pipeline.control_record import ControlRecord
    from vedette.schema.alert import AlertState


def decide_on_profiles(
    profiles: Profiles, control: ControlRecord, blob: Callable[[str], bytes | None], arrival_ns: int
) -> None:
    """Obey a control record.

    Raises:
        DecodeError: it can't be obeyed.
    """
    try:
        action = Action(control.action)
        if action is not Action.IMPORT:
            decide(profiles, action, control.profiles, control.analyst, arrival_ns)
            return
        content = blob(control.hash)
        assert content is not None, "a control record's blob is stored before it"
        take_in(profiles, content, control.analyst, arrival_ns)
    except (ValueError, ConfigError) as error:
        raise DecodeError("broken control record", str(error)) from error


def freeze_profiles(profiles: Profiles, alert: AlertState) -> None:
    """Let nothing new be learned for a while of what a severe alert is about: its workload, else namespace; its actor.

    What comes now may be the attacker's.
    """
    if not profiles.learns or alert.rule.level.rank < Level.HIGH.rank:
        return
    facts = alert.facts
    if facts.namespace:
        workload = workload_of(facts)
        name = workload_name(facts.namespace, workload.name if workload else "")
        profiles.freezes.freeze(alert.cluster, name, alert.last_seen_ns)
    if facts.actor:
        profiles.freezes.freeze(alert.cluster, actor_name(facts.actor), alert.last_seen_ns)
