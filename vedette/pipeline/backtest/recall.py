"""What a sieve found, used again: the rules that match a record are not asked twice.

A sieve has looked at a record with all rules of all sets. A rerun takes those that its own rules are among, and needs
of a match no more than what makes an alert of it: nobody reads explanations of findings that are only counted.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from detectors.engine import dedup_text
from detectors.fields import getter, top_keys
from detectors.reported import reported_match
from vedette.pipeline.examiner import Examined, Examiner
from vedette.schema.event import Event, Nature
from vedette.schema.finding import Clause, Match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectors.engine import Engine
    from detectors.fields import Getter
    from detectors.screen import Screen
    from vedette.schema.event import Decoder
    from vedette.schema.record import Record, Run
    from vedette.schema.rule import RuleInfo

Found = tuple[str, ...]
"""The rules that match a record, by their content hashes, in any order."""
COMBINATIONS_MAX: Final = 10_000
"""Combinations of rules that are remembered; recorded events have some hundreds."""
_EVENT: Final = "@event"


class _Key(NamedTuple):
    """A field of a dedup key: of the head or of the whole; None for the event itself."""

    in_head: bool
    get: Getter | None


class Recall(Examiner):
    """Examines records of which a sieve told what matches, and others as ever."""

    def __init__(self, engine: Engine, decoders: Mapping[str, Decoder], found: Mapping[int, Found]) -> None:
        """Use the rules of `engine`; `found` has what the sieve told of records, by their sequence numbers."""
        super().__init__(engine, decoders)
        self._rules = engine.rules
        self._found = found
        self._known: dict[tuple[str, Found], tuple[tuple[RuleInfo, tuple[_Key, ...]], ...]] = {}

    def screen(self, run: Run) -> Screen | None:  # noqa: ARG002 - records were screened already
        """Let every record be looked at: what could be let go was."""
        return None

    def look(self, record: Record, possible: int | None = None) -> Examined:
        """Do what `Examiner.look` does, without asking rules what is known."""
        found = self._found.get(record.seq)
        if found is None:
            return super().look(record, possible)
        decoder = self._decoders[record.run.format]
        head = decoder.decode(record.payload, record.run.context)
        event = Event(record, decoder, head)
        matches = [
            Match(info, event, _unexplained, partial(_dedup_values, keys, event))
            for info, keys in self._rules_of(decoder, found)
        ]
        reported = None if decoder.plain else decoder.finding(head)
        if reported is not None:
            matches.insert(0, reported_match(reported, event, self._alerts))
        return Examined(Nature.EVENT, matches, (), event)

    def _rules_of(self, decoder: Decoder, found: Found) -> Iterable[tuple[RuleInfo, tuple[_Key, ...]]]:
        """Return those of the rules that this engine has, in its order. Few combinations come again and again."""
        known = self._known.get((decoder.name, found))
        if known is None:
            wanted = frozenset(found)
            infos = [rule.info for rule in self._rules if rule.content_hash in wanted]
            known = tuple((info, _keys(info.dedup_by or decoder.dedup_by, decoder.head_fields)) for info in infos)
            if len(self._known) >= COMBINATIONS_MAX:
                self._known.clear()
            self._known[decoder.name, found] = known
        return known


def _keys(names: Sequence[str], head_fields: frozenset[str] | None) -> tuple[_Key, ...]:
    return tuple(
        _Key(
            head_fields is None or top_keys(name)[0] in head_fields,
            None if name == _EVENT else getter(name),
        )
        for name in names
    )


def _dedup_values(keys: tuple[_Key, ...], event: Event) -> tuple[str, ...]:
    """Return the values of a dedup key, as the engine does."""
    found: list[str] = []
    for in_head, get in keys:
        values: Any = None if get is None else get(event.head if in_head else event.doc)
        found.append(str(event.record.seq) if values is None else dedup_text(values))
    return tuple(found)


def _unexplained() -> tuple[Clause, ...]:
    return ()
