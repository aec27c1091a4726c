"""Learns profiles, and says what is outside of one. The one operator that all detectors over profiles share.

A profile learns for a time, until a day without news; then it is proposed, and what is not in it deviates. A new image
of a workload inherits its profile, with a time of grace. What a container does in its first minute is kept apart. What
deviated stays outside of the profile until it has gone on for as long as learning took. A locked one learns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar, cast

from detectors.behaviour.profiles.freezes import Freezes
from detectors.behaviour.profiles.lessons import CONTAINER, SERVICE_ACCOUNT, WORKLOAD, Lesson, Reader
from detectors.behaviour.profiles.lives import (
    CONTACTS_MAX,
    RUNTIMES,
    SHELLS,
    Lives,
    container_since,
    is_new_release,
    new_pods,
    pod_name,
    starts_up,
)
from detectors.behaviour.profiles.room import Room
from detectors.behaviour.profiles.shapes import SHAPES, crowded, settle, widen
from detectors.behaviour.profiles.state import (
    Life,
    Profile,
    Row,
    Trial,
    first_time,
    is_fresh,
    seen_again,
    unpacked,
)
from detectors.behaviour.profiles.terms import DAY_NS, HEARD_CALLS, HOUR_NS, Aspect, Terms, by_aspect
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation
from vedette.schema.operator import KeyedState

_T = TypeVar("_T")
OUTSIDE_MAX: Final = 200
"""Values of a profile that deviated and are remembered, the latest; as many of start-up."""
TRIALS_MAX: Final = 32
_AGAIN_H: Final = 24
"""Hours without a value that deviated, after which it is told again."""
_ACCEPTED_HOURS: Final = 3
"""In so many hours a value outside of a profile must have been seen, to be learned after all."""
_GRACE_CONTACTS_NS: Final = 48 * HOUR_NS
"""The longest that a new image is given to show whom it talks to."""
_VARIES_FOR: Final = 3
"""So many times as long as it must a profile may learn, while much of it came but once."""
_BURST: Final = 4
_BURST_NS: Final = 20 * 60 * SECOND_NS
"""So many contacts of one pod with a new peer in so short a time, while no other pod of a new image has any: not of the
release."""
_SILENT: Final = (CONTAINER, WORKLOAD, SERVICE_ACCOUNT)
"""Kinds of entities that may do nothing of a kind for as long as they live."""


class News(NamedTuple):
    """Something that is not in a profile. `reason` says why that is no deviation; "" if it is one.

    `waits`: it may be of a session in the pod that was not told of yet.
    """

    lesson: Lesson
    profile: Profile
    value: str
    reason: str
    waits: bool = False


class Profiles:
    """All profiles. `learn` is shown every observation, once; `news` is what the last one brought."""

    def __init__(self) -> None:
        """Begin without having seen anything."""
        self.groups = Room()
        self.state: KeyedState[Row] = self.groups.state
        self.lives = Lives(self.groups)
        self.freezes = Freezes(self.groups)
        self.news: list[News] = []
        self.left_out: dict[str, int] = {}
        self._reader = Reader()
        self._given: dict[str, list[tuple[str, Terms]]] = {}
        self.terms: dict[str, Terms] = by_aspect(())
        self.learns = False

    def use(self, whose: str, given: Sequence[tuple[str, Terms]]) -> None:
        """Take the terms that definitions of a type ask for: aspect and terms. Without any nothing is learned."""
        self._given[whose] = list(given)
        self.terms = by_aspect(pair for pairs in self._given.values() for pair in pairs)
        self.learns = any(self._given.values())

    def rebuild(self) -> None:
        """Recompute weights, and what pods are awaited."""
        self.groups.rebuild()
        self.lives.rebuild()

    # --- learning -----------------------------------------------------------------------------------------------------
    def learn(self, seen: Observation) -> None:
        """Take an observation. Hot: nearly all are like thousands before them."""
        if self.news:
            self.news = []
        if not self.learns:
            return
        lessons = self._reader.of(seen)
        if seen.kind is Kind.CALL and seen.resource in HEARD_CALLS:
            self.lives.hear_call(seen)
        if not lessons:
            return
        first = lessons[0]
        self.groups.now_ns = seen.time_ns
        hour = seen.time_ns // HOUR_NS
        life = self.lives.live(first, seen, hour) if first.life else None
        get = self.groups.get
        if life is not None and life.rollout_ns and first.peer:
            self.lives.count_contact(first.life, life, first.peer)
        for lesson in lessons:
            profile = cast("Profile | None", get(lesson.key))
            if profile is None:
                self._begin(lesson, seen, life, hour)
            elif not is_fresh(profile.values.get(lesson.value, 0), hour):
                self._study(lesson, profile, seen, life if lesson.life else None, hour)

    def _begin(self, lesson: Lesson, seen: Observation, life: Life | None, hour: int) -> None:
        """Begin a profile with its first value."""
        if self._is_session(lesson, seen):
            return
        since_ns = self._silent_since(lesson, seen, life)
        profile = Profile(lesson.owner, lesson.entity, lesson.aspect, since_ns, since_ns, full=not lesson.life)
        if since_ns < seen.time_ns:
            self.groups.add(lesson.key, profile)
            self._take_news(lesson, profile, lesson.value, seen, life)
            return
        terms = self.terms[lesson.aspect]
        if lesson.peer:
            self.lives.is_newcomer(lesson, seen, terms.learn_for_ns)  # which notes who was contacted first
        values = profile.startup if life and starts_up(life, seen, terms.start_up_ns) else profile.values
        values[lesson.value] = first_time(hour)
        self.groups.add(lesson.key, profile)

    def _silent_since(self, lesson: Lesson, seen: Observation, life: Life | None) -> int:
        """Return since when an entity is known to have done nothing of the kind, while others did; else now."""
        told_ns = max(self.lives.told_since(lesson.aspect, seen), self.groups.evicted_ns)
        if life is None or lesson.entity[0] not in _SILENT:
            return seen.time_ns
        since_ns = life.since_ns
        if lesson.entity[0] == CONTAINER:
            since_ns = container_since(life, seen.container) or seen.time_ns
        return min(max(since_ns, told_ns), seen.time_ns)

    def _study(self, lesson: Lesson, profile: Profile, seen: Observation, life: Life | None, hour: int) -> None:
        """Take a value that was not seen in this hour."""
        value = lesson.value
        if profile.wide and value not in profile.values:
            value = settle(SHAPES[lesson.aspect], value, profile.wide)
        if value in profile.startup and self._is_usual_by_now(lesson, profile, seen, life):
            del profile.startup[value]
            self._learn(lesson, profile, value, seen)
            return
        if self._is_known(lesson, profile, value, hour):
            return
        if lesson.alias and self._is_trusted(lesson, profile, seen):
            if self._is_known(lesson, profile, lesson.alias, hour):
                self._put(lesson, profile, value, hour)
                return
            if lesson.alias in profile.trials or lesson.alias in profile.outside:
                value = lesson.alias
        self._take_news(lesson, profile, value, seen, life)

    def _is_trusted(self, lesson: Lesson, profile: Profile, seen: Observation) -> bool:
        """Say whether an address tells who is behind it: not one that was learned because nobody had contacted it."""
        packed = profile.values.get(lesson.alias)
        if packed is None or not profile.settled_ns:
            return True
        learned_ns = unpacked(packed).first_h * HOUR_NS
        if learned_ns <= profile.settled_ns:
            return True
        return learned_ns - self.lives.contacted_since(lesson, seen) >= self.terms[lesson.aspect].learn_for_ns

    def _is_usual_by_now(self, lesson: Lesson, profile: Profile, seen: Observation, life: Life | None) -> bool:
        """Say whether a value of start-up is seen later, too, while its profile learns."""
        if profile.settled_ns or profile.locked_ns or life is None:
            return False
        if starts_up(life, seen, self.terms[lesson.aspect].start_up_ns) or self.freezes.holds(lesson, seen):
            return False
        self.groups.touch(lesson.key)
        return True

    def _is_known(self, lesson: Lesson, profile: Profile, value: str, hour: int) -> bool:
        """Say whether a value is in a profile, and note when it was seen."""
        for values in (profile.values, profile.startup):
            packed = values.get(value)
            if packed is None:
                continue
            if is_fresh(packed, hour):
                return True
            forgets_h = self.terms[lesson.aspect].forget_after_ns // HOUR_NS
            self.groups.touch(lesson.key)
            if not profile.locked_ns and hour - unpacked(packed).last_h > forgets_h:
                del values[value]
                continue
            values[value] = seen_again(packed, hour)
            return True
        return False

    # --- what is new --------------------------------------------------------------------------------------------------
    def _take_news(self, lesson: Lesson, profile: Profile, value: str, seen: Observation, life: Life | None) -> None:
        terms, time_ns = self.terms[lesson.aspect], seen.time_ns
        if life is not None and life.full and not profile.full:
            self.groups.touch(lesson.key)
            profile.full = True
        if life is not None and starts_up(life, seen, terms.start_up_ns):
            self.groups.touch(lesson.key)
            _bounded_put(profile.startup, value, first_time(time_ns // HOUR_NS), OUTSIDE_MAX)
            self._weigh(lesson, profile)
            return
        if self._is_session(lesson, seen):
            reason = "session"
        elif profile.locked_ns or self._settles(lesson, profile, time_ns, life):
            reason = self._judge(lesson, profile, value, seen, life)
        else:
            reason = "learning" if profile.full else "partial"
            self.groups.touch(lesson.key)
            profile.news_ns = max(profile.news_ns, time_ns)
            self._learn(lesson, profile, value, seen)
        if lesson.peer and reason in ("learning", "partial"):
            self.lives.is_newcomer(lesson, seen, terms.learn_for_ns)  # which notes who was contacted first
        waits = not reason and lesson.aspect is Aspect.PROGRAMS and _may_be_session(seen)
        self.news.append(News(lesson, profile, value, reason, waits))

    def _settles(self, lesson: Lesson, profile: Profile, time_ns: int, life: Life | None) -> bool:
        """Say whether learning is over."""
        if profile.settled_ns:
            return True
        terms = self.terms[lesson.aspect]
        if is_learning(profile, terms, life, time_ns):
            return False
        at_ns = settled_at(profile, terms)
        self.groups.touch(lesson.key)
        profile.settled_ns = at_ns
        if terms.lock and not profile.locked_ns:
            profile.locked_ns, profile.locked_by = at_ns, "(configured)"
        return True

    def _judge(self, lesson: Lesson, profile: Profile, value: str, seen: Observation, life: Life | None) -> str:
        """Say why a value outside of a settled profile is no deviation, or "" if it is one."""
        terms, day = self.terms[lesson.aspect], seen.time_ns // DAY_NS
        if not profile.locked_ns:
            if self.lives.is_newcomer(lesson, seen, terms.learn_for_ns):
                self._learn(lesson, profile, value, seen)
                return "newcomer"
            if lesson.aspect is Aspect.PEERS and life is not None:
                tried = self._try(lesson, profile, value, seen, life)
                if tried is not None:
                    return tried
            elif life is not None and is_new_release(life, seen, terms.grace_ns):
                self._learn(lesson, profile, value, seen)
                return "rollout"
            if profile.is_unstable(day):
                self._note_news(lesson, profile, day)
                self._learn(lesson, profile, value, seen)
                return "unstable"
        return self._keep_outside(lesson, profile, value, seen)

    def _keep_outside(self, lesson: Lesson, profile: Profile, value: str, seen: Observation) -> str:
        hour, terms = seen.time_ns // HOUR_NS, self.terms[lesson.aspect]
        packed = profile.outside.get(value)
        if packed is not None and is_fresh(packed, hour):
            return "repeated"
        self.groups.touch(lesson.key)
        if packed is None:
            profile.note_news(seen.time_ns // DAY_NS)
            profile.dropped += _bounded_put(profile.outside, value, first_time(hour), OUTSIDE_MAX)
            self._weigh(lesson, profile)
            return ""
        times, again = unpacked(packed), seen_again(packed, hour)
        profile.outside[value] = again
        long_enough = (hour - times.first_h) * HOUR_NS >= terms.learn_for_ns and times.hours + 1 >= _ACCEPTED_HOURS
        if long_enough and not profile.locked_ns and not self.freezes.holds(lesson, seen):
            del profile.outside[value]
            profile.values[value] = again
            return "accepted"
        return "" if hour - times.last_h >= _AGAIN_H else "repeated"

    def _try(self, lesson: Lesson, profile: Profile, value: str, seen: Observation, life: Life) -> str | None:
        """Let a peer that came with a new image prove that it belongs to it; None if no image is new."""
        end = seen.address
        trial = profile.trials.get(value)
        if trial is None:
            young = seen.time_ns - life.rollout_ns
            shows = life.contacts.get(lesson.peer, 0) < CONTACTS_MAX and young <= _GRACE_CONTACTS_NS
            if not life.rollout_ns or not (shows or young <= self.terms[lesson.aspect].grace_ns):
                return None
            if value in profile.outside:
                return None
            self.groups.touch(lesson.key)
            _bounded_put(profile.trials, value, Trial(seen.time_ns, end, [seen.time_ns]), TRIALS_MAX)
            self._weigh(lesson, profile)
            return "rollout"
        self.groups.touch(lesson.key)
        trial.times = [*trial.times, seen.time_ns][-_BURST:]
        if end != trial.end or seen.time_ns - trial.first_ns > _BURST_NS:
            del profile.trials[value]
            self._learn(lesson, profile, value, seen)
            return "rollout"
        if len(trial.times) < _BURST or new_pods(life) < 2:  # noqa: PLR2004 - one pod alone is all there is
            return "rollout"
        del profile.trials[value]
        return None

    def try_after_all(self, key: str, value: str, seen: Observation) -> None:
        """Put a peer that deviated on trial: a release was heard of after it."""
        profile = self.groups.get(key)
        if isinstance(profile, Profile) and value in profile.outside:
            self.groups.touch(key)
            del profile.outside[value]
            _bounded_put(profile.trials, value, Trial(seen.time_ns, seen.address, [seen.time_ns]), TRIALS_MAX)
            self.groups.weigh(key, profile)

    # --- changing a profile -------------------------------------------------------------------------------------------
    def _learn(self, lesson: Lesson, profile: Profile, value: str, seen: Observation) -> None:
        """Learn a value, if nothing forbids it."""
        if profile.locked_ns or self.freezes.holds(lesson, seen):
            self._count("frozen")
            return
        self._put(lesson, profile, value, seen.time_ns // HOUR_NS)

    def _put(self, lesson: Lesson, profile: Profile, value: str, hour: int) -> None:
        shape = SHAPES[lesson.aspect]
        self.groups.touch(lesson.key)
        profile.outside.pop(value, None)
        profile.values[value] = first_time(hour)
        beginning = crowded(shape, value, profile.values)
        while beginning is not None:
            profile.values = widen(shape, beginning, profile.values, profile.wide)
            self._count("generalised")
            value = settle(shape, value, profile.wide)
            beginning = crowded(shape, value, profile.values)
        if len(profile.values) > shape.values_max:
            del profile.values[min(profile.values, key=lambda one: (unpacked(profile.values[one]).last_h, one))]
            profile.overflowing = True
            self._count("overflowing")
        self._weigh(lesson, profile)

    def _note_news(self, lesson: Lesson, profile: Profile, day: int) -> None:
        self.groups.touch(lesson.key)
        profile.note_news(day)

    def _weigh(self, lesson: Lesson, profile: Profile) -> None:
        self.groups.weigh(lesson.key, profile)

    def _is_session(self, lesson: Lesson, seen: Observation) -> bool:
        if lesson.aspect is not Aspect.PROGRAMS or not _may_be_session(seen):
            return False
        return self.lives.has_session(seen.cluster, pod_name(seen.namespace, seen.pod), seen.time_ns)

    def _count(self, reason: str, by: int = 1) -> None:
        if by:
            self.left_out[reason] = self.left_out.get(reason, 0) + by

    def take_left_out(self) -> dict[str, int]:
        """Return what was left out since the last call, by reason."""
        self._count("evicted", self.groups.evicted)
        self.groups.evicted = 0
        found, self.left_out = self.left_out, {}
        return found

    def withdraw(self, key: str, value: str) -> None:
        """Take back that a value deviated: it was of a session."""
        profile = self.groups.get(key)
        if isinstance(profile, Profile) and value in profile.outside:
            self.groups.touch(key)
            del profile.outside[value]
            self.groups.weigh(key, profile)


def settled_at(profile: Profile, terms: Terms) -> int:
    """Return when learning ends, as things are, ns of event time."""
    needs_ns = terms.learn_for_ns if profile.full else max(terms.partial_for_ns, terms.learn_for_ns)
    return profile.settled_ns or max(profile.since_ns + needs_ns, profile.news_ns + terms.settle_for_ns)


def is_learning(profile: Profile, terms: Terms, life: Life | None, time_ns: int) -> bool:
    """Say whether a profile has shown too little yet, or too much that came but once."""
    if profile.settled_ns:
        return False
    if time_ns < settled_at(profile, terms) or (life is not None and life.hours < terms.learn_hours):
        return True
    return time_ns - profile.since_ns < _VARIES_FOR * terms.learn_for_ns and profile.varies()


def _may_be_session(seen: Observation) -> bool:
    """Say whether a program may be one that somebody started by hand: below a shell, or beside the container's own."""
    return seen.parent in SHELLS or seen.parent in RUNTIMES


def _bounded_put(values: dict[str, _T], value: str, what: _T, most: int) -> int:
    values[value] = what
    if len(values) <= most:
        return 0
    del values[next(iter(values))]
    return 1
