"""Hostile input over real ports: bad records never cost good ones, each has a reason, and memory stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from collector.sources.http.settings import HttpSettings
from collector.sources.http.source import THREADS
from sinks.store import AlertFilter, AlertRow, StoreReader
from vedette.schema.limits import (
    BODY_BYTES_MAX,
    EVIDENCE_BYTES_MAX,
    FUTURE_NS_MAX,
    GROUP_BYTES_MAX,
    IN_FLIGHT_BYTES_MAX,
    ITEM_BYTES_MAX,
    KIB,
    MIB,
    SECOND_NS,
    TAIL_BYTES_MAX,
    TEXT_CHARS_MAX,
)

from .agent import Agent, Outcome, Reply, environment, post
from .attacks import ROWS, TEXTS, Attack, falco, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]

OPEN_ALERTS_MAX = 2_000
ALERT_BYTES_MAX = 64 * KIB
"""An open alert of one event: its sample as text (a character may take four bytes), facts and names beside it."""
MANY_NAMES = 10_000
CONNECTIONS = 8
STORM_ROUNDS = 2
RETURNED_BYTES = 60 * MIB
"""How near to what it was the memory is afterwards: caches, and alerts with larger samples, make up for some."""
PATHS = {"kube_audit": "/k8s-audit?timeout=30s", "falco": "/", "vpc_flow": "/intake/vpc_flow"}


async def send(agent: Agent, attack: Attack) -> Reply:
    port = agent.audit if source_of(attack) == "audit" else agent.falco
    return await post(port, attack.path or PATHS[attack.format], attack.body, attack.fields)


def source_of(attack: Attack) -> str:
    return "audit" if attack.format == "kube_audit" and not attack.path else "falco"


def sample(record: bytes) -> str:
    """A record as evidence has it."""
    return record[:EVIDENCE_BYTES_MAX].decode("utf-8", "replace")


class Found:
    """The alerts of the rules that alert on each event, by the raw record that they are about. Reads what is new."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.by_raw: dict[str, list[dict[str, Any]]] = {}
        self._known: set[str] = set()
        self._since_ns = 0

    def update(self) -> Found:
        if not self.agent.data.store.exists():  # it is made for the first alert, and none came yet
            return self
        with contextlib.closing(StoreReader(self.agent.data.store)) as store:
            for row in store.list(AlertFilter(since_ns=self._since_ns), limit=10**7):
                self._since_ns = max(self._since_ns, row.opened_ns)
                if row.alert_id not in self._known and row.title.startswith("Each "):
                    document = store.get(row.alert_id)
                    self.by_raw.setdefault(document["evidences"][0]["data"]["raw"], []).append(document)
                self._known.add(row.alert_id)
        return self

    def of(self, records: Sequence[bytes]) -> list[dict[str, Any]]:
        """The alert of each record; every record has exactly one."""
        found = [self.by_raw.get(sample(record), []) for record in records]
        assert {
            record[:200]: len(alerts) for record, alerts in zip(records, found, strict=True) if len(alerts) != 1
        } == {}
        return [alerts[0] for alerts in found]


class Site(NamedTuple):
    """The agent that all rows are sent to, and what its store is known to hold."""

    agent: Agent
    found: Found


def hardened(folder: Any) -> Agent:
    """An agent with all rules, the shipped ones too: what they make of strange records matters as well."""
    agent = Agent(folder, alerts={"open_alerts_max": OPEN_ALERTS_MAX})
    agent.settings["rules"]["packs"] = ["starter"]
    agent.configure()
    return agent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    agent = hardened(tmp_path_factory.mktemp("site"))
    asyncio.run(agent.start())
    yield Site(agent, Found(agent))
    assert agent.end() == 0
    agent.assert_balanced()


@pytest.mark.parametrize("row", ROWS)
async def test_each_bad_record_is_set_aside_and_no_good_one_is_lost(
    row: str, site: Site, vedette: Callable[..., Outcome]
) -> None:
    agent = site.agent
    attack = ROWS[row](row)
    before = newest_letter(agent, vedette)

    reply = await send(agent, attack)

    assert reply.status == attack.status, reply
    known = 0
    if reply.accepted:
        known = reply.document["duplicates"] - attack.duplicates
        assert reply.document["accepted"] == attack.records
    else:
        assert set(reply.document) == {"error", "remedy"}
    await agent.settled()
    letters = [letter for letter in dead_letters(agent, vedette) if number(letter) > before]
    reasons = Counter(letter["reason"] for letter in letters)
    assert reasons == Counter([*attack.reasons, *attack.common[known:]]), (letters, known)
    assert {(letter["source"], letter["format"]) for letter in letters} <= {(source_of(attack), attack.format)}
    site.found.update().of(attack.good)
    balanced(agent, vedette)


def number(letter: dict[str, Any]) -> int:
    return int(letter["id"].removeprefix("r"))


def dead_letters(agent: Agent, vedette: Callable[..., Outcome]) -> list[dict[str, Any]]:
    told = vedette("dead-letters", "list", "--format", "json", "--limit", 10**6, "--config", agent.config)
    assert told.status == 0
    return told.lines


def newest_letter(agent: Agent, vedette: Callable[..., Outcome]) -> int:
    return max(map(number, dead_letters(agent, vedette)), default=0)


def balanced(agent: Agent, vedette: Callable[..., Outcome]) -> dict[str, Any]:
    told = vedette("ledger", "--recompute", "--format", "json", "--config", agent.config)
    assert told.status == 0, told
    return told.lines[0]


# --- times ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("row", ["dates-audit", "dates-falco", "dates-flows"])
async def test_a_forged_date_moves_no_time_but_its_own(row: str, site: Site) -> None:
    forged = ROWS[row](f"forged-{row}")
    honest = ROWS["intake-kube_audit"](f"honest-{row}")

    await send(site.agent, forged)
    await send(site.agent, honest)

    await site.agent.settled()
    for alert in site.found.update().of(forged.good):
        arrival_ns = alert["evidences"][0]["data"]["arrival_ns"]
        assert 0 < alert["unmapped"]["first_seen_ns"] <= alert["unmapped"]["last_seen_ns"] <= arrival_ns + FUTURE_NS_MAX
        assert alert["unmapped"]["opened_ns"] == arrival_ns <= time.time_ns()
    own_ns = int(datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()) * SECOND_NS
    assert {alert["unmapped"]["last_seen_ns"] for alert in site.found.of(honest.good)} == {own_ns}


# --- text -------------------------------------------------------------------------------------------------------------
def harmless(shown: str) -> bool:
    """Whether a terminal just prints it: no control, format, private or unassigned character but line ends."""
    return all(line.isprintable() for line in shown.replace("\r\n", "\n").split("\n"))


def on_terminal(agent: Agent, *arguments: object) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(agent.command(*arguments), stdout=theirs, stderr=theirs, env=environment()) as process:
        os.close(theirs)
        parts: list[bytes] = []
        with contextlib.suppress(OSError):  # how Linux says that nobody has the terminal open any more
            while part := os.read(ours, 65_536):
                parts.append(part)
        assert process.wait() == 0, parts
    os.close(ours)
    return b"".join(parts).decode()


@pytest.mark.parametrize("text", TEXTS)
async def test_hostile_text_is_shown_harmlessly_and_kept_faithfully(
    text: str, site: Site, vedette: Callable[..., Outcome]
) -> None:
    agent, value = site.agent, TEXTS[text]
    attacks = [ROWS[f"{text}-in-{form}"](f"shown-{text}-{form}") for form in ("audit", "falco")]

    for attack in attacks:
        assert (await send(agent, attack)).accepted

    await agent.settled()
    by_audit, by_falco = (site.found.update().of(attack.good) for attack in attacks)
    for alert in (*by_audit, *by_falco):
        shown = vedette("alerts", "show", alert["unmapped"]["alert_id"], "--config", agent.config)
        assert shown.status == 0
        assert harmless(shown.out)
    told = vedette("alerts", "show", by_audit[0]["unmapped"]["alert_id"], "--format", "json", "--config", agent.config)
    assert told.out.isascii()
    assert told.lines == [by_audit[0]]
    assert by_audit[0]["unmapped"]["facts"]["actor"] == value[:TEXT_CHARS_MAX]
    assert by_audit[1]["unmapped"]["facts"]["namespace"] == value[:TEXT_CHARS_MAX]
    assert by_falco[1]["unmapped"]["facts"]["pod"] == value[:TEXT_CHARS_MAX]
    reported = [row for row in stored(agent) if row.title == value[:TEXT_CHARS_MAX]]
    assert reported, "Falco's rule keeps its name"


async def test_a_terminal_is_sent_no_escapes(site: Site) -> None:
    for row in ("ansi-in-falco", "c1-in-audit", "bidi-in-falco", "backspace-in-audit", "latin-1-in-falco-lines"):
        assert (await send(site.agent, ROWS[row](f"terminal-{row}"))).accepted
    await site.agent.settled()
    for command in (["alerts", "list", "--limit", 1000], ["dead-letters", "list"], ["ledger"], ["status"]):
        assert harmless(on_terminal(site.agent, *command))


def stored(agent: Agent) -> list[AlertRow]:
    with contextlib.closing(StoreReader(agent.data.store)) as store:
        return store.list(limit=10**7)


# --- many names -------------------------------------------------------------------------------------------------------
async def test_names_without_end_take_bounded_memory(site: Site, vedette: Callable[..., Outcome]) -> None:
    agent = site.agent
    await agent.settled()
    before = agent.memory_bytes()
    names = [f"rule {number} of {MANY_NAMES}" for number in range(MANY_NAMES)]
    bodies = [lines([falco("many", rule=name) for name in part]) for part in (names[:5_000], names[5_000:])]

    for body in bodies:
        assert (await post(agent.falco, "/", body)).accepted

    await agent.settled()
    status = vedette("status", "--format", "json", "--config", agent.config).lines[0]
    assert 0 < status["open_alerts"] <= OPEN_ALERTS_MAX
    titles = Counter(row.title for row in stored(agent))
    assert {titles[name] for name in names} == {1}, "every rule's alert was delivered all the same"
    assert agent.memory_bytes() - before < OPEN_ALERTS_MAX * ALERT_BYTES_MAX
    balanced(agent, vedette)


# --- all of it at once ------------------------------------------------------------------------------------------------
async def test_a_storm_of_everything_takes_bounded_memory(
    tmp_path: Path, vedette: Callable[..., Outcome], record_testsuite_property: Callable[[str, object], None]
) -> None:
    agent = hardened(tmp_path)
    # What glibc's arenas keep for later is no leak: here all that is freed goes back, and what is left is in use.
    agent.environment |= {"MALLOC_MMAP_THRESHOLD_": str(128 * KIB)}
    await agent.start()
    for row in ROWS:  # whatever is kept for good (compiled rules, caches, open alerts) is there after one round
        await insist(agent, ROWS[row](f"{row}-warm"))
    await agent.settled()
    quiet = agent.memory_bytes()
    peak, stop = [quiet], threading.Event()
    sampler = threading.Thread(target=sample_memory, args=(agent, peak, stop))
    sampler.start()

    queue = [(row, f"{row}-{number}") for number in range(STORM_ROUNDS) for row in ROWS]
    random.Random(7).shuffle(queue)
    sent: list[Attack] = []
    known = 0

    async def client() -> None:
        nonlocal known
        while queue:
            row, name = queue.pop()
            attack = ROWS[row](name)
            reply = await insist(agent, attack)
            assert reply.status == attack.status, (name, reply)
            known += reply.document["duplicates"] - attack.duplicates if reply.accepted else 0
            sent.append(attack._replace(body=b""))

    async with asyncio.TaskGroup() as clients:
        for _ in range(CONNECTIONS):
            clients.create_task(client())
    await agent.settled()
    stop.set()
    sampler.join()
    after = agent.memory_bytes()
    record_testsuite_property(
        "memory_mib", f"{quiet / MIB:.0f} quiet, {max(peak) / MIB:.0f} at most, {after / MIB:.0f} after"
    )

    assert max(peak) - quiet < memory_bytes_max()
    assert after - quiet < RETURNED_BYTES
    good = [record for attack in sent for record in attack.good]
    assert len(Found(agent).update().of(good)) == len(good)
    letters = Counter(letter["reason"] for letter in dead_letters(agent, vedette))
    reasons = Counter(reason for attack in sent for reason in (*attack.reasons, *attack.common))
    warm = Counter(reason for row in ROWS.values() for reason in (*row("").reasons, *row("").common))
    assert letters <= reasons + warm
    assert set(letters) == set(warm)
    balanced(agent, vedette)
    assert agent.end() == 0


async def insist(agent: Agent, attack: Attack) -> Reply:
    """Send until there is room, as clients do."""
    while (reply := await send(agent, attack)).status in (429, 503):
        assert "retry-after" in reply.fields
        await asyncio.sleep(0.05)
    return reply


def sample_memory(agent: Agent, peak: list[int], stop: threading.Event) -> None:
    while not stop.wait(0.005):
        peak.append(agent.memory_bytes())


def memory_bytes_max() -> int:
    """What the limits let a storm take, beyond what the quiet agent has.

    Bodies that arrive: reading_bytes_max of each port. Bodies being cut, by two threads of each port: as received, as
    pieces expanded, joined, and as records. What waits for the commit. One group, before and after compression: it may
    be a body larger than the rest. The tail for detection. One record decoded: `[],` costs 27 times its bytes; and the
    same again while its depth is looked at, and its content id is taken.
    """
    ports = 2
    reading = ports * HttpSettings().reading_bytes_max
    cutting = ports * THREADS * 4 * BODY_BYTES_MAX
    group = 2 * (GROUP_BYTES_MAX + BODY_BYTES_MAX)
    return reading + cutting + IN_FLIGHT_BYTES_MAX + group + TAIL_BYTES_MAX + 2 * 27 * ITEM_BYTES_MAX
