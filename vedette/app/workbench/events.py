"""One event to hold rules against: of a file, of standard input, or of the intake log."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from collector.decoders import DECODERS
from collector.sources.lines import Input, guess_format, read_records
from vedette.app.config_errors import unknown
from vedette.app.folder_access import find_folder
from vedette.journal.sqlite import SqliteEventReader
from vedette.pipeline.event_feed import find_record
from vedette.schema.errors import ConfigError, DecodeError
from vedette.schema.event import Event, Nature
from vedette.schema.record import Record, Run

if TYPE_CHECKING:
    from vedette.schema.event import Decoder


def file_event(file: str, number: int, format_name: str | None) -> Event:
    """Return a record of a file (`-` is standard input) as an event; records count from 1.

    Raises:
        ConfigError: there is none, or it is no event; or the format is not known.
    """
    if format_name is not None and format_name not in DECODERS:
        raise ConfigError(f"--source: {unknown(format_name, list(DECODERS), 'format')}")
    with Input(file) as opened:
        decoder = _decoder(opened, format_name)
        count = 0
        for piece in read_records(opened, decoder):
            count += len(piece.items)
            if count >= number:
                payload = piece.items[number - 1 - (count - len(piece.items))]
                run = Run(decoder.name, decoder.name, 1, piece.context, opened.path, number)
                return _event(Record(number, 0, payload, run, number), f"{file}:{number}")
    raise ConfigError(f"{file}: there is no record {number}; the last one is {count}")


def stored_event(seq: int, config: Path | None, data_dir: Path | None) -> Event:
    """Return a record of the intake log as an event.

    Raises:
        ConfigError: it is not there, or no event. TransientError: the log can't be read.
    """
    folder = find_folder(config, data_dir)
    with closing(SqliteEventReader(folder.intake)) as reader:
        record = find_record(reader, seq)
    if record is None:
        raise ConfigError(f"record {seq} is not in the intake log: it was never there, or its retention is over")
    return _event(record, f"record {seq}")


def _decoder(opened: Input, format_name: str | None) -> Decoder:
    name = format_name or guess_format(opened.peek(), opened.path)
    if name is None:
        formats = ", ".join(DECODERS)
        raise ConfigError(f"{opened.path}: its beginning does not tell the format; name it with --source ({formats})")
    return DECODERS[name]


def _event(record: Record, place: str) -> Event:
    decoder = DECODERS.get(record.run.format)
    if decoder is None:
        raise ConfigError(f"{place}: it is no event, but of the format `{record.run.format}`")
    try:
        head = decoder.decode(record.payload, record.run.context)
    except DecodeError as error:
        raise ConfigError(f"{place}: {error}") from error
    if not decoder.plain and decoder.nature(head) is not Nature.EVENT:
        raise ConfigError(f"{place}: rules do not look at it: it carries no event")
    arrival_ns = record.arrival_ns or decoder.time_ns(head)
    return Event(record._replace(arrival_ns=arrival_ns), decoder, head)
