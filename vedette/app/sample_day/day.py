"""The records of the sample day, and how they are moved to another time.

Moving adds one whole number of seconds to every time, so order and distances stay. Moved are: of audit events
`requestReceivedTimestamp` and `stageTimestamp`; of Falco alerts `time`, the time at the head of `output` and the field
`evt.time`; of flow records `start` and `end`. Bodies of audit events keep the times that they were recorded with.
Each play gives audit events fresh ids, the same for the stages of one request.
"""

from __future__ import annotations

import gzip
import uuid
from collections import Counter
from datetime import UTC, datetime
from importlib.resources import files
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CLUSTER: Final = "sample-day"
"""The label on every alert of a sample day, so that nobody takes one for real."""
_US_NS: Final = 1_000
_AUDIT_TIMES: Final = ("requestReceivedTimestamp", "stageTimestamp")
_CLOCK: Final = slice(11, 29)
"""Of a Falco alert's `time`: hours to nanoseconds, as `output` begins."""
_IDS: Final = uuid.UUID("6c1b1d4e-5b0a-5a3c-9a55-0d5f2f6b7a10")
"""Namespace of the audit ids that plays are given (RFC 9562, version 5)."""


class Record(NamedTuple):
    """One record of one format; `time_ns` is its event time, ns since the epoch."""

    time_ns: int
    format: str
    payload: bytes


class SampleDay(NamedTuple):
    """All records in order of their times, and the header line that says what flow records hold."""

    records: tuple[Record, ...]
    flow_header: bytes

    @property
    def counts(self) -> Counter[str]:
        """How many records there are of each format."""
        return Counter(record.format for record in self.records)

    def ending_at(self, end_s: int) -> SampleDay:
        """Move the day so that its last record falls into the second `end_s` (since the epoch).

        The same `end_s` gives the same bytes.
        """
        by_s = end_s - self.records[-1].time_ns // SECOND_NS
        return self._replace(records=tuple(_moved(record, by_s, f"{end_s}") for record in self.records))


def read_day() -> SampleDay:
    """Read the day that ships with Vedette."""
    flow_header, *flows = _lines("vpc_flow.txt.gz")
    names = flow_header.split()
    end = names.index(b"end")
    records = [
        *(Record(_audit_time_ns(line), "kube_audit", line) for line in _lines("kube_audit.jsonl.gz")),
        *(
            Record(int(orjson.loads(line)["output_fields"]["evt.time"]), "falco", line)
            for line in _lines("falco.jsonl.gz")
        ),
        *(Record(int(line.split()[end]) * SECOND_NS, "vpc_flow", line) for line in flows),
    ]
    assert tuple(names[_FLOW_TIMES]) == (b"start", b"end"), "flow records are moved by the place of their columns"
    return SampleDay(tuple(sorted(records, key=attrgetter("time_ns"))), flow_header)


def _lines(name: str) -> list[bytes]:
    return gzip.decompress((files("vedette.app.sample_day") / "data" / name).read_bytes()).splitlines()


def _moved(record: Record, by_s: int, play: str) -> Record:
    return record._replace(
        time_ns=record.time_ns + by_s * SECOND_NS, payload=_MOVES[record.format](record.payload, by_s, play)
    )


# --- audit ------------------------------------------------------------------------------------------------------------
def _audit_time_ns(line: bytes) -> int:
    return _time_ns(orjson.loads(line)["stageTimestamp"])


def _moved_audit(line: bytes, by_s: int, play: str) -> bytes:
    event: dict[str, Any] = orjson.loads(line)
    for key in _AUDIT_TIMES:
        event[key] = f"{_instant(_time_ns(event[key]) + by_s * SECOND_NS)}Z"
    event["auditID"] = str(uuid.uuid5(_IDS, f"{play} {event['auditID']}"))
    return orjson.dumps(event)


# --- Falco ------------------------------------------------------------------------------------------------------------
def _moved_falco(line: bytes, by_s: int, _: str) -> bytes:
    alert: dict[str, Any] = orjson.loads(line)
    before = alert["time"]
    time_ns = alert["output_fields"]["evt.time"] + by_s * SECOND_NS
    alert["output_fields"]["evt.time"] = time_ns
    alert["time"] = f"{_instant(time_ns)}{time_ns % _US_NS:03d}Z"
    alert["output"] = alert["output"].replace(before[_CLOCK], alert["time"][_CLOCK], 1)
    return orjson.dumps(alert)


# --- flows ------------------------------------------------------------------------------------------------------------
_FLOW_TIMES: Final = slice(10, 12)
"""Columns `start` and `end`, seconds since the epoch."""


def _moved_flow(line: bytes, by_s: int, _: str) -> bytes:
    columns = line.split()
    columns[_FLOW_TIMES] = [b"%d" % (int(time_s) + by_s) for time_s in columns[_FLOW_TIMES]]
    return b" ".join(columns)


_MOVES: Final[dict[str, Callable[[bytes, int, str], bytes]]] = {
    "kube_audit": _moved_audit,
    "falco": _moved_falco,
    "vpc_flow": _moved_flow,
}


# --- time -------------------------------------------------------------------------------------------------------------
def _time_ns(text: str) -> int:
    """Read an audit timestamp: RFC 3339 in UTC with microseconds."""
    since_epoch = datetime.fromisoformat(text) - datetime.fromtimestamp(0, UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * SECOND_NS + since_epoch.microseconds * _US_NS


def _instant(time_ns: int) -> str:
    """Render a date and time in UTC with microseconds."""
    seconds, rest = divmod(time_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // _US_NS:06d}"


# --- batches ----------------------------------------------------------------------------------------------------------
def slices(records: Iterable[Record], count: int) -> Iterator[list[Record]]:
    """Cut records, in order of their times, into `count` parts that are equally long in time; parts may be empty."""
    ordered = list(records)
    start_ns = ordered[0].time_ns
    span_ns = ordered[-1].time_ns - start_ns + 1
    parts: list[list[Record]] = [[] for _ in range(count)]
    for record in ordered:
        parts[(record.time_ns - start_ns) * count // span_ns].append(record)
    yield from parts
