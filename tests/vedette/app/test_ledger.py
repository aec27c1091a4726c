"""`vedette ledger` and `vedette dead-letters`: what they count from a journal, and that they notice what is wrong."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from vedette.app.ledger import DeliveryAccount, SourceAccount, read_ledger
from vedette.app.ledger_recount import recount
from vedette.journal.protocol import DeadDelivery, DeadLetter, DeliveryCommit, DetectCommit, DetectCount
from vedette.journal.sqlite import DataFolder, Retention, SqliteCoreLog, SqliteIntakeLog
from vedette.journal.sqlite.intake_reader import segment_paths
from vedette.schema.alert import AlertRevision
from vedette.schema.record import Position, Run

from .conftest import Outcome

Call = Callable[..., Outcome]
SECOND = 1_000_000_000
HOSTILE = "\x1b[2Jnot\u202ejson"


@dataclass
class Parcel:
    source: str
    items: list[bytes]
    runs: list[Run] = field(default_factory=list)
    position: Position | None = None

    def __post_init__(self) -> None:
        self.runs = [Run(self.source, "falco", len(self.items), hashed=True)]


@dataclass
class Journal:
    """A data folder with both logs open."""

    folder: DataFolder
    intake: SqliteIntakeLog
    core: SqliteCoreLog
    now_ns: int = SECOND

    def receive(self, source: str, *items: str, refused: int = 0) -> None:
        self.now_ns += SECOND
        parcel = Parcel(source, [item.encode() for item in items])
        self.intake.append([parcel], now_ns=self.now_ns, refused={source: refused} if refused else None)

    def detect(self, seq: int, counts: dict[str, DetectCount], *, alerts: int = 0, bad: tuple[str, ...] = ()) -> None:
        self.core.commit_detect(
            DetectCommit(
                seq=seq,
                arrival_ns=self.now_ns,
                digest=b"d",
                alerts=[AlertRevision(f"a{seq}-{n}", 1, 1, 1, "high", "r", b"{}") for n in range(alerts)],
                dead_letters=[
                    DeadLetter(seq, 1, "falco", "falco", "", 0, "detect", "no JSON", text, text.encode())
                    for text in bad
                ],
                counts=counts,
                losses={("falco", "falco_drops"): 7} if bad else {},
            )
        )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    retention = Retention(segment_age_ns_max=10 * SECOND)
    made = Journal(folder, SqliteIntakeLog(folder.intake, retention=retention), SqliteCoreLog(folder.core))
    yield made
    made.intake.close()
    made.core.close()


def work(journal: Journal) -> None:
    """Six records (one twice), five detected, three alerts of which two are delivered."""
    journal.receive("falco", "a", "b", "a")
    journal.intake.append_control(b'{"op":"start"}', now_ns=journal.now_ns)
    journal.receive("audit", "c", "d", "e", refused=2)
    journal.detect(2, {"falco": DetectCount(1, 0, 1)}, bad=(HOSTILE,))
    journal.core.open_delivery("store", from_start=True)
    journal.detect(5, {"audit": DetectCount(1, 1, 0)}, alerts=4)
    journal.core.commit_delivery(DeliveryCommit("store", 3, delivered=1, superseded=1, suppressed=1))


def test_the_accounts_are_those_of_the_logs(journal: Journal) -> None:
    work(journal)
    ledger = read_ledger(journal.folder)
    assert ledger.sources == [
        SourceAccount("audit", 3, 0, 1, 1, 0, 1, refused=2, losses={}),
        SourceAccount("falco", 3, 1, 1, 0, 1, 0, refused=0, losses={"falco_drops": 7}),
    ]
    assert ledger.deliveries == [DeliveryAccount("store", 3, 1, 1, 0, 0, 1, suppressed=1)]
    assert ledger.balanced


def test_an_empty_journal_balances(journal: Journal) -> None:
    assert read_ledger(journal.folder).balanced
    assert recount(journal.folder).differences == []


def test_a_balanced_ledger_says_so(journal: Journal, vedette: Call) -> None:
    work(journal)
    done = vedette("ledger", "--recompute", "--data-dir", journal.folder.path)
    assert done.status == 0
    shown = [line.split() for line in done.out.splitlines()]
    assert ["audit", "3", "0", "1", "1", "0", "1", "2"] in shown
    assert ["falco", "3", "1", "1", "0", "1", "0", "0", "falco_drops", "7"] in shown
    assert ["store", "alerts", "3", "1", "1", "0", "0", "1", "1"] in shown
    assert done.out.endswith("balanced\nrecounted 1 segment: the same\n")


def test_programs_get_one_document(journal: Journal, vedette: Call) -> None:
    work(journal)
    done = vedette("ledger", "--format", "json", "--recompute", "--data-dir", journal.folder.path)
    (document,) = done.lines
    assert document["balanced"] is True
    assert [source["missing"] for source in document["sources"]] == [0, 0]
    assert document["recount"] == {"segments": 1, "first_seq": 1, "differences": []}


@pytest.mark.parametrize(
    ("file", "tamper", "message"),
    [
        ("core.db", "UPDATE ledger SET processed = 3 WHERE source = 'audit'", "source audit: 2 too many"),
        ("core.db", "DELETE FROM ledger WHERE source = 'falco'", "source falco: 2 not accounted for"),
        ("core.db", "UPDATE state SET seq = 6", "source audit: 1 not accounted for"),
        ("core.db", "UPDATE delivery SET delivered = 0", "sink store: 1 not accounted for"),
        ("intake", "UPDATE counter SET received = 4 WHERE source = 'falco'", "source falco: 1 not accounted for"),
    ],
)
def test_an_unbalanced_ledger_says_where(journal: Journal, vedette: Call, file: str, tamper: str, message: str) -> None:
    work(journal)
    tampered = journal.folder.core if file == "core.db" else segment_paths(journal.folder.intake)[0]
    apsw.Connection(str(tampered)).execute(tamper)
    done = vedette("ledger", "--data-dir", journal.folder.path)
    assert done.status == 1
    assert f"NOT BALANCED: {message}" in done.out
    assert "\nbalanced" not in done.out


def test_a_recount_finds_a_wrong_counter_and_a_lost_row(journal: Journal, vedette: Call) -> None:
    work(journal)
    path = segment_paths(journal.folder.intake)[0]
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE counter SET refused = 5 WHERE source = 'audit'")
    connection.execute("DELETE FROM chunk WHERE seq = 1")
    done = vedette("ledger", "--recompute", "--data-dir", journal.folder.path)
    assert done.status == 1
    assert f"NOT THE SAME: segment {path.name}: source audit: refused is 5, its rows say 2" in done.out
    assert f"NOT THE SAME: segment {path.name}: source falco: received is 3, its rows say 0" in done.out


def test_a_recount_goes_from_segment_to_segment(journal: Journal) -> None:
    work(journal)
    for _ in range(3):
        journal.now_ns += 20 * SECOND
        journal.receive("falco", f"at {journal.now_ns}", refused=1)
    assert recount(journal.folder) == (4, 1, [])
    journal.detect(9, {"falco": DetectCount(3, 0, 0), "audit": DetectCount(1, 0, 0)})
    assert read_ledger(journal.folder).balanced
    segment_paths(journal.folder.intake)[0].unlink()
    remaining = recount(journal.folder)
    assert (remaining.segments, remaining.differences) == (3, [])
    assert remaining.first_seq > 1
    assert read_ledger(journal.folder).balanced


def test_dead_letters_are_listed_without_their_poison(journal: Journal, vedette: Call) -> None:
    work(journal)
    done = vedette("dead-letters", "list", "--data-dir", journal.folder.path)
    assert done.status == 0
    assert "\x1b" not in done.out
    assert done.out.splitlines()[1].split() == [
        "r1",
        "1970-01-01T00:00:00.000000Z",
        *["falco", "falco", "detect", "no", "JSON"],
    ]


def test_a_dead_letter_is_shown_harmless_or_as_it_was(journal: Journal, vedette: Call) -> None:
    work(journal)
    place = ("--data-dir", journal.folder.path)
    assert r"\x1b[2Jnot\u202ejson" in vedette("dead-letters", "show", "1", *place).out
    (document,) = vedette("dead-letters", "show", "1", "--format", "json", *place).lines
    assert b64decode(document["payload_base64"]) == HOSTILE.encode()
    assert vedette("dead-letters", "show", "1", "--raw", *place).out == HOSTILE


# --- deliveries -------------------------------------------------------------------------------------------------------
def refuse(journal: Journal) -> None:
    """Two sinks, of alerts and of events, that refuse something."""
    work(journal)
    (logged,) = journal.core.alerts(0, limit=1)
    event = AlertRevision("", 0, 0, 5, "", "", HOSTILE.encode(), "falco", "prod")
    dead = DeadDelivery("store", "alerts", 1, HOSTILE, logged.revision._replace(rule_id=HOSTILE, source="audit"))
    journal.core.commit_delivery(DeliveryCommit("store", 4, dead_letters=[dead]))
    journal.core.open_event_delivery("siem", after_seq=1)
    letters = [DeadDelivery("siem", "events", 2, "too long", event)]
    journal.core.commit_delivery(DeliveryCommit("siem", 4, delivered=1, suppressed=1, dead_letters=letters))


def test_a_delivery_of_events_is_accounted_for_by_the_end_of_intake(journal: Journal, vedette: Call) -> None:
    refuse(journal)
    accounts = {account.delivery: account for account in read_ledger(journal.folder).deliveries}
    assert accounts["siem"] == DeliveryAccount("siem", 4, 1, 0, 1, 0, 2, suppressed=1, log="events")
    assert accounts["siem"].missing == 0
    done = vedette("ledger", "--data-dir", journal.folder.path)
    assert ["siem", "events", "4", "1", "0", "1", "0", "2", "1"] in [line.split() for line in done.out.splitlines()]
    apsw.Connection(str(journal.folder.core)).execute("UPDATE delivery SET delivered = 3 WHERE name = 'siem'")
    assert "NOT BALANCED: sink siem: 2 too many" in vedette("ledger", "--data-dir", journal.folder.path).out


def test_dead_deliveries_are_listed_without_their_poison(journal: Journal, vedette: Call) -> None:
    refuse(journal)
    place = ("--data-dir", journal.folder.path)
    done = vedette("dead-letters", "list", *place)
    assert done.status == 0
    assert "\x1b" not in done.out
    listed = [line.split()[0] for line in done.out.splitlines() if line]
    assert listed == ["ID", "r1", "ID", "d1", "d2"]
    documents = vedette("dead-letters", "list", "--format", "json", *place).lines
    assert [(document["id"], document["kind"]) for document in documents] == [
        ("r1", "record"),
        ("d1", "delivery"),
        ("d2", "delivery"),
    ]
    assert (documents[1]["rule_id"], documents[1]["reason"]) == (HOSTILE, HOSTILE)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--sink", "siem"], ["d2"]),
        (["--sink", "nobody"], []),
        (["--source", "falco"], ["r1", "d2"]),
        (["--source", "audit"], ["d1"]),
        (["--reason", "long"], ["d2"]),
        (["--reason", "no JSON"], ["r1"]),
        (["--limit", "1"], ["r1", "d2"]),
        (["--limit", "0"], []),
    ],
    ids=str,
)
def test_dead_letters_of_both_kinds_are_chosen(
    journal: Journal, vedette: Call, options: list[str], ids: list[str]
) -> None:
    refuse(journal)
    done = vedette("dead-letters", "list", "--format", "json", *options, "--data-dir", journal.folder.path)
    assert [document["id"] for document in done.lines] == ids


def test_a_dead_delivery_is_shown_harmless_or_as_it_is_kept(journal: Journal, vedette: Call) -> None:
    refuse(journal)
    place = ("--data-dir", journal.folder.path)
    shown = vedette("dead-letters", "show", "d2", *place).out
    assert r"\x1b[2Jnot\u202ejson" in shown
    assert "\x1b" not in vedette("dead-letters", "show", "d1", *place).out
    (document,) = vedette("dead-letters", "show", "d2", "--format", "json", *place).lines
    assert (document["sink"], document["log"], document["position"], document["queued"]) == ("siem", "events", 2, False)
    assert vedette("dead-letters", "show", "d2", "--raw", *place).out == HOSTILE


@pytest.mark.parametrize("named", ["r9", "9", "d9"])
def test_a_dead_letter_that_is_not_there_is_a_wrong_call(journal: Journal, vedette: Call, named: str) -> None:
    refuse(journal)
    done = vedette("dead-letters", "show", named, "--data-dir", journal.folder.path)
    assert done.status == 2
    assert f"there is no dead letter {'d9' if named == 'd9' else 'r9'}" in done.err


def test_dead_letters_are_chosen_by_source_and_number(journal: Journal, vedette: Call) -> None:
    journal.receive("falco", *"abcd")
    journal.detect(4, {"falco": DetectCount(0, 0, 4)}, bad=("1", "2", "3", "4"))
    place = ("--data-dir", journal.folder.path, "--format", "json")
    assert [letter["id"] for letter in vedette("dead-letters", "list", "--limit", "2", *place).lines] == ["r3", "r4"]
    assert vedette("dead-letters", "list", "--source", "audit", *place).out == ""


def test_a_folder_that_is_none_is_a_wrong_call(vedette: Call, tmp_path: Path) -> None:
    for command in (["ledger"], ["dead-letters", "list"], ["status"], ["stop"]):
        done = vedette(*command, "--data-dir", tmp_path)
        assert (done.status, done.out) == (2, "")
        assert f"{tmp_path} is not a Vedette data folder" in done.err


def test_a_damaged_file_is_no_bug(journal: Journal, vedette: Call) -> None:
    work(journal)
    journal.core.close()
    journal.folder.core.write_bytes(b"garbage" * 1000)
    done = vedette("ledger", "--data-dir", journal.folder.path)
    assert done.status == 3
    assert "is damaged" in done.err


def test_json_is_ascii(journal: Journal, vedette: Call) -> None:
    work(journal)
    out = vedette("dead-letters", "list", "--format", "json", "--data-dir", journal.folder.path).out
    assert out.isascii()
    assert json.loads(out)["detail"] == HOSTILE
