"""Silence: a source that used to speak, or the sensor of one node, stops.

Each entity (`by`: the source, or the source and the node) has a habit: how long it is used to pause
(`detectors.behaviour.silence_habit`). One that pauses for `factor` times that, and for `quiet_min` at least, is told
once; when it speaks again, since when and for how long it was silent. All of it goes by arrival time, less the time in
which nobody watched. A pause that was told is not learned.

With the node in `by` two more things must hold, so that it is a sensor that stopped and no more than that:

- its source goes on: other nodes speak. Where the whole source is silent, its own definition says so, once;
- the node goes on (`witness`): calls that the API server ascribes to the node (its kubelet's, its pods') happened well
  after the sensor's last word. A node that is drained, replaced or broken falls silent altogether, and a made-up host
  name never has a kubelet. A kubelet that starts anew gives its sensor the time to do so, too.

A node that is new has the habit of its source's nodes, once it has spoken for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.fields import reader
from detectors.behaviour.groups import Groups, count, named
from detectors.behaviour.plain import Plain, days, shown
from detectors.behaviour.silence_habit import learn, usual_s, watched_s
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation, Trace

SPEAKERS_MAX: Final = 20_000
"""Sources, sensors and nodes that are remembered: 25 MB (measured). A cluster has 5,000 nodes at the most."""
_SWEEP_NS: Final = 5 * SECOND_NS
"""How often, by arrival time, it is asked who is silent. A silence is told where two in a row find it: a kubelet that
has just begun asks for this and that a moment before it asks to be registered."""
_WITNESS_AFTER_S: Final = 30
"""How much later than a sensor its node must have spoken, at the least; else by the sensor's longest usual pause: a
node that broke down in the middle of one was heard of for that long."""
_OTHERS_AFTER_NS: Final = 120 * SECOND_NS
_HABIT_TIMES: Final = 30
"""A habit counts when it was watched for so many times the silence that would be told."""
_YOUNG_TIMES: Final = 20
_YOUNG_S: Final = 3_600
_NODE: Final = "node"
_SOURCE: Final = "source"
_SOURCES: Final = "sources"
_VOUCHED: Final = "nodes"
_NAMES: Final = "names"
"""Owners, as space is shared by: sources, nodes that the API server knows, and names that somebody claims."""
_CLOCK: Final = ("", "", "")
"""The key of a definition's clock: no entity has three names."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    quiet_min_ns: int = 180 * SECOND_NS
    """No shorter silence is told."""
    factor: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    """How many times the usual pause a silence must last."""
    rare_per_mille: Annotated[int, msgspec.Meta(ge=0, le=500)] = 2
    """Share of the time, in thousandths, that may have been spent in longer pauses than the usual one."""
    learn_for_ns: int = 86_400 * SECOND_NS
    forget_after_ns: int = 30 * 86_400 * SECOND_NS
    """Silence without being told, after which somebody is forgotten: nodes that are gone."""
    sensors: tuple[str, ...] = ("falco",)
    """Formats that nodes' sensors speak."""
    witness: bool = True
    """Whether a node must speak while its sensor does not. Without audit logs nobody can tell the two apart."""


class Speaker(msgspec.Struct):
    """Who speaks: when it was last heard, and how long it is used to pause (see `silence_habit`).

    `last_ns` and `up_ns` are arrival times; `up_ns` is when it began again after more than a pause. `told_ns`: when its
    silence was told, 0 if it is not silent. `noticed`: whether it was found silent, but not told yet.
    """

    owner: str
    cluster: str
    names: tuple[str, ...]
    first_ns: int
    last_ns: int
    trace: Trace
    habit: dict[int, int] = {}
    up_ns: int = 0
    told_ns: int = 0
    noticed: bool = False


class _Heard(NamedTuple):
    """What is compared when an entity is silent: itself, its source's nodes, its node, the clock."""

    speaker: Speaker
    others: Speaker | None
    witness: Speaker | None
    up_ns: int
    """Before that nobody could have heard it."""


class Silence(Plain):
    """Notices who falls silent. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "silence"
    name = "behaviour_silence"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having heard anybody."""
        super().__init__()
        self._speakers: Groups[Speaker] = Groups(Speaker, SPEAKERS_MAX, lambda _: 1)
        self.state = self._speakers.state
        self._definitions: tuple[Definition, ...] = ()

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._reads = {found.content_hash: (reader(found.by), reader(found.value)) for found in definitions}
        self._definitions = tuple(definitions)
        self._speakers.keep(definitions)

    def rebuild(self) -> None:
        """Recompute weights."""
        self._speakers.rebuild()

    # --- who speaks ---------------------------------------------------------------------------------------------------
    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Hear somebody; say if they were silent."""
        if _NODE not in definition.by:
            return self._hear(definition, seen, _SOURCES)
        if seen.kind is Kind.CALL:
            if seen.node:
                self._vouch(definition, seen)
            elif seen.resource == "nodes" and seen.verb == "delete" and seen.outcome == "allow":
                self._forget(definition, seen)
            return None
        if not seen.node or seen.format not in cast("Settings", definition.settings).sensors:
            return None
        return self._hear_sensor(definition, seen)

    def _hear(self, definition: Definition, seen: Observation, owner: str) -> Deviation | None:
        names = self._reads[definition.content_hash][0](seen)
        key = self._speakers.key(definition, seen.cluster, names)
        speaker = self._speakers.get(key)
        if speaker is None:
            self._add(definition, key, _speaker(owner, names, seen))
            return None
        pause_ns = seen.arrival_ns - speaker.last_ns
        if not _is_later(seen, speaker):
            return None
        self._speakers.touch(key)
        told = _recovered(definition, speaker, seen) if speaker.told_ns else None
        if told is None and speaker.last_ns >= self._up_ns(definition):
            learn(speaker.habit, pause_ns)
        speaker.told_ns, speaker.noticed = 0, False
        speaker.last_ns, speaker.trace = seen.arrival_ns, seen.trace()
        return told

    def _hear_sensor(self, definition: Definition, seen: Observation) -> Deviation | None:
        names = self._reads[definition.content_hash][0](seen)
        key = self._speakers.key(definition, seen.cluster, names)
        speaker = self._speakers.get(key)
        if speaker is not None and not _is_later(seen, speaker):
            return None
        vouched = self._witness(definition, seen.cluster, names) is not None
        owner = _VOUCHED if vouched else _NAMES
        if speaker is not None and speaker.owner != owner:
            speaker = self._speakers.forget(key)
            speaker.owner = owner
            self._add(definition, key, speaker)
        if vouched or not cast("Settings", definition.settings).witness:
            self._hear_others(definition, names, seen, speaker)
        return self._hear(definition, seen, owner)

    def _hear_others(
        self, definition: Definition, names: tuple[str, ...], seen: Observation, speaker: Speaker | None
    ) -> None:
        """Take note that a source's nodes speak, and how long they pause."""
        key = self._speakers.key(definition, seen.cluster, _without(definition, names, _NODE))
        others = self._speakers.get(key)
        if others is None:
            others = _speaker(_SOURCES, _without(definition, names, _NODE), seen)
            self._add(definition, key, others)
        self._speakers.touch(key)
        if seen.arrival_ns - others.last_ns > _OTHERS_AFTER_NS:
            others.up_ns = seen.arrival_ns
        others.last_ns = seen.arrival_ns
        if (
            speaker is not None
            and not speaker.told_ns
            and speaker.last_ns >= max(others.up_ns, self._up_ns(definition))
        ):
            learn(others.habit, seen.arrival_ns - speaker.last_ns)

    def _vouch(self, definition: Definition, seen: Observation) -> None:
        """Hear of a node from the API server; a kubelet that asks to be registered has just begun."""
        names = _without(definition, self._reads[definition.content_hash][0](seen), _SOURCE)
        key = self._speakers.key(definition, seen.cluster, names)
        node = self._speakers.get(key)
        if node is None:
            node = _speaker(_VOUCHED, names, seen)
            self._add(definition, key, node)
        begins = seen.resource == "nodes" and seen.verb == "create"
        if begins or (_is_later(seen, node) and seen.time_ns > node.trace.time_ns):
            self._speakers.touch(key)
            node.last_ns, node.trace = seen.arrival_ns, seen.trace()
            node.up_ns = seen.arrival_ns if begins else node.up_ns

    def _forget(self, definition: Definition, seen: Observation) -> None:
        """A node was deleted: its sensor has nothing to say any more."""
        place = definition.by.index(_NODE)
        for key, speaker in list(self._speakers.of(definition)):
            if speaker.cluster == seen.cluster and len(speaker.names) > place and speaker.names[place] == seen.name:
                self._speakers.forget(key)

    def _add(self, definition: Definition, key: str, speaker: Speaker) -> None:
        count(self.left_out, "evicted", definition, self._speakers.add(key, speaker))

    # --- who does not -------------------------------------------------------------------------------------------------
    def advance(self, arrival_ns: int) -> list[Deviation]:
        """Return who has fallen silent by now."""
        now_ns = arrival_ns // _SWEEP_NS * _SWEEP_NS
        found: list[Deviation] = []
        for definition in self._definitions:
            key = self._speakers.key(definition, "", _CLOCK)
            clock = self._speakers.get(key)
            if clock is None:
                clock = Speaker(_SOURCES, "", _CLOCK, now_ns, now_ns, Trace(0, 0, 0, "", ""), up_ns=arrival_ns)
                self._add(definition, key, clock)
            elif clock.last_ns < now_ns:
                self._speakers.touch(key)
                clock.last_ns = now_ns
                found += self._sweep(definition, now_ns)
        return found

    def resume(self, arrival_ns: int) -> None:
        """Nobody could be heard until now."""
        for definition in self._definitions:
            key = self._speakers.key(definition, "", _CLOCK)
            clock = self._speakers.get(key)
            if clock is not None:
                self._speakers.touch(key)
                clock.up_ns = arrival_ns

    def _up_ns(self, definition: Definition) -> int:
        clock = self._speakers.get(self._speakers.key(definition, "", _CLOCK))
        return 0 if clock is None else clock.up_ns

    def _sweep(self, definition: Definition, now_ns: int) -> list[Deviation]:
        """Ask who has fallen silent; forget who has been for long, and was not told."""
        settings = cast("Settings", definition.settings)
        earliest_ns, oldest_ns = now_ns - settings.quiet_min_ns, now_ns - settings.forget_after_ns
        told: list[Deviation | None] = []
        for key, speaker in self._speakers.of(definition):
            if speaker.last_ns > earliest_ns or speaker.told_ns or "" in speaker.names:
                continue
            if speaker.last_ns < oldest_ns:
                self._speakers.forget(key)
                continue
            told.append(self._ask(definition, key, speaker, now_ns))
        return [deviation for deviation in told if deviation is not None]

    def _ask(self, definition: Definition, key: str, speaker: Speaker, now_ns: int) -> Deviation | None:
        """Ask whether somebody has fallen silent, who was not before."""
        found = self._examine(definition, speaker, now_ns)
        told = found if speaker.noticed else None
        if (found is not None) is not speaker.noticed or told is not None:
            self._speakers.touch(key)
            speaker.noticed = found is not None
            speaker.told_ns = 0 if told is None else now_ns
        return told

    def _examine(self, definition: Definition, speaker: Speaker, now_ns: int) -> Deviation | None:
        others = witness = None
        if _NODE in definition.by:
            others = self._others(definition, speaker)
            witness = self._witness(definition, speaker.cluster, speaker.names)
        ups = (one.up_ns for one in (others, witness) if one is not None)
        heard = _Heard(speaker, others, witness, max(speaker.last_ns, self._up_ns(definition), *ups))
        bound_ns = _bound_ns(definition, heard, now_ns)
        if bound_ns is None or now_ns - heard.up_ns < bound_ns:
            return None
        if _NODE in definition.by and not _goes_on(cast("Settings", definition.settings), heard):
            return None
        return _fell_silent(definition, heard, now_ns)

    def _others(self, definition: Definition, speaker: Speaker) -> Speaker | None:
        names = _without(definition, speaker.names, _NODE)
        return self._speakers.get(self._speakers.key(definition, speaker.cluster, names))

    def _witness(self, definition: Definition, cluster: str, names: tuple[str, ...]) -> Speaker | None:
        return self._speakers.get(self._speakers.key(definition, cluster, _without(definition, names, _SOURCE)))


def _is_later(seen: Observation, speaker: Speaker) -> bool:
    """Say whether somebody is heard in a later second than last time: the first word of a second is enough of it.

    It is in the second of the clock, so that it does not matter whether more of it is shown (`interest`).
    """
    return seen.arrival_ns // SECOND_NS > speaker.last_ns // SECOND_NS


def _speaker(owner: str, names: tuple[str, ...], seen: Observation) -> Speaker:
    return Speaker(owner, seen.cluster, names, seen.arrival_ns, seen.arrival_ns, seen.trace())


def _without(definition: Definition, names: tuple[str, ...], field: str) -> tuple[str, ...]:
    return tuple("" if by == field else name for by, name in zip(definition.by, names, strict=True))


def _bound_ns(definition: Definition, heard: _Heard, now_ns: int) -> int | None:
    """Return how long a silence is unusual; None where that is not known."""
    settings, speaker, others = cast("Settings", definition.settings), heard.speaker, heard.others
    own_ns, own_s = _silence_ns(settings, speaker.habit), watched_s(speaker.habit)
    if own_s * SECOND_NS >= max(settings.learn_for_ns, _HABIT_TIMES * own_ns):
        return own_ns
    if others is None or now_ns - others.first_ns < settings.learn_for_ns:
        return None
    if own_s * SECOND_NS < max(_YOUNG_S * SECOND_NS, _YOUNG_TIMES * own_ns):
        return None
    others_ns = _silence_ns(settings, others.habit)
    return max(own_ns, others_ns) if watched_s(others.habit) * SECOND_NS >= _HABIT_TIMES * others_ns else None


def _silence_ns(settings: Settings, habit: dict[int, int]) -> int:
    _, pause_s = usual_s(habit, settings.rare_per_mille)
    return max(settings.quiet_min_ns, settings.factor * pause_s * SECOND_NS)


def _goes_on(settings: Settings, heard: _Heard) -> bool:
    """Whether the source speaks without the sensor, and the node does."""
    if heard.others is None or heard.others.last_ns - heard.up_ns < _OTHERS_AFTER_NS:
        return False
    pause_s, _ = usual_s(heard.speaker.habit, settings.rare_per_mille)
    after_ns = heard.speaker.trace.time_ns + max(_WITNESS_AFTER_S, pause_s) * SECOND_NS
    return not settings.witness or (heard.witness is not None and heard.witness.trace.time_ns >= after_ns)


def _fell_silent(definition: Definition, heard: _Heard, now_ns: int) -> Deviation:
    speaker = heard.speaker
    said = "" if heard.witness is None else f"; the node itself was heard of at {_moment(heard.witness.trace.time_ns)}"
    return Deviation(
        definition,
        speaker.cluster,
        named(definition.by, speaker.names),
        normal=_habit(definition, speaker),
        seen=f"nothing since {_moment(speaker.trace.time_ns)}, for {days(now_ns - heard.up_ns)}{said}",
        unusual=f"{(now_ns - heard.up_ns) // SECOND_NS} seconds, where it pauses for "
        f"{_usual_s(definition, speaker)} at most",
        last=speaker.trace,
        first_ns=speaker.trace.time_ns,
        evidence=(("last heard", _moment(speaker.last_ns)), ("silent seconds", (now_ns - heard.up_ns) // SECOND_NS)),
    )


def _recovered(definition: Definition, speaker: Speaker, seen: Observation) -> Deviation:
    silent_ns = seen.arrival_ns - speaker.last_ns
    return Deviation(
        definition,
        speaker.cluster,
        named(definition.by, speaker.names),
        normal=_habit(definition, speaker),
        seen=f"spoke again at {_moment(seen.time_ns)}: it was silent for {days(silent_ns)}, "
        f"since {_moment(speaker.trace.time_ns)}",
        unusual=f"{silent_ns // SECOND_NS} seconds, where it pauses for {_usual_s(definition, speaker)} at most",
        last=seen.trace(),
        observation=seen,
        first_ns=speaker.trace.time_ns,
        evidence=(("last heard", _moment(speaker.last_ns)), ("silent seconds", silent_ns // SECOND_NS)),
    )


def _habit(definition: Definition, speaker: Speaker) -> str:
    return (
        f"{shown(speaker.names)} speaks at least every {_usual_s(definition, speaker)} seconds, "
        f"as seen for {days(watched_s(speaker.habit) * SECOND_NS)}"
    )


def _usual_s(definition: Definition, speaker: Speaker) -> int:
    return usual_s(speaker.habit, cast("Settings", definition.settings).rare_per_mille)[1]


def _moment(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS, UTC):%Y-%m-%d %H:%M:%S} UTC"
