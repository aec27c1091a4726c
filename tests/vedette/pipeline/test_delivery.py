"""One delivery and one sink: what is retried, set aside, given up, delivered again; and what it spares all others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from vedette.pipeline import delivery as delivery_module
from vedette.pipeline.deliver import DeliverRole
from vedette.pipeline.delivery import DeliveryPolicy
from vedette.pipeline.routing import Filter, Selection
from vedette.pipeline.stretch import LATENCY_BUCKETS_S
from vedette.runtime.sink import Outcome
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.level import Level

from .conftest import SECOND, Bench, ScriptedSink, alert

AWAY = TransientError("away\x1b[2J")
NEVER = PermanentError("mapper_parsing_exception")

pytestmark = pytest.mark.timeout(60)


def outcomes(*fates: Outcome) -> Callable[[int], Sequence[Outcome]]:
    return lambda count: [*fates, *[None] * count][:count]


def names(sink: ScriptedSink) -> list[str]:
    return [f"{each.alert_id}.{each.revision}" for each in sink.taken if isinstance(each, AlertRevision)]


def has_taken(sink: ScriptedSink, count: int) -> bool:
    return len(sink.taken) == count


# --- the loop ---------------------------------------------------------------------------------------------------------
async def test_of_a_batch_the_newest_revisions_go_in_order(bench: Bench) -> None:
    sink = ScriptedSink()
    await bench.log(alert(1), alert(2), alert(1, 2), alert(3, level="low"))
    await bench.drained(sink, DeliveryPolicy(Filter(Level.MEDIUM)))
    assert names(sink) == ["a2.1", "a1.2"]
    count = bench.count()
    assert (count.routed, count.delivered, count.superseded, count.suppressed) == (3, 2, 1, 1)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([AWAY, AWAY], id="the whole call fails"),
        pytest.param([outcomes(AWAY, None, AWAY), outcomes(AWAY)], id="some of it fails"),
        pytest.param([ConfigError("wrong password")], id="it can't work as it is"),
        pytest.param([PermanentError("the file is damaged")], id="it is broken"),
    ],
)
async def test_what_fails_for_now_is_tried_until_it_goes(
    bench: Bench, script: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "UNUSABLE_RETRY_S", 0.001)
    sink = ScriptedSink(script=script)
    await bench.log(*map(alert, range(3)))
    await bench.drained(sink)
    assert sorted(names(sink)) == ["a0.1", "a1.1", "a2.1"]
    assert bench.count().delivered == 3


async def test_what_is_refused_is_a_dead_letter_and_holds_up_nothing(bench: Bench) -> None:
    sink = ScriptedSink(script=[outcomes(NEVER, AWAY, None, PermanentError("x" * 10_000))])
    await bench.log(*map(alert, range(4)))
    await bench.drained(sink)
    assert names(sink) == ["a2.1", "a1.1"]
    letters = [(letter.revision.alert_id, letter.reason[:10]) for _, letter in bench.core.dead_deliveries()]
    assert letters == [("a0", "mapper_par"), ("a3", "x" * 10)]
    assert all(len(letter.reason) <= 1024 for _, letter in bench.core.dead_deliveries())
    assert (bench.count().dead_lettered, bench.count().delivered) == (2, 2)


async def test_a_sink_is_started_once_when_there_is_something(bench: Bench) -> None:
    sink = ScriptedSink(starts=[AWAY, None])
    idle = await bench.drained(sink)
    assert (sink.started, idle.failure) == (0, None)
    await bench.log(alert(1))
    await bench.drained(sink)
    assert (sink.started, names(sink)) == (2, ["a1.1"])


# --- a sink that can't work as it is ----------------------------------------------------------------------------------
async def test_a_sink_that_is_misconfigured_waits_loudly(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    sink = ScriptedSink(starts=[ConfigError("sink siem: wrong password\n. Set `password`")])
    await bench.log(alert(1))
    delivery = bench.delivery(sink)
    task = bench.run(delivery)
    await bench.until(lambda: delivery.failure)
    assert not task.done(), "it ends neither the delivery nor the agent"
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "can't work as it is" in told.getMessage()
    assert told.fields["retry_s"] == delivery_module.UNUSABLE_RETRY_S  # type: ignore[attr-defined]
    delivery.deliver_again()  # it has been mended: somebody asks for its dead letters
    await bench.until(lambda: names(sink) == ["a1.1"])
    assert delivery.failure is None


@pytest.mark.parametrize(
    ("retry_after_s", "paused_s"),
    [(0.0, 0.0), (1.0, 0.0), (7.0, 7.0), (1e12, 300.0), (float("inf"), 300.0)],
    ids=["at once", "no advice", "advice", "nonsense", "for ever"],
)
async def test_a_destinations_advice_is_taken_within_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, retry_after_s: float, paused_s: float
) -> None:
    pauses: list[float] = []

    async def wait(event: asyncio.Event, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(delivery_module, "_wait", wait)
    await bench.log(alert(1))
    await bench.drained(ScriptedSink(script=[TransientError("429", retry_after_s=retry_after_s)]))
    assert [round(seconds, 2) for seconds in pauses] == [paused_s]


# --- limits -----------------------------------------------------------------------------------------------------------
async def test_what_waits_too_long_expires(bench: Bench) -> None:
    sink = ScriptedSink(script=[AWAY])
    await bench.log(alert(1))
    bench.clock.time_ns += 100 * SECOND
    await bench.log(alert(2))
    await bench.drained(sink, DeliveryPolicy(backlog_age_s_max=60))
    assert names(sink) == ["a2.1"]
    assert (bench.count().expired, bench.count().delivered) == (1, 1)


async def test_where_too_much_waits_the_oldest_expire(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vedette.pipeline.alert_feed.BATCH_REVISIONS_MAX", 4)
    monkeypatch.setattr("vedette.pipeline.alert_feed._SIZES_MAX", 3)
    sink = ScriptedSink(script=[AWAY])
    await bench.log(*(alert(number, document=b"x" * 100) for number in range(30)))
    await bench.drained(sink, DeliveryPolicy(backlog_bytes_max=799))
    assert names(sink) == [f"a{number}.1" for number in range(23, 30)], "as much as may wait, and the newest"
    assert sink.calls < 6, "what expires is not tried"
    assert (bench.count().expired, bench.count().delivered) == (23, 7)


async def test_a_sink_that_works_loses_nothing_to_limits(bench: Bench) -> None:
    sink = ScriptedSink()
    await bench.log(alert(1, document=b"x" * 1000))
    bench.clock.time_ns += 100 * SECOND
    await bench.drained(sink, DeliveryPolicy(backlog_age_s_max=60, backlog_bytes_max=10))
    assert names(sink) == ["a1.1"]


# --- filters over restarts --------------------------------------------------------------------------------------------
async def test_a_changed_filter_counts_for_alerts_opened_from_then_on(bench: Bench) -> None:
    sink = ScriptedSink()
    bench.clock.time_ns = 10
    await bench.log(alert(1), alert(2, level="low"))
    await bench.drained(sink)
    narrow = DeliveryPolicy(Filter(Level.CRITICAL, exclude=Selection(sources=("audit",))))
    await bench.drained(sink, narrow)
    bench.clock.time_ns = 20
    await bench.log(alert(1, 2), alert(2, 2, level="low"), alert(15))
    await bench.drained(sink, narrow)
    assert names(sink) == ["a1.1", "a2.1", "a1.2", "a2.2"]
    await bench.log(alert(1, 3), alert(15, 2), alert(25))
    await bench.drained(sink, DeliveryPolicy())
    assert names(sink)[4:] == ["a1.3", "a25.1"], "what was held back once is held back for good"
    assert bench.count().suppressed == 2


# --- the histogram ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("late_ns", "bound"),
    [
        (-5 * SECOND, "0.005"),
        (0, "0.005"),
        (5_000_000, "0.005"),
        (5_000_001, "0.01"),
        (SECOND, "1"),
        (2 * SECOND, "2.5"),
        (3600 * SECOND, "3600"),
        (3601 * SECOND, "+Inf"),
    ],
)
async def test_delays_are_counted(bench: Bench, late_ns: int, bound: str) -> None:
    await bench.log(alert(1), alert(2))
    bench.clock.time_ns += late_ns
    await bench.drained(ScriptedSink(script=[outcomes(NEVER)]))
    assert bench.core.tallies() == {
        ("delivery_latency_bucket", "siem", bound): 1,
        ("delivery_latency_ms_sum", "siem"): max(0, late_ns) // 1_000_000,
    }


def test_the_buckets_are_ordered() -> None:
    assert list(LATENCY_BUCKETS_S) == sorted(set(LATENCY_BUCKETS_S))


# --- dead deliveries, once more ---------------------------------------------------------------------------------------
@dataclass
class Queue:
    fates: list[Outcome]
    delivered: int
    dead: list[tuple[str, bool]]


@pytest.mark.parametrize(
    "queue",
    [
        pytest.param(Queue([None, None], 2, []), id="all go through"),
        pytest.param(Queue([None, PermanentError("still")], 1, [("still", False)]), id="one is refused again"),
        pytest.param(Queue([AWAY, None], 1, [("mapper_parsing_exception", True)]), id="one fails at a stop, and waits"),
    ],
)
async def test_queued_dead_deliveries_are_tried_again(bench: Bench, queue: Queue) -> None:
    await bench.log(alert(1), alert(2))
    await bench.drained(ScriptedSink(script=[outcomes(NEVER, NEVER)]))
    await bench.queue()
    await bench.drained(ScriptedSink(script=[outcomes(*queue.fates)]))
    count = bench.count()
    assert (count.delivered, count.dead_lettered) == (queue.delivered, 2 - queue.delivered)
    assert count.routed == count.delivered + count.dead_lettered
    assert [(letter.reason, letter.queued) for _, letter in bench.core.dead_deliveries()] == queue.dead


async def test_a_running_delivery_is_told_of_its_queue(bench: Bench) -> None:
    sink = ScriptedSink(script=[outcomes(NEVER), AWAY, outcomes(AWAY)])
    await bench.log(alert(1))
    delivery = bench.delivery(sink)
    running = bench.run(delivery)
    await bench.until(bench.core.dead_deliveries)
    await bench.queue()
    delivery.deliver_again()
    await bench.until(lambda: names(sink) == ["a1.1"])
    await bench.until(lambda: bench.count().delivered == 1)
    assert bench.core.dead_deliveries() == []
    assert not running.done()


async def test_what_fails_in_the_queue_keeps_nothing_newer_waiting(bench: Bench) -> None:
    sink = ScriptedSink(script=[outcomes(NEVER), TransientError("not this one", retry_after_s=200.0)])
    await bench.log(alert(1))
    delivery = bench.delivery(sink)
    running = bench.run(delivery)
    await bench.until(bench.core.dead_deliveries)
    await bench.queue()
    delivery.deliver_again()
    await bench.until(lambda: sink.calls == 2)
    await bench.log(alert(2))
    await bench.until(partial(has_taken, sink, 1))
    assert names(sink) == ["a2.1"]
    assert (running.done(), delivery.failure) == (False, None)
    delivery.drain()
    await running
    assert names(sink) == ["a2.1", "a1.1"], "a stop tries it once more"


# --- others, and stopping ---------------------------------------------------------------------------------------------
async def test_a_sink_that_hangs_holds_up_no_other(bench: Bench) -> None:
    hanging, well = ScriptedSink("hanging", hanging=asyncio.Event()), ScriptedSink("well")
    role = DeliverRole([bench.delivery(hanging), bench.delivery(well)], asyncio.Event())
    running = asyncio.create_task(role.run())
    bench.running.append(running)
    for number in range(3):
        await bench.log(alert(number))
        role._committed.set()
        await bench.until(partial(has_taken, well, number + 1))
    role.drain()
    await asyncio.wait([running], timeout=0.05)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await role.stop()
    assert (hanging.stopped, well.stopped) == (1, 1)
    assert bench.count("hanging").position == 0
    hanging.hanging = None
    await bench.drained(hanging)
    assert len(hanging.taken) == 3


async def test_a_stop_tries_once_more_at_once(bench: Bench) -> None:
    sink = ScriptedSink(script=[TransientError("maintenance", retry_after_s=200.0)])
    await bench.log(alert(1))
    delivery = bench.delivery(sink)
    task = bench.run(delivery)
    await bench.until(lambda: delivery.failure)
    delivery.drain()
    await task
    assert names(sink) == ["a1.1"]


class StubbornSink(ScriptedSink):
    async def stop(self) -> None:
        await super().stop()
        if self.name == "hangs":
            await asyncio.Event().wait()
        if self.name == "fails":
            raise TransientError("the connection broke")


async def test_sinks_stop_together_within_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vedette.pipeline.deliver.SINK_STOP_S", 0.05)
    sinks = [StubbornSink(name) for name in ("hangs", "fails", "never started")]
    await DeliverRole([bench.delivery(sink) for sink in sinks], asyncio.Event()).stop()
    assert [sink.stopped for sink in sinks] == [1, 1, 1]
    told = {record.fields["sink"] for record in caplog.records}  # type: ignore[attr-defined]
    assert told == {"hangs", "fails"}
