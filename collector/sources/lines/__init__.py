"""Reading of lines, shared by `files`, `stdin` and `vedette scan`; no source itself.

`cutting` turns bytes into records, `unpacking` turns compressed bytes into plain ones, `documents` reads whole files
for `vedette scan`, `guessing` tells which format a file has. Nothing here waits, keeps positions or knows a decoder.
"""

from collector.sources.lines.cutting import Cut, LineStream, LineTooLong, Place, cut, described
from collector.sources.lines.documents import Input, read_records
from collector.sources.lines.guessing import guess_format
from collector.sources.lines.unpacking import Unpacker, packing_of

__all__ = [
    "Cut",
    "Input",
    "LineStream",
    "LineTooLong",
    "Place",
    "Unpacker",
    "cut",
    "described",
    "guess_format",
    "packing_of",
    "read_records",
]
