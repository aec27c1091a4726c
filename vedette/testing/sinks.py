"""The contract of sinks: what every destination owes to delivery, as checks that run over any of them.

A sink's author writes a `SinkBench`, which makes the sink and looks at its destination from the other side, and runs
every check of `CONTRACT` on a fresh one:

    @pytest.mark.parametrize("check", CONTRACT.values(), ids=CONTRACT)
    async def test_contract(check, bench):
        await check(bench)
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol

from vedette.pipeline.document import build_document, encode_document
from vedette.schema.alert import GENERATION_FACTOR, Activity, AlertDocument, AlertRevision, AlertState, Evidence
from vedette.schema.errors import TransientError
from vedette.schema.event import Facts
from vedette.schema.finding import Clause
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.rule import RuleInfo

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from vedette.runtime.sink import Sink

RULE: Final = RuleInfo("5f1c0000-0000-4000-8000-000000000001", "Shell In A Pod", Level.HIGH, attack=("T1609",))
OPENED_NS: Final = 1_774_612_800 * SECOND_NS
NOW_NS: Final = OPENED_NS + 3600 * SECOND_NS
"""When the checks run, on a clock of theirs: retention must not remove samples."""
STEPS_MAX: Final = 12
"""Turns of the event loop before a call is cancelled, at most: more awaits than a sink has until its world answers."""

HOSTILE: Final[Mapping[str, str]] = {
    "quotes": "\"'`\\",
    "line breaks": "a\nb\r\nc\u2028d\u0085e",
    "nul": "a\x00b",
    "terminal escapes": "\x1b]0;owned\x07\x1b[2J\x9b31m",
    "bidirectional": "exe.\u202etxt\u2066\u2069\u200f",
    "zero width": "a\u200bb\ufeffc",
    "astral": "\U0001f680\U000e0041",
    "noncharacters": "\ufffe\uffff",
    "markup": "<script>alert(1)</script>&amp;{{7*7}}${jndi:ldap://x}",
    "sql": "'; DROP TABLE alert; --",
    "huge": "x" * 1_000_000,
}
"""Strings that attackers put where names belong."""


class StandingClock:
    """Implements `vedette.runtime.clock.Clock`: shows `time_ns`, which only the test moves."""

    def __init__(self, time_ns: int = NOW_NS) -> None:
        """Show `time_ns`."""
        self.time_ns = time_ns

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self.time_ns


class SinkBench(Protocol):
    """A sink on the test bench."""

    once: bool
    """Whether redelivery stays invisible at the destination. Otherwise readers drop repeats by `metadata.uid`."""

    def make(self) -> Sink:
        """Make a sink, each time anew, that delivers to the one destination of this bench; its clock shows NOW_NS."""
        ...

    def received(self) -> Sequence[AlertDocument]:
        """What the destination holds, oldest alert first; whole documents only."""
        ...


def sample_revision(
    number: int = 1, *, revision: int = 1, generation: int = 0, facts: Facts | None = None, rule: RuleInfo = RULE
) -> AlertRevision:
    """Make a revision of alert `number`, which opened `number` seconds after OPENED_NS."""
    opened_ns = OPENED_NS + number * SECOND_NS
    alert_id = f"{number:032x}"
    found = facts or Facts(actor="mara", action="get", resource="pods/exec", namespace="shop", name=f"web-{number}")
    state = AlertState(
        alert_id=alert_id,
        rule=rule,
        dedup_values=(found.actor, found.name),
        cluster="test",
        labels={},
        seq=number,
        opened_ns=opened_ns,
        closes_ns=opened_ns + 3600 * SECOND_NS,
        first_seen_ns=opened_ns,
        last_seen_ns=opened_ns + revision,
        facts=found,
        clauses=(Clause("selection.verb", "verb", 'equals "get"', "verb", "get"),),
        count=revision,
        revision=revision,
        evidence=[Evidence(number, opened_ns, opened_ns, "audit", "kube_audit", f"{number:x}", raw='{"verb":"get"}')],
    )
    activity = Activity.CREATE if revision == 1 else Activity.UPDATE
    document = build_document(state, generation=generation, activity=activity, now_ns=opened_ns + revision)
    return AlertRevision(
        alert_id, generation, revision, opened_ns, str(rule.level), rule.rule_id, encode_document(document)
    )


# --- checks -----------------------------------------------------------------------------------------------------------
async def check_delivers_in_order(bench: SinkBench) -> None:
    """Every revision arrives, in the order of the log, over several calls; nothing is no trouble."""
    async with _running(bench) as sink:
        for first in (1, 4, 7):
            await _deliver(sink, [sample_revision(number) for number in range(first, first + 3)])
        assert list(await sink.deliver([])) == []
    assert _ids(bench) == [f"{number:032x}" for number in range(1, 10)]


async def check_redelivery(bench: SinkBench) -> None:
    """What comes again leaves no trace, or can be told by its `metadata.uid`."""
    revisions = [sample_revision(number) for number in (1, 2, 3)]
    async with _running(bench) as sink:
        await _deliver(sink, revisions)
    first = list(bench.received())
    async with _running(bench) as sink:
        await _deliver(sink, revisions[1:])
        await _deliver(sink, revisions)
    again = list(bench.received())
    if bench.once:
        assert again == first
    assert {document["metadata"]["uid"]: document for document in again} == {
        document["metadata"]["uid"]: document for document in first
    }


async def check_newer_versions_win(bench: SinkBench) -> None:
    """A revision replaces older ones; an older one that comes late is delivered, and changes nothing."""
    newest = sample_revision(generation=1, revision=1)
    async with _running(bench) as sink:
        for revision in (1, 3, 2):
            await _deliver(sink, [sample_revision(revision=revision)])
        assert max(_versions(bench)) == 3  # noqa: PLR2004
        await _deliver(sink, [newest, sample_revision(revision=9)])
    versions = _versions(bench)
    assert max(versions) == GENERATION_FACTOR + 1
    if bench.once:
        assert versions == [newest.version]


async def check_hostile_strings(bench: SinkBench) -> None:
    """Whatever stands in an alert arrives as it left."""
    revisions = [
        sample_revision(number, facts=Facts(actor=text, name=text, command=text, images=(text,)), rule=_named(text))
        for number, text in enumerate(HOSTILE.values(), start=1)
    ]
    async with _running(bench) as sink:
        await _deliver(sink, revisions)
    assert [encode_document(document) for document in bench.received()] == [revision.document for revision in revisions]


async def check_cancelled_deliver(bench: SinkBench) -> None:
    """A delivery that was cancelled, wherever it stood, leaves a sink that delivers."""
    async with _running(bench) as sink:
        for steps in range(STEPS_MAX):
            revisions = [sample_revision(3 * steps + number) for number in (1, 2, 3)]
            await _cancel(asyncio.ensure_future(sink.deliver(revisions)), steps)
            await _deliver(sink, revisions)
    assert list(dict.fromkeys(_ids(bench))) == [f"{number:032x}" for number in range(1, 3 * STEPS_MAX + 1)]
    if bench.once:
        assert len(_ids(bench)) == 3 * STEPS_MAX


async def check_cancelled_start_and_stop(bench: SinkBench) -> None:
    """So does a start; a stop that was cancelled can be had again."""
    for steps in range(STEPS_MAX):
        sink = bench.make()
        await _cancel(asyncio.ensure_future(sink.start()), steps)
        await sink.start()
        await _deliver(sink, [sample_revision(steps + 1)])
        await _cancel(asyncio.ensure_future(sink.stop()), steps)
        await sink.stop()
    assert _ids(bench) == [f"{number:032x}" for number in range(1, STEPS_MAX + 1)]


async def check_stop(bench: SinkBench) -> None:
    """Stopping twice, or without a start, is harmless."""
    unused = bench.make()
    await unused.stop()
    await unused.stop()
    sink = bench.make()
    await sink.start()
    await _deliver(sink, [sample_revision()])
    await sink.stop()
    await sink.stop()
    assert _ids(bench) == [sample_revision().alert_id]


CONTRACT: Final[Mapping[str, Callable[[SinkBench], Awaitable[None]]]] = {
    "delivers in order": check_delivers_in_order,
    "redelivery": check_redelivery,
    "newer versions win": check_newer_versions_win,
    "hostile strings": check_hostile_strings,
    "cancelled deliver": check_cancelled_deliver,
    "cancelled start and stop": check_cancelled_start_and_stop,
    "stop": check_stop,
}


# --- tools ------------------------------------------------------------------------------------------------------------
@contextlib.asynccontextmanager
async def _running(bench: SinkBench) -> AsyncGenerator[Sink]:
    sink = bench.make()
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()


async def _deliver(sink: Sink, revisions: Sequence[AlertRevision]) -> None:
    outcomes = await sink.deliver(revisions)
    assert list(outcomes) == [None] * len(revisions)


async def _cancel(call: asyncio.Future[Any], steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError, TransientError):
        await call


def _ids(bench: SinkBench) -> list[str]:
    return [document["finding_info"]["uid"] for document in bench.received()]


def _versions(bench: SinkBench) -> list[int]:
    return [document["unmapped"]["version"] for document in bench.received()]


def _named(text: str) -> RuleInfo:
    return RuleInfo(f"falco:{text[:100]}", text, Level.LOW)
