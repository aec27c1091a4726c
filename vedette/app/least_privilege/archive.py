"""The archive as observations: what detectors of behaviour were shown, in the order of the log."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from collector.decoders import DECODERS
from vedette.journal.sqlite import SqliteIntakeReader
from vedette.pipeline.detector import records_of
from vedette.pipeline.observing import Observing
from vedette.schema.record import CONTROL_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.journal.sqlite import DataFolder
    from vedette.schema.observation import Observation
    from vedette.schema.settings import DetectionSettings


def observed(folder: DataFolder, settings: DetectionSettings) -> Iterator[Observation]:
    """Yield what the records show.

    Raises:
        TransientError: the log can't be read now.
    """
    observing = Observing(DECODERS)
    with closing(SqliteIntakeReader(folder.intake)) as reader:
        for chunk in reader.scan():
            for record in records_of(chunk):
                if record.run.format == CONTROL_FORMAT:
                    continue
                seen = observing.show(record, None, settings.of(record.run.source).cluster)
                if seen is not None:
                    yield seen
