"""Records on their way from a source into the intake log, and as they are read back.

A record is bytes as received. What all records of a stretch share (source, format, what the decoder must know) is said
once for the stretch, a `Run`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

CONTROL_SOURCE = "vedette"
"""The source name of control records; no configured source may bear it."""
CONTROL_FORMAT = "control"
"""The format name of control records: one JSON object with `op`."""


class Run(msgspec.Struct, array_like=True, frozen=True):
    """What `count` consecutive records have in common.

    `source`: the configured name of the source. `format`: the decoder's name. `context`: what that decoder must know
    beside the bytes (VPC flow logs: the field order), "" if nothing. `origin`: the stream inside the source (a file's
    path), "" for push sources. `record`: the 1-based number of the first record in its origin (lines of a file, items
    of a body). `hashed`: whether push duplicates of these records are recognised.
    """

    source: str
    format: str
    count: int
    context: str = ""
    origin: str = ""
    record: int = 1
    hashed: bool = False


class Record(NamedTuple):
    """One record read back from the intake log (or from a file by `scan`)."""

    seq: int
    arrival_ns: int
    payload: bytes
    run: Run
    record: int
    """1-based number in `run.origin`."""


class Position(NamedTuple):
    """How far a pull source has read in one partition (a file, a topic partition); `value` is opaque to intake."""

    partition: str
    value: str


class Piece(NamedTuple):
    """Consecutive records that a decoder's `split` found in a body: `items` with `context`, numbered from `record`."""

    items: list[bytes]
    context: str
    record: int
