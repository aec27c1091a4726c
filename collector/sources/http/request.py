"""One request from its head to its answer: body, records, parcel, settlement.

Ends when its exchange was told the answer; what settles later only moves counts.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from collector.sources.http.answers import (
    CORRUPT,
    DENSE,
    DRAINING,
    EXPANDS,
    FRAGMENTED,
    NO_ROOM,
    NO_ROOM_WAITED,
    UNSETTLED,
    Answer,
    Persistence,
    Refusal,
    accepted,
    not_stored,
)
from collector.sources.http.coding import Corrupt, Expands, expand
from collector.sources.http.service import SMALL_BYTES
from vedette.runtime.parcel import Parcel, Receipt
from vedette.schema.limits import IN_FLIGHT_BYTES_MAX, KIB

if TYPE_CHECKING:
    from collector.sources.http.routes import Route
    from collector.sources.http.service import Service
    from vedette.schema.errors import TransientError
    from vedette.schema.record import Piece, Run

INLINE_BYTES_MAX: Final = 16 * KIB
"""Bodies up to this are cut into records in the event loop, others in a thread (which costs 26 µs of CPU, measured).
Cutting takes 1 ns a byte of real events, but 1 µs a byte of what a hostile client can write: 16 ms, not a second."""
PARTS_MAX: Final = 64
"""Parts of a body kept as they came, to be joined once; more are gathered, lest tiny ones cost more than they hold."""
SEPARATORS_MAX: Final = 4_000_000
"""Newlines, opening braces and half the commas of one body. 64 MiB of audit events have 1.7 million, of flow logs up to
3.9; a body that is nothing else would become 67 million records, several GB of memory and a minute of CPU."""
ITEM_OVERHEAD_BYTES: Final = 64
"""What a record costs beside its bytes (an object's header, a place in a list): counted, so that room is memory."""
SETTLE_GRACE_S: Final = 5.0
"""How much longer than `patience_s` the intake may take to settle, before the client is told that nobody knows."""


class Exchange(Protocol):
    """The connection as a request sees it."""

    def answered(self, request: Request, answer: Answer) -> None:
        """Send the answer; ignored unless the request is the one whose turn it is."""
        ...


class Dense(Exception):  # noqa: N818 - what the body is
    """A body of more separators than logs have."""


class Cut(NamedTuple):
    """Records cut from a body, and the memory that they take."""

    runs: list[Run]
    items: list[bytes]
    size_bytes: int


class Request:
    """A request whose head was read. `answer`, once set, is what it will get, and its body is thrown away."""

    __slots__ = (
        "answer",
        "coding",
        "cut",
        "exchange",
        "expects",
        "gathered",
        "headless",
        "length",
        "parts",
        "persistence",
        "records",
        "reserved",
        "route",
        "service",
        "since",
        "size",
        "waiting",
    )

    def __init__(self, exchange: Exchange, service: Service) -> None:
        """Begin; `head.read_head` fills in what the head says."""
        self.exchange = exchange
        self.service = service
        self.since = service.now
        self.persistence = Persistence.CLOSE
        self.headless = False
        self.expects = False
        self.route: Route | None = None
        self.coding = ""
        self.length: int | None = 0
        self.reserved = 0
        self.size = 0
        self.parts: list[bytes] = []
        self.gathered = bytearray()
        self.cut: Cut | None = None
        self.records = 1
        self.waiting = False
        self.answer: Answer | None = None

    # --- reading ------------------------------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Take a part of the body.

        Raises:
            Refusal: it has grown too large.
        """
        self.size += len(data)
        if self.answer is not None:
            return
        if self.size > self.reserved:
            self._grow()
        self.parts.append(data)
        if len(self.parts) >= PARTS_MAX:
            self.gathered += b"".join(self.parts)
            self.parts.clear()

    def body(self) -> bytes:
        """The body as it came."""
        if self.gathered:
            return b"".join([self.gathered, *self.parts])
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def _grow(self) -> None:
        assert self.route is not None, "only bodies of routes are kept"
        longest = self.service.settings.body_bytes_max if self.length is None else self.length
        size = max(self.size, min(self.reserved + SMALL_BYTES, longest))
        refused = self.service.weigh(self.route, size, self.reserved)
        if refused is not None:
            raise Refusal(refused)
        self.reserve(size)

    def reserve(self, size: int) -> None:
        """Hold room for `size` bytes of the body."""
        self.service.reserve(size - self.reserved)
        self.reserved = size

    def check_framing(self, wire_bytes: int) -> None:
        """Bound chunk extensions, trailers and tiny chunks, which the parser takes without end.

        Raises:
            Refusal: the body came in `wire_bytes`, most of them framing.
        """
        if self.length is None and wire_bytes > 2 * (self.size + self.service.settings.header_bytes_max):
            raise Refusal(FRAGMENTED)

    def abandon(self) -> None:
        """Let go of the body and of the room reserved for it."""
        self.reserve(0)
        self.parts.clear()
        self.gathered = bytearray()
        self.cut = None

    # --- storing ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The body is complete and it is this request's turn: have it stored, or give the answer that it has earned."""
        self.since = self.service.now
        if self.answer is not None:
            self.refuse(self.answer)
        elif self.coding or self.size > INLINE_BYTES_MAX:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(self.service.pool, self._expand_and_cut).add_done_callback(self._was_cut)
        else:
            self._store(self._cut(self.body()))

    def refuse(self, answer: Answer) -> None:
        """Answer without storing; counts the records as refused if they came on a route."""
        self.abandon()
        if self.route is not None:
            self.service.intake.refused(self.service.name, self.records)
        self.exchange.answered(self, answer)

    def _expand_and_cut(self) -> Cut:
        body = self.body()
        if self.coding:
            body = expand(self.coding, body, self.service.settings.body_bytes_max)
        return self._cut(body)

    def _cut(self, body: bytes) -> Cut:
        """Cut a body into records; pure, since it may run in a thread."""
        route = self.route
        assert route is not None, "only bodies of routes are cut"
        if len(body) > SEPARATORS_MAX and _separators(body) > SEPARATORS_MAX:
            raise Dense
        pieces = route.decoder.split(body, route.context)
        if len(pieces) == 1:
            items, context, record = pieces[0]
            if len(items) == 1 and record == 1 and context == route.context:
                return Cut([route.single], items, len(body) + ITEM_OVERHEAD_BYTES)
        return _join(route, pieces, len(body))

    def _was_cut(self, future: asyncio.Future[Cut]) -> None:
        if future.cancelled():
            self.refuse(DRAINING)
            return
        error = future.exception()
        if isinstance(error, Expands):
            self.refuse(EXPANDS)
        elif isinstance(error, Corrupt):
            self.refuse(CORRUPT)
        elif isinstance(error, Dense):
            self.refuse(DENSE)
        elif error is not None:
            self.service.fail(error)
        else:
            self._store(future.result())

    def _store(self, cut: Cut) -> None:
        """Offer the records, or wait for room, or refuse them."""
        self.records = len(cut.items)
        self.cut = cut
        if not cut.items:
            self.abandon()
            self.exchange.answered(self, accepted(0, 0))
        elif cut.size_bytes > IN_FLIGHT_BYTES_MAX:
            self.refuse(DENSE)
        elif self.fits():
            self.offer()
        elif self.route is not None and self.route.waits:
            self.waiting = True
            self.service.held.append(self)
        else:
            self.refuse(NO_ROOM)

    def fits(self) -> bool:
        """Whether the intake has room for the records."""
        return self.cut is not None and self.cut.size_bytes <= self.service.intake.room_bytes()

    def offer(self) -> None:
        """Hand the records to the intake; `settled` hears what became of them."""
        cut, service = self.cut, self.service
        assert cut is not None, "cut before offered"
        self.waiting = False
        self.abandon()
        patience_s = 0.0
        if self.route is not None and self.route.waits:
            patience_s = max(0.0, service.settings.patience_s - (service.now - self.since))
        service.intake.offer(
            Parcel(service.name, cut.runs, cut.items, self.settled, cut.size_bytes, patience_s=patience_s)
        )

    def settled(self, outcome: Receipt | TransientError) -> None:
        """Answer: the records are durable, or were refused."""
        if isinstance(outcome, Receipt):
            self.exchange.answered(self, accepted(outcome.stored + outcome.duplicates, outcome.duplicates))
        else:
            waited = self.route is not None and self.route.waits
            self.refuse(not_stored(outcome, waited=waited))
        if self.service.held:
            self.service.admit_held()

    def expire(self, elapsed_s: float) -> None:
        """Its turn has lasted for `elapsed_s`: end it if that is too long."""
        patience_s = self.service.settings.patience_s
        if self.waiting and elapsed_s > patience_s:
            self.waiting = False
            self.service.held.remove(self)
            self.refuse(NO_ROOM_WAITED)
        elif elapsed_s > patience_s + SETTLE_GRACE_S:
            self.persistence = Persistence.CLOSE
            self.exchange.answered(self, UNSETTLED)


def _separators(body: bytes) -> int:
    return body.count(b"\n") + body.count(b"{") + body.count(b",") // 2


def _join(route: Route, pieces: list[Piece], size_bytes: int) -> Cut:
    """Describe pieces by runs."""
    runs = [route.run(len(items), context, record) for items, context, record in pieces if items]
    items = pieces[0].items if len(pieces) == 1 else [item for piece in pieces for item in piece.items]
    return Cut(runs, items, size_bytes + ITEM_OVERHEAD_BYTES * len(items))
