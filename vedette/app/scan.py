"""Detection over files: reads them lazily, merges them by event time, and says what is wrong with records and files.

What is found goes to the caller; what can't be used goes to `complain`, one line each, and never stops the scan.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.decoders import DECODERS
from collector.sources.lines import Input, guess_format, read_records
from detectors.engine import Engine
from detectors.falco.evaluation import FalcoOptions
from detectors.packs import read_rule_files
from vedette.app.config import Rules
from vedette.app.config_check import usable_rules
from vedette.app.config_errors import unknown
from vedette.app.open_files import allow_open_files
from vedette.app.wiring import read_rules
from vedette.pipeline.scan import Scanner
from vedette.schema.errors import ConfigError, DecodeError
from vedette.schema.record import Record, Run
from vedette.schema.settings import DetectionSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vedette.schema.event import Decoder
    from vedette.schema.finding import Match

OPTIONS: Final = (
    "--rules",
    "--no-default-rules",
    "--falco-compat",
    "--rule-matching",
    "--source",
    "--alerts",
    "--format",
    "--help",
)
"""Options of `vedette scan`; words that begin with a dash would otherwise be taken for files."""
_FILE_BITS: Final = 40
"""Records of one file get sequence numbers of their own, so that ids of alerts do not depend on the merge."""
_FALCO_DEFAULTS: Final = FalcoOptions()
_SPARE_FILES: Final = 64
"""Files that the process has open beside those that it scans."""


class Hit(NamedTuple):
    """The matches of one record. `order_ns` never goes back within a file."""

    order_ns: int
    seq: int
    matches: Sequence[Match]


@dataclass(slots=True)
class Scan:
    """One scan; what it counted is there when `hits` has come to its end."""

    scanner: Scanner
    complain: Callable[[str], None]
    advance: Callable[[str, int], None] = lambda _file, _bytes: None
    """Told how many bytes of a file have been read."""
    records: int = 0
    bad_records: int = 0
    bad_files: int = 0
    _started_ns: int = field(default_factory=time.time_ns)

    def hits(self, files: Sequence[str], format_name: str | None) -> Iterator[Hit]:
        """Yield the records that rules match: of one file in its order, of several merged by event time."""
        allow_open_files(len(files) + _SPARE_FILES)  # merging has all of them open at once
        streams = [self._file(file, number, format_name) for number, file in enumerate(files)]
        return streams[0] if len(streams) == 1 else heapq.merge(*streams)

    def _file(self, file: str, number: int, format_name: str | None) -> Iterator[Hit]:
        try:
            with Input(file, lambda read: self.advance(file, read)) as opened:
                decoder = _decoder(opened, format_name)
                if decoder is not None:
                    yield from self._records(opened, decoder, number)
                if opened.broken:
                    self._refuse(f"{file}: this archive {opened.broken}; what could be read of it was scanned")
        except ConfigError as error:
            self._refuse(str(error))

    def _refuse(self, message: str) -> None:
        self.bad_files += 1
        self.complain(message)

    def _records(self, opened: Input, decoder: Decoder, number: int) -> Iterator[Hit]:
        seq, order_ns, last_ns = number << _FILE_BITS, 0, self._started_ns
        for piece in read_records(opened, decoder):
            run = Run(decoder.name, decoder.name, len(piece.items), piece.context, opened.path, piece.record)
            for at, payload in enumerate(piece.items):
                seq += 1
                matches = self._matches(Record(seq, self._started_ns, payload, run, piece.record + at))
                if matches:
                    last_ns = _settle_time(matches, last_ns)
                    order_ns = max(order_ns, last_ns)
                    yield Hit(order_ns, seq, matches)

    def _matches(self, record: Record) -> Sequence[Match]:
        self.records += 1
        try:
            return self.scanner.matches(record)
        except DecodeError as error:
            self.bad_records += 1
            self.complain(f"{record.run.origin}:{record.record}: {error}")
            return ()


def make_scanner(rule_paths: Sequence[Path], *, default_rules: bool, falco: FalcoOptions = _FALCO_DEFAULTS) -> Scanner:
    """Compile the shipped rules (if asked for) and those in files and folders.

    Raises:
        ConfigError: a path is not there, or rules can't be used. RuleError: a file can't be read as text.
    """
    texts = read_rules(Rules()) if default_rules else []
    loaded = usable_rules([*texts, *read_rule_files(rule_paths)], falco)
    return Scanner(
        Engine(loaded.rules, DECODERS, loaded.correlations, alerts=loaded.alerts), DECODERS, DetectionSettings()
    )


def check_arguments(files: Sequence[str], format_name: str | None) -> None:
    """Make sure that the format is known, and that no file is a misspelt option (`-` is one on purpose).

    Raises:
        ConfigError: the call is wrong.
    """
    if format_name is not None and format_name not in DECODERS:
        raise ConfigError(f"--source: {unknown(format_name, list(DECODERS), 'format')}")
    for file in files:
        if file.startswith("-") and file != "-":
            raise ConfigError(f"{unknown(file, list(OPTIONS), 'option')} (a file of that name is ./{file})")


def _decoder(opened: Input, format_name: str | None) -> Decoder | None:
    """The decoder for a file; None if the file is empty."""
    head = opened.peek()
    name = format_name or guess_format(head, opened.path)
    if name is not None:
        return DECODERS[name]
    if not head.strip():
        return None
    raise ConfigError(
        f"{opened.path}: its beginning does not tell the format; name it with --source ({', '.join(DECODERS)})"
    )


def _settle_time(matches: Sequence[Match], last_ns: int) -> int:
    """Let an event arrive at its own time, so that today does not bound it; without one, when the last one did."""
    event = matches[0].event
    arrival_ns = event.decoder.time_ns(event.head) or last_ns
    event.record = event.record._replace(arrival_ns=arrival_ns)
    return event.time_ns
