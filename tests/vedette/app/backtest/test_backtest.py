"""`vedette rules backtest`: what it says of rules and of changes, how much of the log it takes, and what it refuses."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detectors.rule import RuleText
from tests.vedette.app.conftest import Outcome
from vedette.app import wiring
from vedette.app.backtest import archive as archive_module
from vedette.app.backtest import rule_sets
from vedette.app.backtest import run as run_module
from vedette.app.backtest.run import Backtest
from vedette.app.backtest.verdicts import NO_VERDICTS
from vedette.app.config import PACKS
from vedette.journal.sqlite import Retention
from vedette.journal.sqlite.intake_reader import segment_paths
from vedette.pipeline.control_record import OP_STOP
from vedette.schema.verdict import Judgement

from .conftest import BEGIN_NS, DELETED, NOT_BY_BOB, READ, SECOND, Archive, event

Call = Callable[..., Outcome]
RuleAt = Callable[[str, str], Path]
TINY = Retention(segment_bytes_max=1)
"""A segment for each commit."""
TWO_DELETIONS = """
title: Two deletions
id: two-deletions
level: high
correlation:
  type: event_count
  rules: [6d0e8f1a-0000-4000-8000-000000000001]
  timespan: 1h
  condition: {gte: 2}
"""


@pytest.fixture
def told(archive: Archive) -> Archive:
    """Ann and bob delete secrets, ann twice, and eve reads one; the agent knew of deletions alone."""
    archive.start(DELETED)
    archive.add(event(1), event(2, user="bob"))
    archive.add(event(3), event(4, user="eve", verb="get"), after_s=60)
    return archive


def statuses(done: Outcome) -> dict[tuple[str, str], str]:
    return {(line["rule"], line["entity"][0]): line["status"] for line in done.lines}


# --- what it says -----------------------------------------------------------------------------------------------------
def test_an_alert_as_json_is_as_documented(told: Archive, backtest: Call, rule_at: RuleAt) -> None:
    done = backtest(rule_at("read.yml", READ), "--format", "json")
    (line,) = done.lines
    state = line["after"]
    assert (done.status, len(line["alert_id"]), len(line["event_uid"])) == (0, 32, 32)
    assert line == {
        "status": "gained",
        "alert_id": state["alert_id"],
        "level": "low",
        "rule_id": "6d0e8f1a-0000-4000-8000-000000000002",
        "rule": "Secret read",
        "cluster": "prod",
        "entity": ["eve"],
        "first_seen": "2026-03-01T00:00:04.000000Z",
        "last_seen": "2026-03-01T00:00:04.000000Z",
        "source": "audit",
        "event_uid": line["event_uid"],
        "event_ids": ["audit-4"],
        "before": None,
        "after": {
            "alert_id": state["alert_id"],
            "level": "low",
            "findings": 1,
            "opened": "2026-03-01T00:01:01.000000Z",
            "first_seen": "2026-03-01T00:00:04.000000Z",
            "last_seen": "2026-03-01T00:00:04.000000Z",
        },
        "confirmed": False,
    }


def test_people_see_alerts_by_rule_and_by_entity(told: Archive, backtest: Call, rule_at: RuleAt) -> None:
    done = backtest(rule_at("deleted.yml", DELETED), rule_at("read.yml", READ))
    assert done.out.splitlines() == [
        "LEVEL  RULE            ALERTS  FINDINGS",
        "high   Secret deleted       2         3",
        "low    Secret read          1         1",
        "",
        "RULE            ENTITY  CLUSTER  ALERTS  FINDINGS",
        "Secret deleted  ann     prod          1         2",
        "Secret deleted  bob     prod          1         1",
        "Secret read     eve     prod          1         1",
    ]
    assert done.err.splitlines() == [
        "3 alerts in 6 records, up to 2026-03-01T00:01:01.000000Z",
        "begun with the log, so ids and counts are those that the agent gives",
    ]


def test_people_see_what_a_change_changes(told: Archive, backtest: Call, rule_at: RuleAt) -> None:
    done = backtest("--diff", "running", f"{rule_at('new.yml', NOT_BY_BOB)},{rule_at('read.yml', READ)}")
    assert done.out.splitlines() == [
        "LEVEL  RULE            GAINED  LOST  CHANGED  SAME",
        "high   Secret deleted       0     1        0     1",
        "low    Secret read          1     0        0     0",
        "",
        "RULE            ENTITY  CLUSTER  GAINED  LOST  CHANGED  SAME",
        "Secret deleted  bob     prod          0     1        0     0",
        "Secret read     eve     prod          1     0        0     0",
    ]
    assert done.err.splitlines() == [
        "1 gained, 1 lost, 0 changed, 1 same in 6 records, up to 2026-03-01T00:01:01.000000Z",
        "begun with the log, so ids and counts are those that the agent gives",
        NO_VERDICTS,
    ]
    assert done.status == 0


@pytest.mark.parametrize(
    ("new", "wanted"),
    [
        (DELETED, {"ann": "same", "bob": "same"}),
        (NOT_BY_BOB, {"ann": "same", "bob": "lost"}),
        (DELETED.replace("high", "low"), {"ann": "changed", "bob": "changed"}),
        (DELETED.replace("verb: delete", "auditID: audit-3"), {"ann": "changed", "bob": "lost"}),
    ],
    ids=["same", "narrower", "another-level", "without-the-opening-event"],
)
def test_statuses(told: Archive, backtest: Call, rule_at: RuleAt, new: str, wanted: dict[str, str]) -> None:
    done = backtest("--diff", rule_at("old.yml", DELETED), rule_at("new.yml", new), "--format", "json")
    assert {user: status for (_, user), status in statuses(done).items()} == wanted


FIRST_SEEN = """
title: A verb for the first time
id: first-verb
logsource: {product: vedette, category: call}
detection: {known: {actor|exists: true}, condition: known}
behaviour: {type: first_seen, by: [actor], value: [verb], learn_for: 10s}
level: low
"""


@pytest.mark.parametrize("words", [["{file}"], ["{file}", "starter"]], ids=["alone", "with-a-pack"])
def test_detectors_of_behaviour_learn_from_what_no_rule_matches(
    archive: Archive, backtest: Call, rule_at: RuleAt, words: list[str]
) -> None:
    archive.start(READ)
    for number in range(40):
        archive.add(event(number, verb="watch"))
    archive.add(event(40, verb="update"))
    named = [word.format(file=rule_at("first.yml", FIRST_SEEN)) for word in words]
    found = backtest(*named, "--processes", "2", "--format", "json").lines
    assert [(line["entity"][0], line["event_ids"]) for line in found if line["rule_id"] == "first-verb"] == [
        ("ann", ["audit-40"])
    ]


# --- what analysts confirmed ------------------------------------------------------------------------------------------
def hidden(done: Outcome) -> list[str]:
    """The ids of the alerts that the change would have hidden, as programs and people are told."""
    ids = [line["alert_id"] for line in done.lines if line["confirmed"] and line["after"] is None]
    told = [line for line in done.err.splitlines() if line.startswith("HIDDEN: ")]
    assert [line.split(", ")[0] for line in told] == [f"HIDDEN: {alert_id}" for alert_id in ids]
    assert done.status == bool(ids)
    return ids


def running_alert(backtest: Call, user: str) -> dict[str, Any]:
    (line,) = (one for one in backtest("running", "--format", "json").lines if one["entity"] == [user])
    return line


@pytest.mark.parametrize(
    ("judgements", "hides"),
    [
        ([Judgement.TRUE_POSITIVE], True),
        ([Judgement.FALSE_POSITIVE], False),
        ([Judgement.BENIGN], False),
        ([Judgement.FALSE_POSITIVE, Judgement.TRUE_POSITIVE], True),
        ([Judgement.TRUE_POSITIVE, Judgement.BENIGN], False),
    ],
    ids=lambda value: value if isinstance(value, bool) else "-then-".join(value),
)
def test_what_was_confirmed_and_would_be_hidden_is_named(
    told: Archive, backtest: Call, rule_at: RuleAt, judgements: list[Judgement], *, hides: bool
) -> None:
    bob, ann = (running_alert(backtest, user)["alert_id"] for user in ("bob", "ann"))
    told.verdict(ann, Judgement.TRUE_POSITIVE)
    for judgement in judgements:
        told.verdict(bob, judgement)
    new = rule_at("new.yml", NOT_BY_BOB)
    assert hidden(backtest("--diff", "running", new, "--format", "json")) == [bob] * hides
    assert hidden(backtest("--diff", "running", "running", "--format", "json")) == []
    assert (
        backtest("--diff", "running", new)
        .err.splitlines()[-1]
        .startswith(
            f"HIDDEN: {bob}, confirmed as a true positive: high Secret deleted (bob)" if hides else "begun with the log"
        )
    )


def test_a_verdict_counts_that_comes_behind_the_records_looked_at(
    told: Archive, backtest: Call, rule_at: RuleAt
) -> None:
    bob = running_alert(backtest, "bob")["alert_id"]
    told.add(event(5, user="zoe"), after_s=3600)
    told.verdict(bob, Judgement.TRUE_POSITIVE)
    diff = ("--diff", "running", rule_at("new.yml", NOT_BY_BOB), "--until", "2026-03-01T00:30:00Z", "--format", "json")
    assert hidden(backtest(*diff)) == [bob]


@pytest.mark.parametrize(("values", "hides"), [(["bob"], True), (["eve"], False)], ids=["his", "of-somebody-else"])
def test_where_ids_are_not_the_agents_the_same_thing_at_that_time_is_meant(
    told: Archive, backtest: Call, rule_at: RuleAt, values: list[str], *, hides: bool
) -> None:
    """Begun in the middle, an alert has another event that opens it, and so another id."""
    told.add(event(70, user="bob"), after_s=30)
    told.verdict(
        "0" * 32,
        Judgement.TRUE_POSITIVE,
        rule={"id": "6d0e8f1a-0000-4000-8000-000000000001", "dedup_as": ""},
        cluster="prod",
        dedup_values=values,
        opened_ns=BEGIN_NS,
        closes_ns=BEGIN_NS + 600 * SECOND,
    )
    done = backtest(
        "--diff", "running", rule_at("new.yml", NOT_BY_BOB), "--since", "2026-03-01T00:01:20Z", "--format", "json"
    )
    assert "begun cold" in done.err or "not known" in done.err
    assert len(hidden(done)) == hides


def test_no_terminal_obeys_what_attackers_chose(archive: Archive, backtest: Call) -> None:
    archive.start(DELETED)
    archive.add(event(1, user="\x1b]0;owned\x07[red]\u202e"))
    done = backtest("running")
    assert "\x1b" not in done.out + done.err
    assert r"\x1b]0;owned\x07[red]\u202e" in done.out


def test_what_can_not_be_used_is_said(told: Archive, backtest: Call) -> None:
    told.add(b'{"broken')
    assert "1 record could not be used" in backtest("running").err


# --- which rules ------------------------------------------------------------------------------------------------------
def test_running_rules_are_those_of_each_time(told: Archive, backtest: Call) -> None:
    told.rules(READ)
    told.add(event(5, user="mia"), event(6, user="mia", verb="get"))
    assert statuses(backtest("running", "--format", "json")).keys() == {
        ("Secret deleted", "ann"),
        ("Secret deleted", "bob"),
        ("Secret read", "mia"),
    }


def test_rules_are_named_by_id_and_by_title(told: Archive, backtest: Call, rule_at: RuleAt, tmp_path: Path) -> None:
    config = tmp_path / "vedette.yaml"
    config.write_text(json.dumps({"rules": {"packs": [], "paths": [str(rule_at("all.yml", DELETED + "---" + READ))]}}))
    for word in ("Secret read", "6d0e8f1a-0000-4000-8000-000000000002"):
        done = backtest(word, "--config", config, "--format", "json")
        assert statuses(done).keys() == {("Secret read", "eve")}
    assert len(backtest("--config", config, "--format", "json").lines) == 3
    assert len(backtest("Secret read", "Secret deleted", "--config", config, "--format", "json").lines) == 3


def test_a_correlation_comes_with_what_it_refers_to(
    told: Archive, backtest: Call, rule_at: RuleAt, tmp_path: Path
) -> None:
    config = tmp_path / "vedette.yaml"
    path = rule_at("all.yml", f"{DELETED}---{READ}---{TWO_DELETIONS}")
    config.write_text(json.dumps({"rules": {"packs": [], "paths": [str(path)]}}))
    (line,) = backtest("Two deletions", "--config", config, "--format", "json").lines
    assert (line["rule"], line["after"]["findings"]) == ("Two deletions", 1)


def test_a_pack_is_named_by_its_name(told: Archive, backtest: Call) -> None:
    assert backtest("starter").status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.yml"], "`nothing.yml` is no path, no pack, and no rule's id or title; `vedette rules list`"),
        (["Secret deletion"], "is no path, no pack, and no rule's id or title; did you mean `Secret deleted`?"),
        (["runing"], "did you mean `running`?"),
        (["running", "starter"], "`running` stands alone"),
        (["starter", "--diff", "running", "configured"], "name rules either alone or as OLD and NEW of --diff"),
        (["starter", "--since", "yesterday"], "`yesterday` is no time"),
        (["starter", "--until", "2020-01-01"], "no records of that time; widen --since and --until"),
        (["starter", "--since", "2027-01-01"], "no records of that time; widen --since and --until"),
        (["--diff", "running"], "--diff"),
    ],
)
def test_a_wrong_call_looks_at_nothing(
    told: Archive, backtest: Call, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    texts = [RuleText(f"{pack}/a.yml", DELETED if pack == "starter" else "", pack) for pack in PACKS]
    for module in (rule_sets, wiring):
        monkeypatch.setattr(module, "shipped_pack_texts", lambda: texts)
    done = backtest(*arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_a_rule_that_can_not_be_used_is_placed(told: Archive, backtest: Call, rule_at: RuleAt) -> None:
    done = backtest(rule_at("bad.yml", DELETED.replace("condition: selection", "condition: nothing")))
    assert done.status == 2
    assert "bad.yml" in done.err


# --- how much of the log ----------------------------------------------------------------------------------------------
@pytest.fixture
def long(archive: Archive) -> Archive:
    """A deletion a minute, by two users in turn, over many segments; then the rules change."""
    archive.log.close()
    made = Archive(archive.folder, retention=TINY)
    made.start(DELETED)
    for number in range(20):
        made.add(event(60 * number, user=f"user-{number % 2}"), after_s=60)
    made.rules(READ)
    made.add(event(1200, verb="get"), after_s=60)
    archive.log = made.log
    return made


def test_time_bounds_go_by_arrival(long: Archive, backtest: Call) -> None:
    done = backtest("running", "--since", "2026-03-01T00:10:00Z", "--until", "2026-03-01T00:13:00Z", "--format", "json")
    assert [line["event_ids"] for line in done.lines] == [["audit-540"], ["audit-600"]]
    assert "2 alerts in 3 records, up to 2026-03-01T00:12:00.000000Z" in done.err
    assert "windows start cold at 2026-03-01T00:10:00.000000Z" in done.err


def test_cold_or_not_settings_and_rules_are_those_in_force(long: Archive, backtest: Call) -> None:
    done = backtest("running", "--since", "2026-03-01T00:15:00Z", "--format", "json")
    assert {(line["rule"], line["cluster"]) for line in done.lines} == {
        ("Secret deleted", "prod"),
        ("Secret read", "prod"),
    }


def test_cold_with_given_rules_settings_are_those_in_force(long: Archive, backtest: Call, rule_at: RuleAt) -> None:
    done = backtest(rule_at("new.yml", DELETED), "--since", "2026-03-01T00:15:00Z", "--format", "json")
    assert [(line["entity"], line["cluster"]) for line in done.lines] == [(["user-0"], "prod"), (["user-1"], "prod")]
    assert "could not be used" not in done.err


def test_cold_in_the_first_segment_settings_are_those_in_force(told: Archive, backtest: Call) -> None:
    done = backtest("running", "--since", "2026-03-01T00:01:00Z", "--format", "json")
    assert [(line["entity"], line["cluster"]) for line in done.lines] == [(["ann"], "prod")]


def test_where_the_log_was_retired_it_begins_cold(long: Archive, backtest: Call) -> None:
    for path in segment_paths(long.data.intake)[:8]:
        path.unlink()
    done = backtest("running")
    assert done.status == 0
    assert "windows start cold at 2026-03-01T00:0" in done.err


def test_one_source_alone(archive: Archive, backtest: Call) -> None:
    archive.start(DELETED)
    archive.add(event(1))
    archive.add(event(2, user="bob"), source="other")
    done = backtest("running", "--source", "other", "--format", "json")
    assert [line["entity"] for line in done.lines] == [["bob"]]


def test_segments_that_are_retired_meanwhile_are_said(
    long: Archive, backtest: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "RANGE_RECORDS", 1)

    def retire(test: Backtest, *arguments: Any) -> None:
        for path in segment_paths(long.data.intake)[6:9]:
            path.unlink()
        whole(test, *arguments)

    whole = Backtest.run
    monkeypatch.setattr(Backtest, "run", retire)
    done = backtest("running")
    assert done.status == 1
    assert "3 records missing: retired from the log meanwhile, or before" in done.err


def test_too_many_alerts_end_it_early(long: Archive, backtest: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "RANGE_RECORDS", 1)
    monkeypatch.setattr(run_module, "ALERTS_MAX", 2)
    done = backtest("running")
    assert done.status == 1
    assert "ended early: a rule set made too many alerts" in done.err


# --- processes --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_finds_the_same(
    long: Archive, backtest: Call, rule_at: RuleAt, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr(archive_module, "RANGE_RECORDS", 3)
    arguments = ("--diff", "running", rule_at("new.yml", NOT_BY_BOB), "--format", "json")
    alone = backtest(*arguments, "--processes", 1)
    assert backtest(*arguments, "--processes", processes) == alone
    assert len(alone.lines) > 2
    assert not multiprocessing.active_children()


def test_a_damaged_segment_is_named(long: Archive, backtest: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "RANGE_RECORDS", 3)
    damaged = segment_paths(long.data.intake)[5]

    def damage(test: Backtest, *arguments: Any) -> None:
        damaged.write_bytes(b"nonsense" * 1000)
        whole(test, *arguments)

    whole = Backtest.run
    monkeypatch.setattr(Backtest, "run", damage)
    for processes in (1, 2):
        done = backtest("running", "--processes", processes)
        assert done.status == 3
        assert damaged.name in done.err
    assert not multiprocessing.active_children()


def test_no_database_is_changed(long: Archive, backtest: Call) -> None:
    """SQLite's readers leave an empty log and an index beside a database; those belong to nobody."""
    long.control(OP_STOP)
    long.log.close()
    before = {path: path.read_bytes() for path in long.folder.rglob("*") if path.is_file()}
    assert backtest("running").status == 0
    after = {path: path.read_bytes() for path in long.folder.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.suffix for path in after.keys() - before} <= {".db-shm", ".db-wal"}
    assert not any(content for path, content in after.items() if path.suffix == ".db-wal")


INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in its background without
runpy.run_module("vedette", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_leaves_nothing_behind_and_says_how_far_it_came(long: Archive, backtest: Call) -> None:
    command = [sys.executable, "-c", INTERRUPTIBLE, "rules", "backtest", "running", "--processes", "2"]
    items = [event(number, verb="list") for number in range(2000)]
    for _ in range(200):  # a second of work and more: the signal comes before its end
        long.add(*items)
    with subprocess.Popen(
        [*command, "--data-dir", long.folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    ) as process:
        while len(children := workers_of(process.pid)) < 2:
            assert process.poll() is None
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, b"")
    said = err.decode().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("interrupted when ")
    assert "of 400024 records were looked at" in said[0]
    assert said[0].endswith("; nothing was written")
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def workers_of(pid: int) -> list[int]:
    """Processes that it started to sift."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found.append(int(path.parent.name))
        except (OSError, ValueError):
            continue
    return found
