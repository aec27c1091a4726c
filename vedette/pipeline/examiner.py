"""One record through decoding and rules: what `run` and `scan` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from detectors.reported import reported_match
from vedette.schema.errors import DecodeError
from vedette.schema.event import Event, Loss, Nature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.engine import Engine
    from detectors.screen import Screen
    from vedette.schema.event import Decoder
    from vedette.schema.finding import Match
    from vedette.schema.record import Record, Run


class Examined(NamedTuple):
    """What a record was: its nature, the matches in the rules' order, and the losses that it reports.

    `event` is None unless rules looked at the whole head; its `broken` tells of a body that turned out broken when it
    was needed.
    """

    nature: Nature
    matches: Sequence[Match]
    losses: tuple[Loss, ...]
    event: Event | None


_UNMATCHED: Final = Examined(Nature.EVENT, (), (), None)


class Examiner:
    """Decodes records and matches them against one rule set. Stateless between records."""

    def __init__(self, engine: Engine, decoders: Mapping[str, Decoder]) -> None:
        """Use the rules of `engine` on the formats of `decoders`."""
        self._match = engine.match
        self._alerts = engine.alerts
        self._decoders = decoders
        screens = {name: engine.screen(decoder) for name, decoder in decoders.items() if decoder.plain}
        self._screens = {name: found for name, found in screens.items() if found is not None}

    def screen(self, run: Run) -> Screen | None:
        """Return what tells which rules records of a run leave possible; None: all are to be looked at."""
        return self._screens.get(run.format)

    def examine(self, record: Record) -> Examined:
        """Decode a record and match it.

        Raises:
            DecodeError: the record is not what its format says. A record that no rule can match is not decoded: of what
                rules don't ask for it is only known that it is JSON. That goes by the rules and the record alone, so
                a replay finds the same.
        """
        screen = self.screen(record.run)
        possible = None if screen is None else screen.possible(record.payload)
        return _UNMATCHED if possible == 0 else self.look(record, possible)

    def look(self, record: Record, possible: int | None = None) -> Examined:
        """Do what `examine` does with a record that its screen did not let go; `possible` is what it said.

        Raises:
            DecodeError: as there.
        """
        run = record.run
        decoder = self._decoders.get(run.format)
        if decoder is None:
            raise DecodeError("unknown format", run.format)
        head = decoder.decode(record.payload, run.context)
        if decoder.plain:
            event = Event(record, decoder, head)
            return Examined(Nature.EVENT, self._match(event, possible), (), event)
        nature = decoder.nature(head)
        losses = decoder.losses(head)
        if nature is not Nature.EVENT:
            return Examined(nature, (), losses, None)
        event = Event(record, decoder, head)
        matches = self._match(event)
        reported = decoder.finding(head)
        if reported is not None:
            matches = [reported_match(reported, event, self._alerts), *matches]
        return Examined(nature, matches, losses, event)
