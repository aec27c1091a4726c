"""Every rule against every event, at a cost that hardly grows with the number of rules.

For each decoder the engine keeps the rules whose Sigma log source contains one of the decoder's. An event's candidates
come from an index over a few fields of its head (`detectors.index`); candidates are verified by compiled closures,
first on the head with what can be said there, and only then on the whole document. Rules of a language that says more
than predicates do bring a last test of their own (`detectors.rule.Exact`).

A decoder with `head_fields` promises that no other top-level key of its documents begins with one of them and a dot, so
that a dotted name reads the same on the head and on the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from detectors.alert_info import AlertInfo
from detectors.anchors import conjuncts, weaken
from detectors.behaviour.definition import Definition
from detectors.behaviour.interest import Interest, interest_in
from detectors.compiled import Check, compile_predicate
from detectors.correlation.definition import Correlation
from detectors.explain import explain
from detectors.field_index import Continue
from detectors.fields import Getter, getter, top_keys
from detectors.index import Index
from detectors.literal_scan import Databases
from detectors.predicate import Predicate, all_of, fields
from detectors.presence import Walk
from detectors.rule import Exact, Rule
from detectors.screen import Screen, screen
from detectors.values import is_list, is_object, kind_of, text
from vedette.schema.event import Decoder, Event, LogSource
from vedette.schema.finding import Clause, Match
from vedette.schema.outline import Outliner
from vedette.schema.rule import RuleInfo

DEDUP_CHARS_MAX: Final = 256
"""Characters of one value in a dedup key; a longer one keeps its beginning and a digest of the whole."""
_DIGEST_BYTES: Final = 16
_EVENT: Final = "@event"


class Engine:
    """Matches events against a fixed set of rules. Pure: the same rules and event give the same matches in any process.

    `dead` lists the rules that no decoder's events can match, with the reason; `unanchored` those that have to be
    verified on every event of some decoder. `correlations` look at its matches, `alerts` say what a sensor's alerts
    mean, `definitions` are detectors of behaviour; they are only kept here.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        decoders: Mapping[str, Decoder],
        correlations: Sequence[Correlation] = (),
        *,
        alerts: Mapping[str, AlertInfo] = MappingProxyType({}),
        definitions: Sequence[Definition] = (),
        databases: Databases | None = None,
    ) -> None:
        """Compile the rules for each decoder; matches come in the order of `rules`.

        `databases` keeps what costs most to compile from one time to the next.
        """
        self.rules = tuple(rules)
        self.correlations = tuple(correlations)
        self.alerts = alerts
        self.definitions = tuple(definitions)
        self._programs: dict[str, _Program] = {}
        for name, decoder in decoders.items():
            met = {source for source in {rule.logsource for rule in rules} if _meets(source, decoder)}
            applying = [rule for rule in rules if rule.logsource in met and not rule.idle]
            interest = interest_in(decoder, definitions)
            program = _Program(applying, decoder, databases, interest)
            if program.rules or interest:
                self._programs[name] = program
        routed = {id(rule) for program in self._programs.values() for rule in program.rules}
        unanchored = {id(rule) for program in self._programs.values() for rule in program.unanchored}
        self.dead: list[tuple[Rule, str]] = [(rule, _why_dead(rule)) for rule in rules if id(rule) not in routed]
        self.unanchored: list[Rule] = [rule for rule in rules if id(rule) in unanchored]

    @property
    def infos(self) -> list[RuleInfo]:
        """What all rules, correlations and detectors of behaviour say about themselves."""
        rules, over = [rule.info for rule in self.rules], [found.info for found in self.correlations]
        return [*rules, *over, *(found.info for found in self.definitions)]

    def match(self, event: Event, possible: int | None = None) -> list[Match]:
        """Return a match for each rule that holds for the event; `possible` is what its decoder's screen said of it.

        The whole document is decoded only if a candidate needs it; where it is broken, the head counts as the whole
        (`Event.doc`), and `event.broken` says so afterwards.
        """
        program = self._programs.get(event.decoder.name)
        return program.match(event, possible) if program is not None else []

    def screen(self, decoder: Decoder) -> Screen | None:
        """Return what tells which rules a decoder's records leave possible; None where it could tell none."""
        program = self._programs.get(decoder.name)
        return program.screen if program is not None else None


class _Dedup(NamedTuple):
    """How to read a field of the dedup key: of the head or of the whole; None for the event itself."""

    in_head: bool
    get: Getter | None


class _Verified(NamedTuple):
    """A rule in a program, and what is left to verify of it where the head leaves it possible."""

    rule: Rule
    on_whole: Check | None
    exact: Exact | None
    dedup: tuple[_Dedup, ...]


class _Program:
    """The rules of one decoder."""

    def __init__(
        self, rules: list[Rule], decoder: Decoder, databases: Databases | None, interest: Interest | None
    ) -> None:
        self.rules = rules
        self._head_fields = decoder.head_fields
        on_head = [weaken(rule.predicate, self._in_head) for rule in rules]
        walk = Walk()
        self._verified = tuple(
            self._verified_rule(rule, rule.info.dedup_by or decoder.dedup_by, walk) for rule in rules
        )
        self._index = Index(on_head, nested=decoder.head_fields is not None, databases=databases)
        self.unanchored = [rules[position] for position in sorted(self._index.unanchored)]
        self.screen, self._narrow = _screen(self._index, decoder, interest)

    def match(self, event: Event, possible: int | None) -> list[Match]:
        if possible is None or self._narrow is None:
            candidates = self._index.candidates(event.head)
        else:
            candidates = self._narrow(event.head, possible)
        return self._verify(candidates, event) if candidates else []

    def _verify(self, candidates: int, event: Event) -> list[Match]:
        matches: list[Match] = []
        last = -1
        while candidates:
            lowest = candidates & -candidates
            candidates ^= lowest
            position = self._index.owners[lowest.bit_length() - 1]
            if position == last:
                continue
            last = position
            rule, on_whole, exact, dedup = self._verified[position]
            if (on_whole is None or on_whole(event.doc)) and (exact is None or exact.holds(event)):
                explain_it = partial(explained, rule, event, whole=on_whole is not None)
                matches.append(Match(rule.info, event, explain_it, partial(_dedup_values, dedup, event)))
        return matches

    def _in_head(self, field: str | None) -> bool:
        return _in_head(field, self._head_fields)

    def _rest(self, predicate: Predicate) -> Predicate | None:
        """Return what is left to verify on the whole document once the head has passed; None if nothing is."""
        rest = [part for part in conjuncts(predicate) if not all(map(self._in_head, fields(part)))]
        return all_of(rest) if rest else None

    def _verified_rule(self, rule: Rule, dedup_by: Iterable[str], walk: Walk) -> _Verified:
        rest = self._rest(rule.predicate)
        dedup = tuple(_Dedup(self._in_head(name), None if name == _EVENT else getter(name)) for name in dedup_by)
        return _Verified(rule, None if rest is None else compile_predicate(rest, walk), rule.exact, dedup)


def _screen(index: Index, decoder: Decoder, interest: Interest | None) -> tuple[Screen | None, Continue | None]:
    """Return what tells records of which rules are possible, and what goes on from there."""
    if not isinstance(decoder, Outliner):
        return None, None
    asked = index.fields | (interest.fields if interest else frozenset[str]())
    outline = decoder.outline(asked)
    if outline.apart is not None and not index.relies_on([outline.apart.field], outline.fields):
        outline = decoder.outline(asked - {outline.apart.field})
    known = (outline.fields, [outline.apart.field] if outline.apart else [])
    possible = index.within(*known)
    if possible is None:
        return None, None
    remembered, apart = possible
    wish = interest.wish if interest else None
    return screen(outline, remembered, apart, len(index.owners), wish), index.beyond(*known)


def _meets(wanted: LogSource, decoder: Decoder) -> bool:
    """Say whether every attribute that a rule's log source sets is the same in one of the decoder's."""
    return any(
        all(want in (None, have) for want, have in zip(wanted, source, strict=True)) for source in decoder.logsources
    )


def _why_dead(rule: Rule) -> str:
    if rule.idle:
        return rule.idle
    named = ", ".join(f"{name}: {value}" for name, value in rule.logsource._asdict().items() if value is not None)
    return f"no source provides its log source ({named or 'it names none'})"


def _in_head(field: str | None, head_fields: frozenset[str] | None) -> bool:
    if head_fields is None:
        return True
    return field is not None and top_keys(field)[0] in head_fields


def explained(rule: Rule, event: Event, *, whole: bool) -> tuple[Clause, ...]:
    """Return the clauses that decided that a rule matches; those of its predicate are found on the head or the `whole`.

    Of a rule with an exact part the predicate only says where to look, but for the exceptions that were joined to it:
    their clauses have a place.
    """
    clauses = explain(rule.predicate, event.doc if whole else event.head)
    if rule.exact is None:
        return clauses
    return (*rule.exact.explain(event), *(clause for clause in clauses if clause.where))


def _dedup_values(dedup: Iterable[_Dedup], event: Event) -> tuple[str, ...]:
    found: list[str] = []
    for in_head, get in dedup:
        if get is None:
            found.append(str(event.record.seq))
            continue
        values = get(event.head if in_head else event.doc)
        value: Any = values[0] if len(values) == 1 else None
        # A usual value stands for itself, as `dedup_text` would find out in twice the time.
        usual = kind_of(value) is str and len(value) <= DEDUP_CHARS_MAX
        found.append(value if usual else dedup_text(values))
    return tuple(found)


def dedup_text(values: tuple[Any, ...]) -> str:
    """Return a field's values as one bounded string, different for different values; "" for a missing or null field."""
    first = values[0] if values else None
    if len(values) > 1:
        return bounded_text(_json(values))
    return bounded_text(_json(first) if is_object(first) or is_list(first) else text(first) or "")


def bounded_text(string: str) -> str:
    """Return a string of at most DEDUP_CHARS_MAX characters; a longer one ends in a digest, so it stays distinct."""
    if len(string) <= DEDUP_CHARS_MAX:
        return string
    digest = hashlib.blake2b(string.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{string[: DEDUP_CHARS_MAX - len(digest) - 1]}#{digest}"


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
