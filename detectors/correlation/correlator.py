"""The operator that keeps the windows of correlations, and says when their conditions hold.

Conditions that more events can only make true fire at once, and then stay quiet for one time span. Those that only the
end of a window can tell are judged when the watermark has passed it: windows follow each other from a group's first
event on; an empty one is the last. docs/rules/correlations.md states it in full.

Bounded: a group keeps its newest events; of a correlation that takes up too much, the owner (the actor of the events)
with the most of it loses its oldest group. What is left out or lost is counted.
"""

from __future__ import annotations

import copy
import heapq
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec
import orjson

from detectors.correlation.crowd import Crowd
from detectors.correlation.definition import Correlation, Kind, Member
from detectors.correlation.finding import Finding, Firing, group_text, owner_of, tuple_text
from detectors.correlation.watermarks import Watermarks
from detectors.correlation.window import Entry, after_time, from_time, judge, order_of
from detectors.values import number
from vedette.schema.alert import Evidence
from vedette.schema.event import Facts
from vedette.schema.limits import (
    CORRELATION_EVENTS_MAX,
    CORRELATION_GROUP_EVENTS_MAX,
    CORRELATION_SAMPLE_CHARS_MAX,
    EVIDENCE_ITEMS_MAX,
)
from vedette.schema.operator import KeyedState

_KEY_CHARS: Final = 16
_ANCHORS_MAX: Final = 16
"""Windows that an event which comes out of order is judged in; in order it is one."""
_STEP_NS: Final = 250_000_000
"""Event time goes on this often (arrival time)."""
_INTEGER_MAX: Final = (1 << 63) - 1
_NEVER: Final = -(1 << 62)


class Group(msgspec.Struct):
    """The events of one correlation that agree in the keys. `quiet_until_ns`: no window up to here fires.

    Of correlations that wait: `start_ns` begins the window under way, `fired` is what was said of the one before,
    `last` its last event.
    """

    values: tuple[str, ...]
    cluster: str
    owner: str
    entries: list[Entry]
    quiet_until_ns: int = _NEVER
    start_ns: int = 0
    fired: bool = False
    last: Entry | None = None


@dataclass(slots=True)
class _Live:
    """A correlation at work, and what is derived from its groups."""

    correlation: Correlation
    key: str
    below: tuple[str, ...]
    events_min: float
    timers: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    crowd: Crowd = field(default_factory=Crowd)


class Correlator:
    """Windows over findings. Implements `vedette.schema.operator.Operator`; `watermarks` is one of its own."""

    name = "correlations"
    version = 1

    def __init__(self) -> None:
        """Begin without correlations."""
        self.state: KeyedState[Group] = KeyedState(Group)
        self.watermarks = Watermarks()
        self.events_max = CORRELATION_EVENTS_MAX
        self.left_out: dict[tuple[str, str], int] = {}
        """What was counted since somebody last cleared it, by reason and correlation: late, no_group, no_value,
        shortened, evicted."""
        self._live: dict[str, _Live] = {}
        self._members: dict[str, list[tuple[_Live, int, Member]]] = {}
        self.silent = frozenset[str]()
        """Rules and correlations that do not alert on their own, since one over them has `generate: false`."""
        self._seq = -1
        self._counted: set[tuple[str, int]] = set()

    # --- the set of correlations --------------------------------------------------------------------------------------
    def use(self, correlations: Sequence[Correlation]) -> None:
        """Put correlations in force, those that others refer to before them; unchanged ones keep their groups."""
        keys = {correlation.info.rule_id: correlation.content_hash[:_KEY_CHARS] for correlation in correlations}
        self._live = {}
        self._members = {}
        for correlation in correlations:
            below = tuple(keys[member.rule_id] for member in correlation.members if member.rule_id in keys)
            live = _Live(correlation, keys[correlation.info.rule_id], below, correlation.events_min)
            self._live[live.key] = live
            for position, member in enumerate(correlation.members):
                self._members.setdefault(member.rule_id, []).append((live, position, member))
        silent = (correlation.members for correlation in correlations if not correlation.generate)
        self.silent = frozenset(member.rule_id for members in silent for member in members)
        for key in [key for key in self.state if key[:_KEY_CHARS] not in self._live]:
            self.state.pop(key)
        self.watermarks.forget(self._live)
        self.rebuild()

    def rebuild(self) -> None:
        """Recompute timers and weights from the groups."""
        for live in self._live.values():
            live.timers, live.crowd = [], Crowd()
        for key in self.state:
            group, owner = self.state.get(key), self._live.get(key[:_KEY_CHARS])
            if group is not None and owner is not None:
                live = owner
                live.crowd.change(group.owner, key, max(1, len(group.entries)))
                live.timers.append((_due(live.correlation, group), key))
        for live in self._live.values():
            heapq.heapify(live.timers)

    # --- the stream ---------------------------------------------------------------------------------------------------
    def refers_to(self, rule_id: str) -> bool:
        """Say whether a correlation looks at the findings of a rule."""
        return rule_id in self._members

    def observe(self, rule_id: str, finding: Finding) -> list[Firing]:
        """Take a finding of a rule; return what fires now, correlations over others after those."""
        if finding.seq != self._seq:
            self._seq = finding.seq
            self._counted.clear()
        firings: list[Firing] = []
        for live, position, member in self._members.get(rule_id, ()):
            counts_as = (live.key, position if live.correlation.kind.is_temporal else 0)
            if counts_as not in self._counted:
                firings += self._take(live, position, member, finding, counts_as)
        return firings

    def advance(self, arrival_ns: int) -> list[Firing]:
        """Let arrival time go on: windows that the watermark has passed are judged, what can't matter is forgotten."""
        if not self._live or arrival_ns // _STEP_NS == self.watermarks.last_arrival_ns // _STEP_NS:
            return []
        self.watermarks.arrive(arrival_ns)
        return [firing for live in self._live.values() for firing in self._expire(live, arrival_ns)]

    def resume(self, arrival_ns: int) -> None:
        """Begin again after a pause: windows under way last longer by it, since nobody watched."""
        pause_ns = self.watermarks.resume(arrival_ns)
        for key in self.state if pause_ns else ():
            group, live = self.state.get(key), self._live[key[:_KEY_CHARS]]
            if group is not None and live.correlation.waits:
                self.state.touch(key)
                group.start_ns += pause_ns
                heapq.heappush(live.timers, (_due(live.correlation, group), key))

    def finish(self, arrival_ns: int) -> list[Firing]:
        """Judge what the end of the input leaves open: all has been read, but nothing is known of times behind it."""
        end_ns = self.watermarks.newest()
        firings: list[Firing] = []
        for live in self._live.values():
            firings += self._close_until(live, end_ns, arrival_ns)
            groups = [(key, group) for key in self.state if (group := self.state.get(key)) is not None]
            for key, group in groups:
                if live.correlation.waits and key.startswith(live.key) and group.entries:
                    firings += self._judge_window(live, key, group, arrival_ns)
        return firings

    # --- findings -----------------------------------------------------------------------------------------------------
    def _take(
        self, live: _Live, position: int, member: Member, finding: Finding, counts_as: tuple[str, int] | None
    ) -> list[Firing]:
        values = tuple(group_text(finding.values(fields)) for fields in member.group_by)
        if not all(values):
            return self._leave_out("no_group", live)
        entry = _entry(live.correlation, position, member, finding)
        if entry is None:
            return self._leave_out("no_value", live)
        if counts_as is not None:
            self._counted.add(counts_as)
            self.watermarks.see(live.key, finding.source, finding.time_ns, finding.arrival_ns)
        if finding.time_ns < self.watermarks.get(live.key):
            return self._leave_out("late", live)
        entry.samples = [_shortened(sample) for sample in finding.samples()]
        key = live.key + orjson.dumps((finding.cluster, values)).decode()
        group = self._group(live, key, values, finding)
        at = _insert(group, entry)
        if live.correlation.waits:
            entry.facts = finding.facts()
            self._wait(live, key, group, entry)
            firings = []
        else:
            firings = self._judge_at(live, group, at, finding)
        self._bound(live, key, group)
        return firings

    def _leave_out(self, reason: str, live: _Live) -> list[Firing]:
        counted = (reason, live.correlation.info.rule_id)
        self.left_out[counted] = self.left_out.get(counted, 0) + 1
        return []

    def _group(self, live: _Live, key: str, values: tuple[str, ...], finding: Finding) -> Group:
        group = self.state.get(key)
        if group is not None:
            self.state.touch(key)
            return group
        group = Group(values, finding.cluster, owner_of(finding.facts()), [], start_ns=finding.time_ns)
        self.state.put(key, group)
        heapq.heappush(live.timers, (finding.time_ns + live.correlation.timespan_ns, key))
        return group

    def _bound(self, live: _Live, key: str, group: Group) -> None:
        """Forget what no window can need any more, and what is too much."""
        entries = group.entries
        if not live.correlation.waits:
            past = from_time(entries, self.watermarks.get(live.key) - live.correlation.timespan_ns)
            del entries[: min(past, len(entries) - 1)]
        if len(entries) > CORRELATION_GROUP_EVENTS_MAX:
            del entries[0]
            self._leave_out("shortened", live)
        live.crowd.change(group.owner, key, max(1, len(entries)))
        while live.crowd.weight > self.events_max:
            self._forget(live, live.crowd.first_to_go())
            self._leave_out("evicted", live)

    def _forget(self, live: _Live, key: str) -> None:
        live.crowd.change(self.state.pop(key).owner, key, 0)

    # --- conditions that fire at once ---------------------------------------------------------------------------------
    def _judge_at(self, live: _Live, group: Group, at: int, finding: Finding) -> list[Firing]:
        """Judge the windows that end with the new entry, and with those after it that can hold it."""
        correlation, entries = live.correlation, group.entries
        last_ns = entries[at].time_ns + correlation.timespan_ns
        for _ in range(_ANCHORS_MAX):
            if at >= len(entries) or entries[at].time_ns > last_ns:
                return []
            end_ns = entries[at].time_ns
            start, at = from_time(entries, end_ns - correlation.timespan_ns), after_time(entries, end_ns)
            if end_ns > group.quiet_until_ns and at - start >= live.events_min:
                verdict = judge(correlation, entries, start, at)
                if verdict.holds:
                    group.quiet_until_ns = end_ns + correlation.timespan_ns
                    return self._fire(
                        Firing(
                            correlation,
                            group.values,
                            group.cluster,
                            _copies(entries[start:at]),
                            verdict.measured,
                            is_empty=False,
                            time_ns=end_ns,
                            seq=finding.seq,
                            arrival_ns=finding.arrival_ns,
                            source=finding.source,
                            facts_found=finding.facts,
                        )
                    )
        return []

    # --- conditions that wait -----------------------------------------------------------------------------------------
    def _wait(self, live: _Live, key: str, group: Group, entry: Entry) -> None:
        if entry.time_ns < group.start_ns:
            group.start_ns = entry.time_ns
            heapq.heappush(live.timers, (_due(live.correlation, group), key))

    def _expire(self, live: _Live, arrival_ns: int) -> list[Firing]:
        below = [self.watermarks.get(key) for key in live.below]
        return self._close_until(live, self.watermarks.advance(live.key, arrival_ns, below), arrival_ns)

    def _close_until(self, live: _Live, watermark_ns: int, arrival_ns: int) -> list[Firing]:
        firings: list[Firing] = []
        timers = live.timers
        while timers and timers[0][0] <= watermark_ns:
            timer = heapq.heappop(timers)
            while timers and timers[0] == timer:  # a key that was forgotten and came back
                heapq.heappop(timers)
            due_ns, key = timer
            group = self.state.get(key)
            if group is None:
                continue
            actual_ns = _due(live.correlation, group)
            if actual_ns == due_ns and live.correlation.waits:
                firings += self._judge_window(live, key, group, arrival_ns)
            elif actual_ns == due_ns:
                self._forget(live, key)
            elif actual_ns > due_ns and not live.correlation.waits:
                heapq.heappush(timers, (actual_ns, key))
        return firings

    def _judge_window(self, live: _Live, key: str, group: Group, arrival_ns: int) -> list[Firing]:
        """Judge the window under way and begin the next one; an empty window is a group's last."""
        self.state.touch(key)
        correlation, entries = live.correlation, group.entries
        end_ns = group.start_ns + correlation.timespan_ns
        count = from_time(entries, end_ns)
        verdict = judge(correlation, entries, 0, count)
        firings: list[Firing] = []
        if verdict.holds and (count or not group.fired):
            firings = self._fire(_closed(correlation, group, count, verdict.measured, end_ns, arrival_ns))
        if count:
            group.last = entries[count - 1]
        del entries[:count]
        group.start_ns, group.fired = (end_ns, verdict.holds) if count or not entries else (entries[0].time_ns, False)
        if not count and not entries:
            self._forget(live, key)
        else:
            live.crowd.change(group.owner, key, max(1, len(entries)))
            heapq.heappush(live.timers, (_due(correlation, group), key))
        return firings

    def _fire(self, firing: Firing) -> list[Firing]:
        """Hand a firing to the correlations that refer to it."""
        above = self._members.get(firing.correlation.info.rule_id, ())
        return [firing, *(more for live, at, member in above for more in self._take(live, at, member, firing, None))]


def _due(correlation: Correlation, group: Group) -> int:
    """Return the watermark at which a group's window ends, or from which on no window can need its events."""
    if correlation.waits:
        return group.start_ns + correlation.timespan_ns
    return group.entries[-1].time_ns + correlation.timespan_ns + 1


def _entry(correlation: Correlation, position: int, member: Member, finding: Finding) -> Entry | None:
    """Make an entry without samples; None where the finding lacks the value that the correlation is about."""
    found = [finding.values(fields) for fields in member.value]
    if not all(found):
        return None
    amount: int | float | None = 0
    if correlation.kind.is_numeric:
        amount = number(found[0][0])
        if isinstance(amount, int) and abs(amount) > _INTEGER_MAX:
            amount = None
    if amount is None:
        return None
    text = tuple_text(found) if correlation.kind is Kind.VALUE_COUNT else ""
    return Entry(finding.time_ns, finding.seq, position, text, amount, [])


def _insert(group: Group, entry: Entry) -> int:
    """Put an entry in its place, which is returned; only the newest ones of a group keep raw bytes of their events."""
    entries = group.entries
    if not entries or order_of(entry) >= order_of(entries[-1]):
        entries.append(entry)
        at = len(entries) - 1
    else:
        insort(entries, entry, key=order_of)
        at = next(at for at in range(from_time(entries, entry.time_ns), len(entries)) if entries[at] is entry)
    bare = min(at, len(entries) - 1 - EVIDENCE_ITEMS_MAX)
    if bare >= 0:
        entries[bare].samples = [_bare(sample) for sample in entries[bare].samples]
    return at


def _shortened(sample: Evidence) -> Evidence:
    if len(sample.raw) <= CORRELATION_SAMPLE_CHARS_MAX:
        return sample
    return msgspec.structs.replace(sample, raw=sample.raw[:CORRELATION_SAMPLE_CHARS_MAX], cut=True)


def _bare(sample: Evidence) -> Evidence:
    return msgspec.structs.replace(sample, raw="", cut=True)


def _copies(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Copy entries: those of a group lose their samples' raw bytes later."""
    return tuple(copy.copy(entry) for entry in entries)


def _closed(
    correlation: Correlation, group: Group, count: int, measured: float | None, end_ns: int, arrival_ns: int
) -> Firing:
    """Make the firing of a window that is over, with the first `count` entries of a group."""
    found = group.entries[:count] or [entry for entry in (group.last,) if entry is not None]
    return Firing(
        correlation,
        group.values,
        group.cluster,
        _copies(found),
        measured,
        is_empty=not count,
        time_ns=end_ns,
        seq=found[-1].seq,
        arrival_ns=arrival_ns,
        source=found[-1].samples[-1].source,
        facts_found=partial(_given, found[-1].facts or Facts()),
    )


def _given(facts: Facts) -> Facts:
    return facts
