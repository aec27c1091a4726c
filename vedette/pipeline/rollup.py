"""Roll-up: findings with one dedup key join one alert for a window; what an analyst sees is one alert with a count.

The first revision leaves at once. Further ones leave at intervals that double from seconds to minutes, so that a busy
alert stays news without becoming noise. All times are arrival times, so boundaries depend on the log alone.
"""

from __future__ import annotations

import hashlib
import heapq
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson

from vedette.pipeline.sharing import SharedFinding, contribute, contribution_of, shares
from vedette.schema.alert import Activity, AlertState, Contribution, Evidence
from vedette.schema.limits import EVIDENCE_BYTES_MAX, EVIDENCE_ITEMS_MAX
from vedette.schema.operator import KeyedState
from vedette.schema.settings import RollUpSettings, SourceLabels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vedette.schema.event import Event, Facts
    from vedette.schema.finding import Clause, Match
    from vedette.schema.rule import RuleInfo
    from vedette.schema.verdict import Verdict


class Emission(NamedTuple):
    """A revision that is due: the alert as it stands now, which the caller renders before it goes on."""

    alert: AlertState
    activity: Activity
    arrival_ns: int


class Finding(Protocol):
    """What rolls up beside matches: a window in which a correlation held, a deviation from what is normal."""

    @property
    def info(self) -> RuleInfo:
        """What found it."""
        ...

    @property
    def group(self) -> tuple[str, ...]:
        """Values that are the dedup key."""
        ...

    @property
    def seq(self) -> int:
        """Sequence number of its last record."""
        ...

    @property
    def arrival_ns(self) -> int:
        """When that arrived, ns."""
        ...

    @property
    def time_ns(self) -> int:
        """The event time at which it became true, ns."""
        ...

    @property
    def source(self) -> str:
        """Configured name of the last record's source."""
        ...

    def facts(self) -> Facts:
        """Return who, what and where."""
        ...

    def clauses(self) -> tuple[Clause, ...]:
        """Explain."""
        ...

    def evidence(self) -> list[Evidence]:
        """Return samples, at least one; the first is of the record that `facts` tell of."""
        ...

    def span(self) -> tuple[int, int]:
        """Return the event times of the first and the last record, ns."""
        ...


class _Content(NamedTuple):
    """What the finding that opens an alert says."""

    rule: RuleInfo
    dedup_values: tuple[str, ...]
    seq: int
    facts: Facts
    clauses: tuple[Clause, ...]
    evidence: list[Evidence]
    dedup_as: str = ""
    contributions: Sequence[Contribution] = ()


class RollUp:
    """The operator that turns matches into alert revisions. Implements `vedette.schema.operator.Operator`.

    Bounded: beyond `open_alerts_max` the rule with the most open alerts closes its oldest, so that one rule's flood
    (Falco's rule names are input, too) pushes out its own alerts first.
    """

    version = 1

    def __init__(self, settings: RollUpSettings, name: str = "rollup") -> None:
        """Start with no open alert. There may be several, each with a name of its own."""
        self.name = name
        self.settings = settings
        self.state: KeyedState[AlertState] = KeyedState(AlertState)
        self.on_close: Callable[[AlertState], None] | None = None
        """Called with each alert that closes, after its last revision left; `scan` writes alerts from here."""
        self.evicted = 0
        """Alerts closed early since the start of the process."""
        self._timers: list[tuple[int, str, str]] = []
        self._by_rule: dict[str, dict[str, None]] = {}
        self._crowded: list[tuple[int, str]] = []

    def rebuild(self) -> None:
        """Recompute timers and the order by rule from the restored state."""
        self._timers, self._by_rule, self._crowded = [], {}, []
        for key in self.state:
            alert = self.state.get(key)
            assert alert is not None, "iterated keys exist"
            self._index(key, alert)
            self._timers.append((alert.closes_ns, alert.alert_id, key))
            if alert.pending:
                self._timers.append((alert.next_ns, alert.alert_id, key))
        heapq.heapify(self._timers)

    def advance(self, arrival_ns: int) -> list[Emission]:
        """Let arrival time go on: revisions that are due leave, windows that are over close."""
        due: list[Emission] = []
        while self._timers and self._timers[0][0] <= arrival_ns:
            time_ns, alert_id, key = heapq.heappop(self._timers)
            alert = self.state.get(key)
            if alert is None or alert.alert_id != alert_id:
                continue
            # Timers that were overtaken must do nothing, not even change the order: a restored process has none.
            if time_ns == alert.closes_ns:
                due += self._close(key, arrival_ns)
            elif alert.pending and time_ns == alert.next_ns:
                self.state.touch(key)
                due.append(self._revise(alert, Activity.UPDATE, arrival_ns))
        return due

    def add(self, match: Match, labels: SourceLabels) -> list[Emission]:
        """Take a match: it opens an alert, or joins one. Return the revisions that leave now."""
        rule, event = match.rule, match.event
        values = match.dedup_values()
        if rule.dedup_as and shares(rule, values):
            return self._share(_of_match(match, values), labels)
        key = orjson.dumps((rule.rule_id, labels.cluster, values)).decode()
        alert = self.state.get(key)
        arrival_ns, time_ns = event.record.arrival_ns, event.time_ns
        if alert is None:
            content = _Content(rule, values, event.record.seq, event.facts, match.explain(), [evidence_of(event)])
            return self._open(key, content, labels, arrival_ns, time_ns, time_ns)
        self.state.touch(key)
        if len(alert.evidence) < EVIDENCE_ITEMS_MAX:
            alert.evidence.append(evidence_of(event))
        if time_ns > alert.last_seen_ns:
            alert.last_seen_ns = time_ns
        elif time_ns < alert.first_seen_ns:
            alert.first_seen_ns = time_ns
        return self._join(key, alert, arrival_ns)

    def add_firing(self, firing: Finding, labels: SourceLabels) -> list[Emission]:
        """Take what a correlation or a detector of behaviour found; its group is the dedup key. Otherwise as `add`."""
        rule, values = firing.info, firing.group
        if shares(rule, values):
            return self._share(_of_firing(firing), labels)
        events = firing.evidence()
        key = orjson.dumps((rule.rule_id, labels.cluster, values)).decode()
        alert = self.state.get(key)
        first_ns, last_ns = firing.span()
        if alert is None:
            content = _Content(rule, values, firing.seq, firing.facts(), firing.clauses(), events)
            return self._open(key, content, labels, firing.arrival_ns, first_ns, last_ns)
        self.state.touch(key)
        alert.evidence += events[: max(0, EVIDENCE_ITEMS_MAX - len(alert.evidence))]
        alert.first_seen_ns = min(alert.first_seen_ns, first_ns)
        alert.last_seen_ns = max(alert.last_seen_ns, last_ns)
        return self._join(key, alert, firing.arrival_ns)

    def _share(self, found: SharedFinding, labels: SourceLabels) -> list[Emission]:
        """Take a finding of a rule that shares its alerts. One that raises the level is news at once."""
        # Four parts: no rule's own key is like it, whatever the rule is called.
        key = orjson.dumps((found.rule.dedup_as, labels.cluster, found.values, "shared")).decode()
        alert = self.state.get(key)
        if alert is None:
            facts, clauses = found.facts(), found.clauses()
            added = [contribution_of(found, facts, clauses)]
            rule, samples = found.rule, found.evidence()
            content = _Content(rule, found.values, found.seq, facts, clauses, samples, rule.dedup_as, added)
            return self._open(key, content, labels, found.arrival_ns, found.first_ns, found.last_ns)
        self.state.touch(key)
        raised = contribute(alert, found)
        if raised:
            alert.verdict = None  # what was decided was not about this
        alert.first_seen_ns = min(alert.first_seen_ns, found.first_ns)
        alert.last_seen_ns = max(alert.last_seen_ns, found.last_ns)
        return self._join(key, alert, found.arrival_ns, at_once=raised)

    def _join(self, key: str, alert: AlertState, arrival_ns: int, *, at_once: bool = False) -> list[Emission]:
        alert.count += 1
        if at_once or arrival_ns >= alert.next_ns:
            return [self._revise(alert, Activity.UPDATE, arrival_ns)]
        if not alert.pending:
            alert.pending = True
            heapq.heappush(self._timers, (alert.next_ns, alert.alert_id, key))
        return []

    def judge(self, alert_id: str, verdict: Verdict) -> list[Emission] | None:
        """Take what an analyst decided; the revision that says so leaves at once. None: no such alert is open."""
        for key in self.state:
            alert = self.state.get(key)
            if alert is not None and alert.alert_id == alert_id:
                self.state.touch(key)
                alert.verdict = verdict
                return [self._revise(alert, Activity.UPDATE, verdict.time_ns)]
        return None

    def flush(self, arrival_ns: int) -> list[Emission]:
        """Let every revision leave that is only waiting for its time: at a clean stop the counts are the true ones."""
        waiting = [(key, alert) for key in self.state if (alert := self.state.get(key)) is not None and alert.pending]
        for key, _ in waiting:
            self.state.touch(key)
        return [self._revise(alert, Activity.UPDATE, arrival_ns) for _, alert in waiting]

    def _open(
        self, key: str, content: _Content, labels: SourceLabels, arrival_ns: int, first_ns: int, last_ns: int
    ) -> list[Emission]:
        alert = AlertState(
            alert_id=hashlib.sha256(f"{content.seq}:{key}".encode()).hexdigest()[:32],
            rule=content.rule,
            dedup_values=content.dedup_values,
            cluster=labels.cluster,
            labels=labels.labels,
            seq=content.seq,
            opened_ns=arrival_ns,
            closes_ns=arrival_ns + self.settings.window_ns,
            first_seen_ns=first_ns,
            last_seen_ns=last_ns,
            facts=content.facts,
            clauses=content.clauses,
            interval_ns=self.settings.revision_interval_ns,
            evidence=content.evidence,
            dedup_as=content.dedup_as,
            contributions=list(content.contributions),
        )
        emissions = self._make_room(arrival_ns)
        self.state.put(key, alert)
        self._index(key, alert)
        heapq.heappush(self._timers, (alert.closes_ns, alert.alert_id, key))
        emissions.append(self._revise(alert, Activity.CREATE, arrival_ns))
        return emissions

    def _revise(self, alert: AlertState, activity: Activity, arrival_ns: int) -> Emission:
        """Count a revision and set the time of the next; the alert must have been touched."""
        alert.revision += 1
        alert.pending = False
        alert.next_ns = arrival_ns + alert.interval_ns
        if activity is Activity.UPDATE:
            alert.interval_ns = min(2 * alert.interval_ns, self.settings.revision_interval_ns_max)
        return Emission(alert, activity, arrival_ns)

    def _close(self, key: str, arrival_ns: int) -> list[Emission]:
        """Forget an alert; what joined since its last revision leaves in a final one."""
        alert = self.state.pop(key)
        owner = _owner(alert)
        siblings = self._by_rule[owner]
        del siblings[key]
        if not siblings:
            del self._by_rule[owner]
        left = [self._revise(alert, Activity.CLOSE, arrival_ns)] if alert.pending else []
        if self.on_close is not None:
            self.on_close(alert)
        return left

    # --- bounds -----------------------------------------------------------------------------------------------------
    def _index(self, key: str, alert: AlertState) -> None:
        owner = _owner(alert)
        siblings = self._by_rule.setdefault(owner, {})
        siblings[key] = None
        heapq.heappush(self._crowded, (-len(siblings), owner))
        if len(self._crowded) > 2 * len(self.state) + 1024:
            self._crowded = [(-len(keys), rule_id) for rule_id, keys in self._by_rule.items()]
            heapq.heapify(self._crowded)

    def _make_room(self, arrival_ns: int) -> list[Emission]:
        emissions: list[Emission] = []
        while len(self.state) >= self.settings.open_alerts_max:
            siblings = self._by_rule[self._most_crowded()]
            emissions += self._close(next(iter(siblings)), arrival_ns)
            self.evicted += 1
        return emissions

    def _most_crowded(self) -> str:
        """The rule with the most open alerts (the first by id among equals). Entries of the heap may be outdated."""
        while True:
            count, rule_id = self._crowded[0]
            actual = -len(self._by_rule.get(rule_id, ()))
            if count == actual:
                return rule_id
            heapq.heappop(self._crowded)
            if actual:
                heapq.heappush(self._crowded, (actual, rule_id))


def _owner(alert: AlertState) -> str:
    """Whose alerts these are, as room is shared by: the rule's, or those of all rules that share them."""
    return f"shared:{alert.dedup_as}" if alert.dedup_as else alert.rule.rule_id


def _of_match(match: Match, values: tuple[str, ...]) -> SharedFinding:
    event = match.event
    record, time_ns = event.record, event.time_ns
    return SharedFinding(
        match.rule,
        values,
        record.seq,
        record.run.source,
        record.arrival_ns,
        time_ns,
        time_ns,
        lambda: event.facts,
        match.explain,
        lambda: [evidence_of(event)],
    )


def _of_firing(firing: Finding) -> SharedFinding:
    return SharedFinding(
        firing.info,
        firing.group,
        firing.seq,
        firing.source,
        firing.arrival_ns,
        *firing.span(),
        firing.facts,
        firing.clauses,
        firing.evidence,
    )


def evidence_of(event: Event) -> Evidence:
    """Take a sample of an event: its ids and the beginning of its raw bytes."""
    record = event.record
    return Evidence(
        seq=record.seq,
        time_ns=event.time_ns,
        arrival_ns=record.arrival_ns,
        source=record.run.source,
        format=record.run.format,
        uid=event.uid,
        event_ids=event.event_ids,
        origin=record.run.origin,
        record=record.record,
        raw=record.payload[:EVIDENCE_BYTES_MAX].decode("utf-8", "replace"),
        cut=len(record.payload) > EVIDENCE_BYTES_MAX,
    )
