"""`vedette scan`: the contract of its output, order, bad records, unreadable files, and what it refuses."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.sources.lines.documents import READ_BYTES

from .conftest import Outcome, audit_event, lines

Call = Callable[..., Outcome]


@pytest.fixture
def scan(vedette: Call, rule_file: Path) -> Call:
    """Scan with the test's rule alone."""

    def call(*arguments: object) -> Outcome:
        return vedette("scan", "--no-default-rules", "--rules", rule_file, *arguments)

    return call


def write(folder: Path, name: str, content: bytes) -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def test_a_finding_as_json_is_as_documented(scan: Call, tmp_path: Path) -> None:
    file = write(tmp_path, "audit.log", lines(audit_event(1, verb="get"), audit_event(2)))
    done = scan("--format", "json", file)
    (finding,) = done.lines
    assert done.status == 0
    assert finding.pop("event_uids")[0]
    assert finding == {
        "rule_id": "6d0e8f1a-0000-4000-8000-000000000001",
        "rule": "Secret deleted",
        "level": "high",
        "time": "2026-03-01T00:00:02.123456Z",
        "source": "kube_audit",
        "event_ids": ["audit-2"],
        "records": [{"file": str(file), "record": 2}],
        "explanation": [
            {
                "where": "selection.verb",
                "field": "verb",
                "test": 'equals "delete"',
                "path": "verb",
                "value": "delete",
                "negated": False,
            },
            {
                "where": "selection.objectRef.resource",
                "field": "objectRef.resource",
                "test": 'equals "secrets"',
                "path": "objectRef.resource",
                "value": "secrets",
                "negated": False,
            },
            {
                "where": "filter.user.username",
                "field": "user.username",
                "test": 'not: starts with "system:"',
                "path": "user.username",
                "value": "mallory",
                "negated": True,
            },
        ],
    }


def test_the_same_file_gives_the_same_bytes(scan: Call, tmp_path: Path) -> None:
    file = write(tmp_path, "audit.log", lines(*map(audit_event, range(5))))
    for arguments in (["--format", "json"], ["--format", "json", "--alerts"], []):
        assert scan(*arguments, file).out == scan(*arguments, file).out


def test_alerts_are_rolled_up_documents(scan: Call, tmp_path: Path) -> None:
    events = [audit_event(number, user="eve" if number == 3 else "mallory") for number in range(5)]
    done = scan("--alerts", "--format", "json", write(tmp_path, "audit.log", lines(*events)))
    assert [(alert["class_uid"], alert["count"]) for alert in done.lines] == [(2004, 4), (2004, 1)]
    assert "2 alerts (2 high) in 5 records" in done.err


def test_several_files_are_merged_by_event_time(scan: Call, tmp_path: Path) -> None:
    odd = write(tmp_path, "odd.log", lines(*(audit_event(number) for number in (1, 3, 5))))
    even = write(tmp_path, "even.log", lines(*(audit_event(number) for number in (2, 4, 6))))
    done = scan("--format", "json", even, odd)
    assert [finding["event_ids"] for finding in done.lines] == [[f"audit-{number}"] for number in range(1, 7)]
    assert [finding["records"][0]["record"] for finding in done.lines] == [1, 1, 2, 2, 3, 3]


def test_one_file_keeps_its_order(scan: Call, tmp_path: Path) -> None:
    file = write(tmp_path, "audit.log", lines(audit_event(2), audit_event(1)))
    assert [finding["event_ids"] for finding in scan("--format", "json", file).lines] == [["audit-2"], ["audit-1"]]


def test_an_event_of_the_future_keeps_its_time(scan: Call, tmp_path: Path) -> None:
    file = write(tmp_path, "audit.log", lines(audit_event(1).replace(b"2026-03", b"2096-03")))
    assert scan("--format", "json", file).lines[0]["time"] == "2096-03-01T00:00:01.123456Z"


def test_an_event_without_a_time_has_that_of_the_one_before(scan: Call, tmp_path: Path) -> None:
    timeless = audit_event(2).replace(b"stageTimestamp", b"xtageTimestamp")
    done = scan("--format", "json", write(tmp_path, "audit.log", lines(audit_event(1), timeless)))
    assert [finding["time"] for finding in done.lines] == ["2026-03-01T00:00:01.123456Z"] * 2


@pytest.mark.parametrize("packed", [False, True])
def test_bad_records_are_reported_and_do_not_stop_the_scan(scan: Call, tmp_path: Path, *, packed: bool) -> None:
    content = lines(audit_event(1), b'{"broken', b"\x1b[31m", audit_event(2))
    file = write(tmp_path, "audit.log", gzip.compress(content) if packed else content)
    done = scan("--format", "json", file)
    assert (done.status, len(done.lines)) == (0, 2)
    reports = done.err.splitlines()
    assert reports[0].startswith(f"{file}:2: ")
    assert reports[1].startswith(f"{file}:3: ")
    assert reports[-1] == "2 records could not be used (see above)"
    assert "\x1b" not in done.err


def test_an_event_list_is_a_list_of_records(scan: Call, tmp_path: Path) -> None:
    items = b",".join([audit_event(1), audit_event(2)])
    document = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[' + items + b"]}"
    done = scan("--format", "json", write(tmp_path, "list.json", document))
    assert [finding["records"][0]["record"] for finding in done.lines] == [1, 2]


def test_a_long_file_is_read_to_its_end(scan: Call, tmp_path: Path) -> None:
    count = 2 * READ_BYTES // len(audit_event(1))
    done = scan("--format", "json", write(tmp_path, "audit.log", lines(*[audit_event(1, verb="get")] * count)))
    assert done.err == f"0 findings in {count} records\n"


def test_an_unreadable_file_does_not_stop_the_others(scan: Call, tmp_path: Path) -> None:
    good = write(tmp_path, "good.log", lines(audit_event(1)))
    odd = write(tmp_path, "odd.log", b"hello\n")
    cut = write(tmp_path, "cut.log.gz", gzip.compress(lines(*map(audit_event, range(30))))[:-20])
    done = scan("--format", "json", tmp_path / "absent.log", tmp_path, odd, cut, good)
    assert done.status == 1
    assert f"cannot read {tmp_path / 'absent.log'}: No such file or directory" in done.err
    assert f"{odd}: its beginning does not tell the format; name it with --source (falco, hubble, kube" in done.err
    assert f"{cut}: this archive ends in the middle; what could be read of it was scanned" in done.err
    assert "4 files could not be read, or not to the end (see above)" in done.err
    assert str(good) in done.out


def test_an_empty_file_holds_nothing(scan: Call, tmp_path: Path) -> None:
    done = scan(write(tmp_path, "empty.log", b""), write(tmp_path, "blank.log", b"\n\n"))
    assert (done.status, done.out, done.err) == (0, "", "0 findings in 0 records\n")


def test_a_named_format_is_not_guessed(scan: Call, tmp_path: Path) -> None:
    done = scan("--source", "falco", write(tmp_path, "audit.log", lines(audit_event(1))))
    assert (done.status, done.out) == (0, "")
    assert "1 record could not be used" in done.err


def test_people_see_what_matched_and_no_control_characters(scan: Call, tmp_path: Path) -> None:
    file = write(tmp_path, "audit.log", lines(audit_event(1, user="\x1b]0;owned\x07[red]\u202e")))
    done = scan(file)
    assert "\x1b" not in done.out
    assert r"[red]\u202e" in done.out
    assert f"HIGH           Secret deleted  ({file}:1)" in done.out
    assert done.err == "1 finding (1 high) in 1 record\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rules", "absent.yml", "F"], "absent.yml: no such rule file or folder"),
        (["--source", "kube_audti", "F"], "unknown format `kube_audti`; did you mean `kube_audit`?"),
        (["--sorce", "falco", "F"], "unknown option `--sorce`; did you mean `--source`?"),
        (["--format", "xml", "F"], 'Invalid value "xml" for --format'),
        ([], "FILE requires an argument"),
    ],
)
def test_a_wrong_call_scans_nothing(scan: Call, tmp_path: Path, arguments: list[str], message: str) -> None:
    file = write(tmp_path, "audit.log", lines(audit_event(1)))
    done = scan(*[str(file) if word == "F" else word for word in arguments])
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_all_bad_rules_are_named_before_anything_is_scanned(vedette: Call, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    write(rules, "a.yml", b"title: x\n")
    write(rules, "b.yml", b"title: [")
    done = vedette("scan", "--rules", rules, write(tmp_path, "audit.log", lines(audit_event(1))))
    assert (done.status, done.out) == (2, "")
    assert "a.yml" in done.err
    assert "b.yml" in done.err


def test_the_shipped_rules_are_the_default(vedette: Call, tmp_path: Path) -> None:
    file = write(tmp_path, "audit.log", lines(audit_event(1).replace(b'"delete"', b'"list"')))
    assert vedette("scan", file).status == 0


def test_standard_input_is_a_file(rule_file: Path) -> None:
    command = [sys.executable, "-m", "vedette.app", "scan", "--no-default-rules", "--rules", str(rule_file)]
    done = subprocess.run(
        [*command, "--format", "json", "-"], input=lines(audit_event(1)), capture_output=True, check=True
    )
    assert json.loads(done.stdout)["records"] == [{"file": "-", "record": 1}]


def test_a_reader_that_goes_away_ends_the_scan_quietly(rule_file: Path, tmp_path: Path) -> None:
    file = write(tmp_path, "audit.log", lines(*[audit_event(1)] * 2000))
    command = [sys.executable, "-m", "vedette.app", "scan", "--rules", str(rule_file), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
