"""One record through decoding and rules: what `run` and `scan` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from detectors.reported import reported_match
from vedette.schema.errors import DecodeError
from vedette.schema.event import Event, Loss, Nature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.engine import Engine
    from vedette.schema.event import Decoder
    from vedette.schema.finding import Match
    from vedette.schema.record import Record


class Examined(NamedTuple):
    """What a record was: its nature, the matches in the rules' order, and the losses that it reports.

    `event` is None unless rules looked at it; its `broken` tells of a body that turned out broken when it was needed.
    """

    nature: Nature
    matches: Sequence[Match]
    losses: tuple[Loss, ...]
    event: Event | None


class Examiner:
    """Decodes records and matches them against one rule set. Stateless between records."""

    def __init__(self, engine: Engine, decoders: Mapping[str, Decoder]) -> None:
        """Use the rules of `engine` on the formats of `decoders`."""
        self._match = engine.match
        self._decoders = decoders

    def examine(self, record: Record) -> Examined:
        """Decode a record and match it.

        Raises:
            DecodeError: the record is not what its format says.
        """
        run = record.run
        decoder = self._decoders.get(run.format)
        if decoder is None:
            raise DecodeError("unknown format", run.format)
        head = decoder.decode(record.payload, run.context)
        if decoder.plain:
            event = Event(record, decoder, head)
            return Examined(Nature.EVENT, self._match(event), (), event)
        nature = decoder.nature(head)
        losses = decoder.losses(head)
        if nature is not Nature.EVENT:
            return Examined(nature, (), losses, None)
        event = Event(record, decoder, head)
        matches = self._match(event)
        reported = decoder.finding(head)
        if reported is not None:
            matches = [reported_match(reported, event), *matches]
        return Examined(nature, matches, losses, event)
