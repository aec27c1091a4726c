"""What a ticket and a comment cost at a real Request Tracker: `python -m tests.sinks.rt_cost` prints it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from sinks.rt import RtSettings, RtSink
from tests.servers.process import Host
from tests.servers.request_tracker import RequestTracker
from vedette.runtime.sink_context import SinkContext
from vedette.schema.alert import AlertRevision
from vedette.testing.sinks import sample_revision

TICKETS: Final = 100


def batch(revision: int, first_alert: int) -> list[AlertRevision]:
    return [
        sample_revision(first_alert + number, revision=revision)._replace(ticket_key=str(number))
        for number in range(TICKETS)
    ]


async def measure(tracker: RequestTracker, concurrency: int) -> None:
    account = {"username": tracker.user, "password": tracker.password}
    own = {"url": tracker.url, "queue": tracker.queue, "reference_field": tracker.field, "concurrency": concurrency}
    sink = RtSink("rt", RtSettings.model_validate({**own, **account}), SinkContext(Path()))
    await sink.start()
    rows = {
        "new ticket": batch(1, 1),
        "comment": batch(2, 1),
        "new alert": batch(1, 1 + TICKETS),
        "repeat": batch(2, 1),
    }
    for label, revisions in rows.items():
        began, cpu = time.perf_counter(), time.process_time()
        outcomes = await sink.deliver(revisions)
        assert not any(outcomes), outcomes
        wall_ms, cpu_ms = (
            (now - then) * 1000 / TICKETS for now, then in ((time.perf_counter(), began), (time.process_time(), cpu))
        )
        sys.stdout.write(
            f"concurrency {concurrency}  {label:12} {wall_ms:6.1f} ms, {cpu_ms:5.2f} ms of our CPU, each\n"
        )
    await sink.stop()


def main() -> None:
    with tempfile.TemporaryDirectory() as logs:
        host = Host(Path(logs))
        try:
            with RequestTracker(host) as tracker:
                for concurrency in (1, 2):
                    tracker.reset()
                    asyncio.run(measure(tracker, concurrency))
        finally:
            host.close()


if __name__ == "__main__":
    main()
