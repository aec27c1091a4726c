"""What a sieve found makes the matches that the rules themselves would make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.library import Library
from detectors.packs import shipped_pack_texts
from detectors.rule import Rule
from detectors.sigma.separate_tests import read_separate_tests
from detectors.testing.checking import Checker
from vedette.journal.protocol import Chunk
from vedette.pipeline.backtest.recall import Recall
from vedette.pipeline.backtest.sieve import Sieve
from vedette.pipeline.examiner import Examiner
from vedette.schema.record import Run

if TYPE_CHECKING:
    from vedette.schema.finding import Match
    from vedette.schema.record import Record

LIBRARY = Library(shipped_pack_texts())
RULES = LIBRARY.loaded.rules
ARRIVAL_NS = 1_800_000_000_000_000_000


@pytest.fixture(scope="module")
def chunk() -> Chunk:
    """The events of all tests of all shipped rules."""
    checker = Checker(LIBRARY, DECODERS, read_separate_tests(shipped_pack_texts(tests=True))[0])
    tests = [(rule, test) for rule in LIBRARY.rules.values() if isinstance(rule, Rule) for test in checker.tests(rule)]
    events = [event for rule, test in tests for event in checker.bench.events(rule, test)]
    runs = [Run("test", event.decoder.name, 1) for event in events]
    items = [event.record.payload for event in events]
    return Chunk(1, ARRIVAL_NS, runs, items, sum(map(len, items)))


def said(matches: list[Match]) -> list[tuple[str, tuple[str, ...]]]:
    return [(match.rule.rule_id, match.dedup_values()) for match in matches]


def looked_at(examiner: Examiner, record: Record) -> list[tuple[str, tuple[str, ...]]]:
    return said(list(examiner.look(record).matches))


@pytest.mark.parametrize("kept", [slice(None), slice(0, None, 3)], ids=["all-rules", "every-third-rule"])
def test_recalled_matches_are_those_of_the_rules(chunk: Chunk, kept: slice) -> None:
    engine = Engine(RULES[kept], DECODERS, alerts=LIBRARY.loaded.alerts)
    left = Sieve(RULES, DECODERS).sift(chunk)
    plain, recall = Examiner(engine, DECODERS), Recall(engine, DECODERS, left.found)
    assert len(left.found) > len(RULES) / 2
    found = {record.seq: looked_at(recall, record) for record in left.records}
    assert found == {record.seq: looked_at(plain, record) for record in left.records}
    assert {rule_id for matches in found.values() for rule_id, _ in matches} >= {
        rule.info.rule_id for rule in RULES[kept]
    }


def test_what_was_let_go_matches_nothing(chunk: Chunk) -> None:
    left = Sieve(RULES, DECODERS).sift(chunk)
    everything = Sieve((), DECODERS, keeps_all=True).sift(chunk)
    gone = {record.seq for record in everything.records} - {record.seq for record in left.records}
    examiner = Examiner(Engine(RULES, DECODERS), DECODERS)
    assert gone
    assert [record.seq for record in everything.records if record.seq in gone and looked_at(examiner, record)] == []


def test_a_record_of_which_nothing_is_known_is_looked_at(chunk: Chunk) -> None:
    engine = Engine(RULES, DECODERS)
    recall, plain = Recall(engine, DECODERS, {}), Examiner(engine, DECODERS)
    records = Sieve(RULES, DECODERS).sift(chunk).records
    assert any(looked_at(recall, record) for record in records)
    assert [looked_at(recall, record) for record in records] == [looked_at(plain, record) for record in records]
