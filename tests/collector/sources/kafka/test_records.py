"""Records become items that say where they were."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from collector.sources.kafka.records import SHORTENED, Recording
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX, ITEM_BYTES_MAX


class Record(NamedTuple):
    offset: int
    value: bytes | None


RECORDING = Recording("bus", DECODERS["falco"], "")
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.sampled_from([b'{"rule":"a"}', b'[{"rule":"a"},{"rule":"b"}]', b'{"a":1}\n{"b":2}', b"[]"]),
)


@given(st.lists(st.tuples(VALUES, st.integers(1, 3)), max_size=30))
def test_each_record_is_an_item_at_its_offset(rows: list[tuple[bytes | None, int]]) -> None:
    records: list[Record] = []
    for value, step in rows:
        records.append(Record((records[-1].offset if records else -1) + step, value))
    runs, items = RECORDING.described("t/0", records)
    assert sum(run.count for run in runs) == len(items) >= len(records)
    found = {
        run.record + at if run.origin == "t/0" else int(run.origin.removeprefix("t/0@"))
        for run in runs
        for at in range(run.count)
    }
    assert found == {record.offset for record in records}


def test_records_that_follow_each_other_share_a_run() -> None:
    records = [Record(offset, b'{"rule":"a"}') for offset in (5, 6, 7, 9)]
    runs, _ = RECORDING.described("t/0", records)
    assert [(run.origin, run.record, run.count) for run in runs] == [("t/0", 5, 3), ("t/0", 9, 1)]


def test_a_record_over_the_limit_is_shortened() -> None:
    value = b'{"rule":"' + b"x" * ITEM_BYTES_MAX + b'"}'
    _, (item,) = RECORDING.described("t/0", [Record(0, value)])
    assert item == value[: DEAD_LETTER_BYTES_MAX - len(SHORTENED)] + SHORTENED
