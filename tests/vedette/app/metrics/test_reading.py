"""What is read of a journal: the ledger's numbers, ages, and nothing that grows with the backlog."""

from __future__ import annotations

import pytest

from vedette.app.ledger import read_ledger
from vedette.app.metrics import reading as module
from vedette.app.metrics.reading import read_journal
from vedette.journal.protocol import DeliveryCommit
from vedette.journal.sqlite import SqliteIntakeReader
from vedette.schema.errors import TransientError

from .conftest import SECOND_NS, Journal


def test_it_reads_what_the_ledger_counts(journal: Journal) -> None:
    journal.core.open_delivery("store", from_start=True)
    journal.core.open_delivery("dead", from_start=True)
    journal.receive("falco", "a", "b", "a")
    journal.receive("audit", "c", "d", "e")
    journal.detect(3, alerts=4, falco=2, audit=1)
    journal.core.commit_delivery(DeliveryCommit("store", 3, delivered=1, superseded=1, suppressed=1))
    ledger = read_ledger(journal.folder)
    read = read_journal(journal.folder)
    assert ledger.balanced
    assert {name: account[:7] for name, account in read.sources.items()} == {
        account.source: (*account[1:6], account.refused, account.waiting) for account in ledger.sources
    }
    assert {name: account[:7] for name, account in read.deliveries.items()} == {
        account.delivery: (*account[1:6], account.suppressed, account.waiting) for account in ledger.deliveries
    }
    assert (read.cursor.seq, read.last_seq, read.waiting) == (3, 5, 2)
    assert {account.missing for account in read.sources.values()} == {0}
    assert {account.missing for account in read.deliveries.values()} == {0}


def test_what_waits_is_as_old_as_the_oldest_of_its_source(journal: Journal) -> None:
    journal.receive("falco", "a", "b")
    journal.receive("audit", "c")
    journal.receive("falco", "d")
    journal.core.open_delivery("store", from_start=True)
    journal.detect(1, alerts=1, falco=1)
    read = read_journal(journal.folder)
    since = {name: account.waiting_since_ns // SECOND_NS for name, account in read.sources.items()}
    assert since == {"falco": 2, "audit": 3}
    assert read.waiting_since_ns // SECOND_NS == 2
    assert read.deliveries["store"].waiting_since_ns == journal.now_ns


def test_what_the_ledger_leaves_out_is_told(journal: Journal) -> None:
    journal.receive("falco", "a", "b", "c")
    journal.receive("audit", "d")
    journal.core.open_delivery("store", from_start=True)
    journal.detect(2, alerts=2, falco=1)
    journal.core.commit_delivery(DeliveryCommit("store", 2, delivered=1))
    read = read_journal(journal.folder)
    assert {name: account.missing for name, account in read.sources.items()} == {"falco": 1, "audit": 0}
    assert read.deliveries["store"].missing == 1


def test_what_cannot_be_looked_at_whole_is_not_judged(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OLDEST_RECORDS_MAX", 1)
    journal.receive("falco", "a")
    journal.receive("falco", "b")
    assert read_journal(journal.folder).sources["falco"].missing is None


def test_nothing_waits_and_nothing_is_old(journal: Journal) -> None:
    journal.receive("falco", "a")
    journal.detect(1, falco=1)
    read = read_journal(journal.folder)
    assert read.sources["falco"].waiting == read.sources["falco"].waiting_since_ns == read.waiting_since_ns == 0


def test_the_age_behind_a_long_backlog_is_at_most_too_much(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OLDEST_RECORDS_MAX", 3)
    for number in range(5):
        journal.receive("falco", f"a{number}", f"b{number}")
    journal.receive("audit", "c")
    read = read_journal(journal.folder)
    assert read.sources["falco"].waiting_since_ns == 2 * SECOND_NS
    assert read.sources["audit"].waiting == 1
    assert 2 * SECOND_NS <= read.sources["audit"].waiting_since_ns <= journal.now_ns


def test_the_backlog_is_not_scanned(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(*_: object) -> None:
        raise AssertionError("that costs as much as there is")

    monkeypatch.setattr(SqliteIntakeReader, "scan", scan)
    journal.receive("falco", "a", "b")
    assert read_journal(journal.folder).sources["falco"].waiting == 2


def test_the_folder_is_measured(journal: Journal) -> None:
    read = read_journal(journal.folder)
    assert 0 < read.folder_bytes < read.free_bytes


def test_a_journal_that_is_not_there_is_a_transient_error(journal: Journal) -> None:
    journal.core.close()
    journal.folder.core.unlink()
    with pytest.raises(TransientError, match=r"core\.db"):
        read_journal(journal.folder)
