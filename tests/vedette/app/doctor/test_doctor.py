"""`vedette doctor`: what is wrong with each of these set-ups, and what it advises."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gzip
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from collector.sources import SOURCES
from sinks import SinkContext
from sinks.store import StoreSettings
from vedette.app.doctor import examine, folder, journal, parts
from vedette.app.doctor.journal import check_journal
from vedette.app.ledger import Ledger
from vedette.app.metrics.reading import Reading
from vedette.journal.sqlite import DataFolder, SqliteCoreLog, SqliteIntakeLog
from vedette.runtime.check import Check
from vedette.runtime.parcel import Receipt

from ..conftest import Outcome, audit_event  # noqa: TID252 - what all tests of the application share
from ..metrics.conftest import READING  # noqa: TID252

Call = Callable[..., Outcome]
Setup = Callable[[Path], dict[str, Any]]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e"


def write_config(tmp_path: Path, **settings: Any) -> Path:
    """A configuration with which all is well, but for these settings."""
    file = tmp_path / "vedette.yaml"
    defaults = {
        "data_dir": str(tmp_path / "data"),
        "sources": {"falco": {"http": {"listen": "127.0.0.1:0"}}},
        "metrics": {"listen": ""},
        "rules": {"packs": []},
        "sinks": {"out": {"stdout": {}}},
        "journal": {"keep_bytes": 1_048_576},
    }
    file.write_text(yaml.safe_dump(defaults | settings))
    return file


def problems(told: Outcome) -> list[tuple[str, str, str, str]]:
    return [(line["component"], line["what"], line["problem"], line["remedy"]) for line in told.lines if not line["ok"]]


@pytest.fixture(autouse=True)
def no_handler_stays() -> Iterator[None]:
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = before


@pytest.fixture(autouse=True)
def standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest's has no descriptor."""

    async def probe(_: object) -> list[Check]:
        return [Check("standard output")]

    monkeypatch.setattr("sinks.stdout.StdoutSink.probe", probe)


# --- all is well ------------------------------------------------------------------------------------------------------
def test_with_nothing_wrong_it_changes_nothing(vedette: Call, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    told = vedette("doctor", "--config", config)
    assert (told.status, told.err) == (0, "")
    assert told.out.endswith("checks, 0 problems\n")
    assert f"  ok       make {tmp_path / 'data'}\n" in told.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vedette.yaml"]


def test_json_is_one_object_a_check(vedette: Call, tmp_path: Path) -> None:
    told = vedette("doctor", "--config", write_config(tmp_path), "--format", "json")
    assert {tuple(line) for line in told.lines} == {("component", "ok", "what", "problem", "remedy")}
    components = ["configuration", "data_dir", "agent", "system", "rules", "metrics", "sources.falco", "sinks.out"]
    assert list(dict.fromkeys(line["component"] for line in told.lines)) == [*components, "journal"]


def test_a_configuration_that_cannot_be_used_is_another_matter(vedette: Call, tmp_path: Path) -> None:
    told = vedette("doctor", "--config", write_config(tmp_path, sinks={}))
    assert (told.status, told.out) == (2, "")
    assert "sinks" in told.err


def test_every_kind_of_source_has_its_probe() -> None:
    assert parts.SOURCE_PROBES.keys() == SOURCES.keys()


# --- a table of what goes wrong ---------------------------------------------------------------------------------------
def http(**settings: Any) -> dict[str, Any]:
    return {"sources": {"falco": {"http": {"listen": "127.0.0.1:0", **settings}}}}


def files(**settings: Any) -> dict[str, Any]:
    return {"sources": {"logs": {"files": {"format": "falco", **settings}}}}


def no_folder(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "file").write_text("")
    return {"data_dir": str(tmp_path / "file")}


def below_a_file(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "file").write_text("")
    return {"data_dir": str(tmp_path / "file" / "data")}


def newer_format(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "VERSION").write_text('{"format": 999}')
    return {}


def lost_version(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "core.db").write_text("")
    return {}


def broken_rule(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "broken.yml").write_text("title: Broken\nlogsource: {product: falco}\ndetection: {condition: x}\n")
    return {"rules": {"packs": [], "paths": [str(tmp_path / "broken.yml")]}}


def no_rule(tmp_path: Path) -> dict[str, Any]:
    return {"rules": {"packs": ["nothing"]}}


def empty_token(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "token").write_text("\n")
    return http(bearer_token_file=str(tmp_path / "token"))


def certificate(tmp_path: Path, **settings: Any) -> dict[str, str]:
    issued = trustme.CA().issue_cert("falco.example", **settings)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    return {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}


def expired(tmp_path: Path) -> dict[str, Any]:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=3)
    return http(tls=certificate(tmp_path, not_before=past, not_after=past + dt.timedelta(days=1)))


def expiring(tmp_path: Path) -> dict[str, Any]:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=9, hours=1)
    return http(tls=certificate(tmp_path, not_after=soon))


def from_tomorrow(tmp_path: Path) -> dict[str, Any]:
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return http(tls=certificate(tmp_path, not_before=tomorrow, not_after=tomorrow + dt.timedelta(days=90)))


def mismatched(tmp_path: Path) -> dict[str, Any]:
    tls = certificate(tmp_path)
    trustme.CA().issue_cert("other.example").private_key_pem.write_to_path(tls["key_file"])
    return http(tls=tls)


def of_another_format(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "audit.log").write_bytes(audit_event(1) + b"\n")
    return files(paths=[str(tmp_path / "*.log")])


def broken_archive(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"{}\n" * 9999)[:20] + b"garbage" * 999)
    return files(paths=[str(tmp_path / "a.gz")])


TABLE: list[tuple[str, Setup, str, str, str]] = [
    ("no folder", no_folder, "data_dir", "it is no folder", "name another `data_dir`"),
    ("below a file", below_a_file, "data_dir", "may not write", "make it, let Vedette's user write it"),
    ("newer format", newer_format, "data_dir", "was written by a newer Vedette", "install that version"),
    ("lost VERSION", lost_version, "data_dir", "is not a Vedette data folder", "name the right one"),
    ("broken rule", broken_rule, "rules", "broken.yml", "mend the rule"),
    ("unknown pack", no_rule, "rules", "no shipped pack `nothing`", "mend what the message names"),
    ("unknown format", lambda _: http(routes={"/": "nonsense"}), "configuration", "nonsense", ""),
    ("not our address", lambda _: http(listen="192.0.2.1:1"), "sources.falco", "no such address", "of this machine"),
    (
        "no token file",
        lambda _: http(bearer_token_file="/nowhere"),
        "sources.falco",
        "can't be read",
        "bearer_token_file",
    ),
    ("empty token", empty_token, "sources.falco", "no usable token", "visible ASCII"),
    ("expired", expired, "sources.falco", "it has expired", "renew the certificate"),
    ("expires soon", expiring, "sources.falco", "it expires in 9 days", "renew the certificate"),
    ("not yet valid", from_tomorrow, "sources.falco", "it is not valid yet", "the clock of this machine"),
    ("another key", mismatched, "sources.falco", "do not work together", "name a PEM certificate chain"),
    ("no file", lambda path: files(paths=[f"{path}/*.none"]), "sources.logs", "no file is there", "mend the path"),
    ("another format", of_another_format, "sources.logs", "looks like kube_audit", "mend `format`"),
    ("broken archive", broken_archive, "sources.logs", "can't be unpacked", "replace the file"),
    (
        "metrics token",
        lambda _: {"metrics": {"listen": "127.0.0.1:0", "bearer_token_file": "/nowhere"}},
        "metrics",
        "can't be read",
        "metrics.bearer_token_file",
    ),
    (
        "metrics certificate",
        lambda _: {"metrics": {"listen": "127.0.0.1:0", "tls": {"cert_file": "/nowhere", "key_file": "/nowhere"}}},
        "metrics",
        "can't be used",
        "name a readable PEM",
    ),
]


@pytest.mark.parametrize(
    ("setup", "component", "problem", "remedy"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_each_broken_set_up_has_its_problem_and_remedy(
    vedette: Call, tmp_path: Path, setup: Setup, component: str, problem: str, remedy: str
) -> None:
    told = vedette("doctor", "--config", write_config(tmp_path, **setup(tmp_path)), "--format", "json")
    assert told.status == 1
    found = problems(told)
    assert any(component == row[0] and problem in row[2] and remedy in row[3] for row in found), found
    assert {row[0] for row in found} <= {component, "configuration", "sources.falco"}, "nothing else is wrong"


def test_a_good_certificate_is_dated(vedette: Call, tmp_path: Path) -> None:
    told = vedette("doctor", "--config", write_config(tmp_path, **http(tls=certificate(tmp_path))))
    assert told.status == 0
    assert " is valid: " in told.out


def test_a_port_that_is_taken(vedette: Call, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        config = write_config(tmp_path, **http(listen=listen), metrics={"listen": listen})
        told = vedette("doctor", "--config", config, "--format", "json")
    taken = (f"listen on {listen}", "another program listens there", "stop the other program, or choose another port")
    assert problems(told) == [("metrics", *taken), ("sources.falco", *taken)]


def test_too_little_room_and_too_few_files(vedette: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "free_bytes", lambda _: 5 * 1024 * 1024)
    monkeypatch.setattr(parts, "allow_open_files", lambda _: 1024)
    told = vedette("doctor", "--config", write_config(tmp_path))
    assert "PROBLEM  room on the disk: 5 MiB free: the journal may still grow by 17 MiB\n" in told.out
    assert "files and connections at a time: the system allows 1024\n" in told.out
    assert "2 problems" in told.out


def test_a_read_only_file_system(vedette: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_is_read_only", lambda _: True)
    (row,) = problems(vedette("doctor", "--config", write_config(tmp_path), "--format", "json"))
    assert row[2:] == ("its file system is mounted read-only", "mount it writable, and look why it is not")


def test_an_agent_that_does_not_answer(vedette: Call, tmp_path: Path) -> None:
    held = DataFolder(tmp_path / "data")
    held.create()
    held.lock()
    with contextlib.closing(SqliteCoreLog(held.core)), contextlib.closing(SqliteIntakeLog(held.intake)):
        told = vedette("doctor", "--config", write_config(tmp_path), "--format", "json")
    held.unlock()
    assert [row[0] for row in problems(told)] == ["agent"]
    assert "no Vedette answers" in problems(told)[0][2]


# --- sinks that break the doctor's own rules --------------------------------------------------------------------------
class BadSink:
    """Does in `probe` whatever its configured name says."""

    def __init__(self, name: str, _: StoreSettings, __: SinkContext) -> None:
        self.name = name

    async def probe(self) -> Sequence[Check]:
        if self.name == "raises":
            raise ValueError(HOSTILE)
        if self.name == "hangs":
            await asyncio.Event().wait()
        if self.name == "hostile":
            return [Check(f"log in {HOSTILE}", f"it says {HOSTILE}\nsecond line", f"do not {HOSTILE}")]
        return [Check("reach it")]

    async def stop(self) -> None:
        pass


def test_sinks_that_raise_hang_or_lie_hide_no_other(
    vedette: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SINKS", {"store": (StoreSettings, BadSink)})
    monkeypatch.setattr(parts, "build_sinks", lambda *_: {})
    monkeypatch.setattr(examine, "PROBE_S", 0.5)
    names = ("raises", "hangs", "hostile", "fine")
    config = write_config(tmp_path, sinks={name: {"store": {}} for name in names})
    told = vedette("doctor", "--config", config)
    assert told.status == 1
    assert "the check itself failed: ValueError: " in told.out
    assert "-> this is a bug in Vedette; please report it\n" in told.out
    assert "it took more than 0 s" in told.out
    assert "sinks.fine\n  ok       reach it\n" in told.out
    assert all(char.isprintable() or char == "\n" for char in told.out)
    assert "second line" in told.out


def test_a_part_that_blocks_is_left_behind(vedette: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()
    monkeypatch.setattr(examine, "PROBE_S", 0.2)
    monkeypatch.setattr(examine, "check_rules", lambda _: forever.wait())
    (row,) = problems(vedette("doctor", "--config", write_config(tmp_path), "--format", "json"))
    forever.set()
    assert (row[0], row[2]) == ("rules", "it took more than 0 s")


# --- the journal ------------------------------------------------------------------------------------------------------
@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, Check]]]:
    """Check a journal that reads like this."""
    found = DataFolder(tmp_path / "data")
    found.create()
    found.core.touch()

    def check(reading: Reading, *, balanced: bool = True, running: bool = True) -> list[tuple[str, Check]]:
        monkeypatch.setattr(journal, "read_journal", lambda _: reading)
        monkeypatch.setattr(journal, "read_ledger", lambda _: Ledger([], []))
        monkeypatch.setattr(Ledger, "balanced", balanced)
        return [(component, row) for component, row in check_journal(found, running=running) if not row.ok]

    return check


Read = Callable[..., list[tuple[str, Check]]]


def late(seconds: int) -> Reading:
    since_ns = READING.now_ns - seconds * 1_000_000_000
    deliveries = {name: row._replace(dead_lettered=0) for name, row in READING.deliveries.items()}
    deliveries["search"] = deliveries["search"]._replace(waiting_since_ns=since_ns)
    return READING._replace(waiting_since_ns=since_ns, deliveries=deliveries)


@pytest.mark.parametrize(
    ("reading", "arguments", "expected"),
    [
        pytest.param(late(30), {}, [], id="all well"),
        pytest.param(late(30), {"balanced": False}, [("journal", "does not balance")], id="not balanced"),
        pytest.param(late(900), {"running": False}, [], id="no agent: waiting is no problem"),
        pytest.param(
            late(900),
            {},
            [("journal", "waiting for 900 s"), ("sinks.search", "waiting for 900 s")],
            id="late",
        ),
        pytest.param(READING, {}, [("sinks.search", "1 in the dead letters")], id="dead deliveries"),
    ],
)
def test_what_the_journal_says(
    read: Read, reading: Reading, arguments: dict[str, bool], expected: list[tuple[str, str]]
) -> None:
    found = read(reading, **arguments)
    assert [component for component, _ in found] == [component for component, _ in expected]
    assert all(text in check.problem and check.remedy for (_, check), (_, text) in zip(found, expected, strict=True))


def test_a_file_that_was_read_before_is_told(vedette: Call, tmp_path: Path) -> None:
    log = tmp_path / "falco.log"
    log.write_text('{"rule":"r","priority":"Notice","output":"o"}\n')
    status = log.stat()
    held = DataFolder(tmp_path / "data")
    held.create()
    with contextlib.closing(SqliteIntakeLog(held.intake)) as intake, contextlib.closing(SqliteCoreLog(held.core)):
        intake.append([positioned(f"{status.st_dev}:{status.st_ino}")], now_ns=1)
    told = vedette("doctor", "--config", write_config(tmp_path, **files(paths=[str(tmp_path / "*.log")])))
    assert f"read {tmp_path}/*.log: 1 files, 1 of them read before" in told.out
    assert told.status == 0


def positioned(partition: str) -> Any:
    from vedette.runtime.parcel import Parcel, Position  # noqa: PLC0415
    from vedette.schema.record import Run  # noqa: PLC0415

    def settle(_: Receipt | Exception) -> None:
        pass

    return Parcel("logs", [Run("logs", "falco", 1)], [b"{}"], settle, 2, Position(partition, "{}"))


def test_json_reads_back_what_was_hostile(vedette: Call, tmp_path: Path) -> None:
    config = write_config(tmp_path, **files(paths=[f"{tmp_path}/{HOSTILE}*"]))
    told = vedette("doctor", "--config", config, "--format", "json")
    assert told.out.isascii()
    assert all(json.loads(line) for line in told.out.splitlines())
