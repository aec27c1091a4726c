"""What each rule costs when it is looked at alone, measured on events that the intake log still has.

In the engine most rules cost next to nothing: the index leaves them out before they are looked at. What is measured
here is what a rule would cost on every event of its log source, so that rules can be compared with each other.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Final

import msgspec

from collector.decoders import DECODERS
from detectors.compiled import compile_predicate
from detectors.testing.related import asks
from vedette.journal.sqlite import SqliteEventReader
from vedette.schema.errors import DecodeError
from vedette.schema.event import Event, Nature
from vedette.schema.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from detectors.rule import Rule
    from vedette.journal.protocol import Chunk
    from vedette.journal.sqlite import DataFolder
    from vedette.schema.event import Decoder

SAMPLE_MAX: Final = 1_000
"""Events of each format that rules are measured on."""
_SEARCHED_MAX: Final = 50_000
"""Newest records among which the sample is looked for."""
_ROUNDS: Final = 3
"""Times that a rule goes through the sample; the fastest counts, since others use the processor, too."""


class Cost(msgspec.Struct, frozen=True):
    """What a rule cost: CPU microseconds an event, over `events`, of which it matched `matches`."""

    us: float
    events: int
    matches: int


def sample(folder: DataFolder) -> dict[str, list[Event]]:
    """Return the newest events of the intake log, by format, decoded as a whole.

    Raises:
        TransientError: the log can't be read now. PermanentError: it is damaged.
    """
    newest: dict[str, deque[Event]] = {name: deque(maxlen=SAMPLE_MAX) for name in DECODERS}
    with closing(SqliteEventReader(folder.intake)) as reader:
        last_seq, _ = reader.end()
        for chunk in reader.scan(max(0, last_seq - _SEARCHED_MAX)):
            for event in _events(chunk):
                newest[event.decoder.name].append(event)
    return {name: [event for event in events if _is_whole(event)] for name, events in newest.items() if events}


def _events(chunk: Chunk) -> Iterator[Event]:
    seq = chunk.seq
    for run in chunk.runs:
        decoder = DECODERS.get(run.format)
        if decoder is not None:
            records = (
                Record(at, chunk.arrival_ns, chunk.items[at - chunk.seq], run, run.record)
                for at in range(seq, seq + run.count)
            )
            yield from filter(None, (_event(record, decoder) for record in records))
        seq += run.count


def _event(record: Record, decoder: Decoder) -> Event | None:
    """Decode a record; None if rules do not look at it."""
    try:
        head = decoder.decode(record.payload, record.run.context)
    except DecodeError:
        return None
    return Event(record, decoder, head) if decoder.plain or decoder.nature(head) is Nature.EVENT else None


def _is_whole(event: Event) -> bool:
    return bool(event.doc) and event.broken is None


def measure(rules: Sequence[Rule], events: Mapping[str, Sequence[Event]]) -> Cost | None:
    """Measure a rule (all that pipelines made of it) on the events that it is asked about; None if there are none."""
    spent_ns = count = matches = 0
    for rule in rules:
        for alike in events.values():
            if alike and asks(rule, alike[0]):
                check = _check(rule)
                spent_ns += min(_round_ns(check, alike) for _ in range(_ROUNDS))
                count += len(alike)
                matches += sum(map(check, alike))
    return Cost(spent_ns / 1000 / count, count, matches) if count else None


def _check(rule: Rule) -> Callable[[Event], bool]:
    holds, exact = compile_predicate(rule.predicate), rule.exact
    if exact is None:
        return lambda event: holds(event.doc)
    return lambda event: holds(event.doc) and exact.holds(event)


def _round_ns(check: Callable[[Event], bool], events: Sequence[Event]) -> int:
    begun_ns = time.process_time_ns()
    for event in events:
        check(event)
    return time.process_time_ns() - begun_ns
