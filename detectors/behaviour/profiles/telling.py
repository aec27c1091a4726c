"""Words for what is outside of a profile."""

from __future__ import annotations

from typing import Final, NamedTuple

from detectors.behaviour.definition import Definition
from detectors.behaviour.fields import FIELDS
from detectors.behaviour.plain import days
from detectors.behaviour.profiles.lessons import ADDRESS, EGRESS, NETWORK, WORKLOAD, Lesson
from detectors.behaviour.profiles.state import SEPARATOR, Profile, unpacked
from detectors.behaviour.profiles.store import News
from detectors.behaviour.profiles.terms import Aspect
from detectors.engine import bounded_text
from vedette.schema.observation import Kind, Observation

_SHOWN: Final = 5
_CHARS: Final = 120
_NAMED: Final = {
    Kind.CALL: ("actor",),
    Kind.CONNECTION: ("namespace", "workload"),
}
_IN_CONTAINER: Final = ("namespace", "workload", "container")
_DOES: Final = {
    Aspect.PROGRAMS: "ran",
    Aspect.FILES: "opened",
    Aspect.PEERS: "had",
    Aspect.CALLS: "made",
    Aspect.ACTORS: "was used by",
    Aspect.IMAGES: "ran",
}
_THINGS: Final = {
    Aspect.PROGRAMS: ("program", "programs"),
    Aspect.FILES: ("file", "files"),
    Aspect.PEERS: ("connection", "different connections"),
    Aspect.CALLS: ("request", "different requests"),
    Aspect.ACTORS: ("user and client", "users and clients"),
    Aspect.IMAGES: ("image", "images"),
}


class Told(NamedTuple):
    """Normal, seen and unusual in words, and what was compared."""

    normal: str
    seen: str
    unusual: str
    evidence: tuple[tuple[str, str], ...] = ()


def tell(news: News, seen: Observation) -> Told:
    """Put news into words."""
    profile, aspect = news.profile, news.lesson.aspect
    age = days(max(0, seen.time_ns - profile.since_ns))
    values = [*profile.values, *profile.startup]
    does, who = _DOES[aspect], entity_text(profile.entity)
    usual = "; ".join(value_text(aspect, value)[:_CHARS] for value in _usual(profile))
    known = f"in {age} {who} {does} {_counted(len(values), aspect)}"
    state = "locked" if profile.locked_ns else "learned"
    return Told(
        f"{known}{', most often: ' if usual else ''}{usual}",
        f"{who} {does} {bounded_text(value_text(aspect, _value_of(news.lesson)))}",
        f"not in its {state} profile of {age}" + _near(news),
        _evidence(aspect, _value_of(news.lesson), seen),
    )


def group_of(definition: Definition, seen: Observation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the entity that deviations are gathered by: what the definition says, else who did it."""
    names = definition.by or _NAMED.get(seen.kind, _IN_CONTAINER)
    return names, tuple(FIELDS[name](seen) for name in names)


def entity_text(entity: tuple[str, ...]) -> str:
    """Name an entity for people."""
    kind, cluster, *names = entity
    where = f" in cluster {cluster[:_CHARS]}" if cluster else ""
    return f"{kind.replace('_', ' ')} {'/'.join(name[:_CHARS] for name in names if name)}{where}"


def value_text(aspect: str, value: str) -> str:
    """Write a value for people."""
    parts = value.split(SEPARATOR)
    if aspect == Aspect.PROGRAMS:
        return f"{parts[0]} started by {parts[1] or '?'}" if len(parts) > 1 else value
    if aspect == Aspect.PEERS:
        return _peer_text(parts)
    if aspect == Aspect.CALLS and len(parts) == 5:  # noqa: PLR2004 - see lessons
        verb, group, resource, agent, namespace = parts
        what = f"{resource}.{group}" if group else resource
        return f"{verb} {what} in {namespace or 'no namespace'} with {agent or '?'}"
    return " with ".join(parts)


def _peer_text(parts: list[str]) -> str:
    direction, protocol, kind, peer = (*parts, "", "", "", "")[:4]
    ports = parts[4:]
    to = "to" if direction == EGRESS else "from"
    name = {WORKLOAD: peer, NETWORK: f"network {peer}", ADDRESS: f"address {peer}"}.get(kind, f"{kind} {peer}")
    address = f" ({ports[0]})" if kind == NETWORK and len(ports) > 1 else ""
    return f"{direction} {to} {name}{address} port {ports[-1] if ports else '*'}/{protocol or '?'}"


def _usual(profile: Profile) -> list[str]:
    """The values seen in the most hours."""
    return sorted(profile.values, key=lambda value: (-unpacked(profile.values[value]).hours, value))[:_SHOWN]


def _near(news: News) -> str:
    """Say how close it is to what is known."""
    if news.lesson.aspect is not Aspect.PROGRAMS:
        return ""
    path = _value_of(news.lesson).split(SEPARATOR)[0]
    parents = [value.split(SEPARATOR)[1] for value in news.profile.values if value.startswith(path + SEPARATOR)]
    return f"; it is known, but started by {', '.join(sorted(parents)[:_SHOWN])}" if parents else ""


def _value_of(lesson: Lesson) -> str:
    return lesson.value


def _counted(count: int, aspect: Aspect) -> str:
    one, many = _THINGS[aspect]
    return f"{count} {one if count == 1 else many}"


def _evidence(aspect: Aspect, value: str, seen: Observation) -> tuple[tuple[str, str], ...]:
    names = {
        Aspect.PROGRAMS: ("process", "parent", "command", "image"),
        Aspect.FILES: ("file", "process"),
        Aspect.PEERS: ("address", "peer", "port", "process"),
        Aspect.CALLS: ("verb", "resource", "namespace", "user_agent"),
        Aspect.ACTORS: ("actor", "address", "user_agent"),
        Aspect.IMAGES: ("image", "pod"),
    }[aspect]
    found = [(name, bounded_text(FIELDS[name](seen))) for name in names]
    return (*((name, text) for name, text in found if text), ("profile value", value.replace(SEPARATOR, " ")))
