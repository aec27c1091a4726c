"""The sample day: its data decode and move lawfully, its client is patient within bounds, its docs say what is so."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import importlib.util
import itertools
import json
import re
from collections.abc import AsyncGenerator, Callable
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from vedette.app.config_file import load_config
from vedette.app.sample_day import run
from vedette.app.sample_day.client import ATTEMPTS_MAX, PAUSE_S_MAX, Client
from vedette.app.sample_day.day import CLUSTER, Record, SampleDay, read_day, slices
from vedette.app.sample_day.player import Player
from vedette.runtime.backoff import Backoff
from vedette.schema.errors import ConfigError, PermanentError, TransientError, VedetteError
from vedette.schema.event import Nature
from vedette.schema.limits import SECOND_NS

from .conftest import Outcome

ROOT = Path(__file__).parents[3]
RECORDING = ROOT.parent / "shared/kube-audit/A"
DOCS = (ROOT / "docs/sample-day.md").read_text("utf-8")
DATA = files("vedette.app.sample_day") / "data"
BYTES_MAX = 300_000
LATER_S = st.integers(1_700_000_000, 2_000_000_000)
DAY = read_day()
FLOW_CONTEXT = DAY.flow_header.decode()

Call = Callable[..., Outcome]


def decoded(record: Record) -> dict[str, Any]:
    context = FLOW_CONTEXT if record.format == "vpc_flow" else ""
    return DECODERS[record.format].decode_all(record.payload, context)


def content_ids(day: SampleDay) -> list[str]:
    return [DECODERS[record.format].uid(record.payload, decoded(record)) for record in day.records]


def audit_ids(day: SampleDay) -> list[str]:
    return [decoded(record)["auditID"] for record in day.records if record.format == "kube_audit"]


# --- data -------------------------------------------------------------------------------------------------------------
def test_the_manifest_counts_what_is_there_and_all_is_small() -> None:
    manifest = json.loads((DATA / "manifest.json").read_text("utf-8"))
    assert manifest["records"] == DAY.counts
    assert sum(len(file.read_bytes()) for file in DATA.iterdir() if file.is_file()) < BYTES_MAX


@pytest.mark.parametrize("name", sorted(DAY.counts))
def test_every_record_is_an_event_of_its_format(name: str) -> None:
    decoder = DECODERS[name]
    for record in DAY.records:
        if record.format == name:
            document = decoded(record)
            assert decoder.nature(document) is Nature.EVENT
            assert decoder.time_ns(document) == record.time_ns


def test_no_port_would_take_two_records_for_one() -> None:
    assert len(set(content_ids(DAY))) == len(DAY.records)


@pytest.mark.skipif(not RECORDING.exists(), reason="no ../shared beside the repository, so no recording to build from")
def test_the_recording_and_the_story_make_these_files() -> None:
    built: dict[str, str] = tool().build(RECORDING)
    shipped = {
        file.name.removesuffix(".gz"): (
            gzip.decompress(file.read_bytes()) if file.name.endswith(".gz") else file.read_bytes()
        ).decode()
        for file in DATA.iterdir()
    }
    assert built == shipped


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_day_tool", ROOT / "tools/sample_day.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- time -------------------------------------------------------------------------------------------------------------
@given(LATER_S)
def test_moving_keeps_order_and_distances_and_ends_when_told(end_s: int) -> None:
    moved = DAY.ending_at(end_s)
    by_ns = moved.records[-1].time_ns - DAY.records[-1].time_ns
    assert moved.records[-1].time_ns // SECOND_NS == end_s
    assert by_ns % SECOND_NS == 0
    assert [record.time_ns - by_ns for record in moved.records] == [record.time_ns for record in DAY.records]


@pytest.mark.parametrize("end_s", [1_700_000_000, 1_772_323_199, 1_999_999_999])
def test_what_decoders_read_moves_and_nothing_else(end_s: int) -> None:
    moved = DAY.ending_at(end_s)
    by_s = end_s - DAY.records[-1].time_ns // SECOND_NS
    for before, after in zip(DAY.records, moved.records, strict=True):
        was, now = decoded(before), decoded(after)
        assert DECODERS[after.format].time_ns(now) == after.time_ns
        changed = {key for key in was if was[key] != now[key]}
        assert was.keys() == now.keys()
        match after.format:
            case "kube_audit":
                assert changed == {"auditID", "requestReceivedTimestamp", "stageTimestamp"}
            case "falco":
                assert changed == {"evt.time", "output", "output_fields", "time"}
                assert now["evt.time"] == after.time_ns
                assert now["output"].startswith(f"{now['time'][11:29]}: {now['priority']} ")
            case _:
                assert changed == {"start", "end"}
                assert now["start"] - was["start"] == by_s


def test_each_play_has_audit_ids_of_its_own_which_stages_of_a_request_share() -> None:
    first, again, second = (DAY.ending_at(end_s) for end_s in (1_800_000_000, 1_800_000_000, 1_800_000_011))
    assert first == again
    assert set(content_ids(first)).isdisjoint(content_ids(second))
    pairs = set(zip(audit_ids(DAY), audit_ids(first), strict=True))
    assert len(pairs) == len(set(audit_ids(DAY))) == len(set(audit_ids(first)))
    assert set(audit_ids(first)).isdisjoint([*audit_ids(second), *audit_ids(DAY)])


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50), st.integers(1, 60))
def test_slices_keep_all_records_in_order_and_are_equally_long(times: list[int], count: int) -> None:
    records = [Record(time_ns, "falco", b"") for time_ns in sorted(times)]
    parts = list(slices(records, count))
    assert len(parts) == count
    assert list(itertools.chain.from_iterable(parts)) == records
    length = (records[-1].time_ns - records[0].time_ns + 1) / count
    for number, part in enumerate(parts):
        assert all(number <= (record.time_ns - records[0].time_ns) / length < number + 1.000001 for record in part)


# --- client -----------------------------------------------------------------------------------------------------------
class Pauses(Backoff):
    """Never pauses, and notes what was advised."""

    def __init__(self) -> None:
        super().__init__()
        self.advised: list[float] = []

    def next_s(self, at_least_s: float = 0.0) -> float:
        self.advised.append(at_least_s)
        return 0.0


class Port:
    """An HTTP port that gives the answers it was told, the last one again and again; "" breaks the connection."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []
        self.url = ""
        self.serving: list[asyncio.Task[Any]] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[Port]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            yield self
        finally:
            server.close()
            await asyncio.gather(*self.serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.append(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"Content-Length: (\d+)", head)
                self.bodies.append(await reader.readexactly(int(length[1]) if length else 0))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    break
                writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 9\r\n\r\n\x1b[2Jbody\n".encode())
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("answers", "advised"),
    [
        (["200 OK"], []),
        (["429 Too Many Requests\r\nRetry-After: 7", "200 OK"], [7.0]),
        (["503 Service Unavailable\r\nRetry-After: 999999", "", "204 No Content"], [PAUSE_S_MAX, 0.0]),
        (["503 Service Unavailable\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT", "200 OK"], [0.0]),
        (["503 Service Unavailable\r\nRetry-After: \u00b2", "200 OK"], [0.0]),
    ],
    ids=["taken", "asked to wait", "wait is bounded, a broken connection is tried again", "a date", "no digit"],
)
async def test_what_is_not_taken_is_sent_again(answers: list[str], advised: list[float]) -> None:
    pauses = Pauses()
    async with Port(*answers).open() as port:
        client = Client(port.url, "text/plain", pauses)
        await client.post(b"records")
        client.close()
    assert pauses.advised == advised
    assert port.bodies == [b"records"] * (len(advised) + 1)


@pytest.mark.parametrize(
    ("answer", "error", "tries"),
    [
        ("503 Service Unavailable", TransientError, ATTEMPTS_MAX),
        ("", TransientError, ATTEMPTS_MAX),
        ("404 Not Found", PermanentError, 1),
        ("302 Found\r\nLocation: http://192.0.2.1/", PermanentError, 1),
    ],
)
async def test_what_is_never_taken_is_an_error_that_names_the_port(
    answer: str, error: type[VedetteError], tries: int
) -> None:
    async with Port(answer).open() as port:
        client = Client(port.url, "text/plain", Pauses())
        with pytest.raises(error, match=re.escape(port.url)):
            await client.post(b"records")
        client.close()
    assert len(port.bodies) == tries


def test_an_agent_without_the_ports_of_the_defaults_is_refused() -> None:
    with pytest.raises(ConfigError, match="/k8s-audit"):
        Player(["http://127.0.0.1:2801/", "http://127.0.0.1:2801/intake/<format>"])


# --- command ----------------------------------------------------------------------------------------------------------
async def test_a_day_that_can_not_be_played_is_told_and_the_agent_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = asyncio.Event()
    ran: list[str] = []

    def say(text: str) -> None:
        ran.append(text)
        if "could not" in text:
            said.set()

    monkeypatch.setattr(run, "say", say)

    async def agent(config: object, *, on_ready: Callable[[list[str]], None]) -> None:
        on_ready([port.url, f"{port.url}intake/<format>", f"{port.url}k8s-audit"])
        await said.wait()
        ran.append("agent ended by itself")

    monkeypatch.setattr(run, "run_agent", agent)
    async with Port("404 Not Found").open() as port:
        await run.run_sample_day(run.sample_config(tmp_path, free_ports=False), lambda _: None)
    assert "404" in ran[1]
    assert ran[2:] == ["agent ended by itself"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sample-day", "--config", "own.yaml"], "--sample-day uses the defaults, not the configuration own.yaml"),
        (["--free-ports"], "--free-ports goes with --sample-day"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(vedette: Call, words: list[str], message: str) -> None:
    done = vedette("run", *words)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize("free_ports", [False, True])
def test_the_configuration_is_the_defaults_with_a_label(tmp_path: Path, free_ports: bool) -> None:
    config = run.sample_config(tmp_path, free_ports=free_ports)
    ports = [entry.settings.address for entry in config.sources.values()]
    assert (config.cluster, config.data_dir) == (CLUSTER, tmp_path)
    assert ports == [("127.0.0.1", port) for port in ((0, 0) if free_ports else (2801, 9765))]
    assert {name: entry.settings.routes for name, entry in config.sources.items()} == {
        name: entry.settings.routes for name, entry in load_config(None).sources.items()
    }


# --- docs -------------------------------------------------------------------------------------------------------------
def test_the_docs_count_the_records() -> None:
    counts = DAY.counts
    assert (
        f"The day is {len(DAY.records)} records: {counts['kube_audit']} audit events, {counts['falco']} Falco alerts,"
        f" {counts['vpc_flow']} VPC flow records." in DOCS
    )


def test_the_docs_name_the_alert_to_begin_with() -> None:
    assert re.search(rf"^\| {run.TELLING_RULE} \|.*Begin here", DOCS, re.MULTILINE)
