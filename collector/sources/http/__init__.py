"""The HTTP port: Falco's `http_output`, the API server's audit webhook, and any shipper that can POST.

An HTTP/1.1 server of our own, an `asyncio.Protocol` over httptools (llhttp), because the answer must wait for the group
commit and a small Falco POST must cost little: 12 µs of CPU with 16 or 64 connections and 14 with one, half of it the
kernel's (uvloop, intake in memory; `tests/collector/sources/http/bench_port.py`). What keeps it there: no task, future,
timer or clock reading per request, answers rendered beforehand, reading paused only when bytes really come too early.

A request ends when the intake has settled its parcel; the source ends with `stop`.

    source ── service (budget, counts, sweep) ── connection (order, time) ── head ─┐
                                                       request (body, records, parcel) ── intake
"""

from collector.sources.http.settings import HttpSettings
from collector.sources.http.source import HttpSource

__all__ = ["HttpSettings", "HttpSource"]
