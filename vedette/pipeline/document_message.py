"""One sentence that tells an alert: who did what, to what, from where, how often. Safe to show on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.schema.limits import SECOND_NS
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.schema.alert import AlertState
    from vedette.schema.event import Facts

PART_CHARS_MAX: Final = 160
"""Characters of one value in the sentence: a Kubernetes name has up to 253, but a sentence is read at a glance."""
ALSO_MAX: Final = 3
"""Other rules that the sentence names."""
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def message(state: AlertState, facts: Facts) -> str:
    """Tell the alert in one sentence, from its (bounded) facts."""
    where = f" in cluster {_short(state.cluster)}" if state.cluster else ""
    return safe_text(f"{_short(state.rule.title)}: {sentence(facts)}{where}{_often(state)}{_also(state)}")


def sentence(facts: Facts) -> str:
    """Tell who did what, to what, from where: one safe line in bounds."""
    return " ".join(_words(facts))


def target_of(facts: Facts) -> str:
    """Name what it was done to in a few words: kind and path of the object, else the pod, host or node."""
    path = "/".join(filter(None, (facts.namespace, facts.name or facts.pod)))
    if facts.resource:
        return f"{facts.resource} {path}".rstrip()
    return path or facts.container or facts.container_id or facts.node


def _words(facts: Facts) -> Iterator[str]:
    yield _short(facts.actor or facts.process or (facts.sources[-1] if facts.sources else "") or "somebody")
    if facts.actor_real:
        yield f"(really {_short(facts.actor_real)})"
    if facts.action:
        yield f"did {_short(facts.action)}"
    target = target_of(facts)
    if target:
        yield f"on {_short(target)}"
    if facts.container and facts.container != target:
        yield f"container {_short(facts.container)}"
    if facts.command or (facts.actor and facts.process):
        yield f'running "{_short(facts.command or facts.process)}"'
    if facts.sources and (facts.actor or facts.process):
        yield f"from {_short(facts.sources[-1])}"
    if facts.destinations:
        yield f"to {_short(facts.destinations[0])}" + (
            f" port {facts.destination_port}" if facts.destination_port else ""
        )
    if facts.outcome != "unknown":
        yield f"({_short(facts.outcome)})"


def _often(state: AlertState) -> str:
    if state.count == 1:
        return ""
    return f", {state.count} times within {duration(state.last_seen_ns - state.first_seen_ns)}"


def _also(state: AlertState) -> str:
    """Name other rules that saw it."""
    titles = dict.fromkeys(_short(one.rule.title) for one in state.contributions)
    titles.pop(_short(state.rule.title), None)
    if not titles:
        return ""
    named = list(titles)[:ALSO_MAX]
    more = [f"{len(titles) - len(named)} more"] if len(titles) > len(named) else []
    return f"; also {', '.join([*named, *more])}"


def duration(span_ns: int) -> str:
    """Say a span of time in its largest whole unit, rounded up, at least one second: `5 min`."""
    span_s = max(1, -(-span_ns // SECOND_NS))
    name, unit_s = next((name, unit_s) for name, unit_s in _UNITS if span_s >= unit_s)
    return f"{-(-span_s // unit_s)} {name}"


def _short(text: str) -> str:
    return safe_text(text, PART_CHARS_MAX)
