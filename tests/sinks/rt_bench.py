"""The sink `rt` on the contract's bench, and what its other tests share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from sinks.rt import RtSettings, RtSink
from sinks.rt.text import AlertText, Mark, read_mark
from vedette.runtime.notes import MemoryNotes
from vedette.runtime.sink_context import SinkContext
from vedette.schema.limits import SECOND_NS
from vedette.testing.sinks import NOW_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vedette.runtime.check import Check
    from vedette.runtime.sink import Outcome, Sink
    from vedette.schema.alert import AlertRevision

    from .rt_stub import RtStub, StubTicket


class HurryingClock:
    """A minute passes with each look, so that no request is ever waited for."""

    def __init__(self) -> None:
        self.time_ns = NOW_NS

    def now_ns(self) -> int:
        self.time_ns += 60 * SECOND_NS
        return self.time_ns


def settings_for(stub: RtStub, **more: Any) -> RtSettings:
    account = {"username": stub.username, "password": stub.password}
    return RtSettings.model_validate({"url": stub.url, "queue": "SOC", **account, **more})


def contents_of(ticket: StubTicket) -> list[str]:
    return [text.content for text in ticket.texts]


def marks_of(contents: Sequence[str]) -> list[Mark]:
    """The marks of a ticket's texts: on the first line of each, and nowhere else on a line's beginning."""
    marks: list[Mark] = []
    for content in contents:
        first, *rest = content.splitlines()
        mark = read_mark(first)
        assert mark is not None
        assert mark.text == first
        assert not any(line.startswith("[") for line in rest)
        marks.append(mark)
    return marks


class RtBench:
    """Holds what each text of the tracker says against what it is to say of the revision that its mark names."""

    once = True

    def __init__(self, folder: Path, settings: RtSettings, tickets: Callable[[], Sequence[Sequence[str]]]) -> None:
        """`tickets` returns the texts of each ticket."""
        self._folder = folder
        self._settings = settings
        self._tickets = tickets
        self._notes = MemoryNotes()
        self.sent: dict[tuple[str, int], AlertRevision] = {}

    def make(self) -> Sink:
        context = SinkContext(self._folder, HurryingClock(), self._notes)
        return _Overheard(RtSink("rt", self._settings, context), self)

    def received(self) -> Sequence[dict[str, Any]]:
        newest: dict[str, int] = {}
        seen: Counter[tuple[str, int]] = Counter()
        for contents in self._tickets():
            for mark, content in zip(marks_of(contents), contents, strict=True):
                words = AlertText(self.sent[mark.alert_id, mark.version])
                assert content in {words.whole(mark), words.update(mark)}
                seen[mark.alert_id, mark.version] += 1
                newest[mark.alert_id] = max(mark.version, newest.get(mark.alert_id, 0))
        assert set(seen.values()) <= {1}
        documents = [orjson.loads(self.sent[key].document) for key in newest.items()]
        return sorted(documents, key=lambda document: document["unmapped"]["opened_ns"])


class _Overheard:
    """A sink whose revisions the bench remembers."""

    def __init__(self, sink: RtSink, bench: RtBench) -> None:
        self.name = sink.name
        self._sink = sink
        self._bench = bench

    async def start(self) -> None:
        await self._sink.start()

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        for revision in revisions:
            self._bench.sent[revision.alert_id, revision.version] = revision
        return await self._sink.deliver(revisions)

    async def stop(self) -> None:
        await self._sink.stop()

    async def probe(self) -> Sequence[Check]:
        return await self._sink.probe()
