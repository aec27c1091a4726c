"""One ticket for each reference, one comment for each revision: whatever breaks off in between, and comes again.

What is about to be written is noted before and after. Where the second note is missing, nobody knows whether it was
written: then RT is asked, after the time that a request may take is over, and only what is not there is written again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from prometheus_client import Counter

from sinks.rt.client import UnclearError
from sinks.rt.memory import AlertNote, Intent, TicketNote
from sinks.rt.text import AlertText, new_mark, read_mark
from sinks.rt.verdicts import is_owed, set_status
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.rt.doubts import Doubts
    from sinks.rt.memory import Case, Memory
    from sinks.rt.settings import RtSettings
    from sinks.rt.text import Reference
    from sinks.rt.tracker import Ticket, Tracker
    from vedette.runtime.clock import Clock
    from vedette.schema.alert import AlertRevision


@dataclass(frozen=True, slots=True)
class TicketsMerged(OperationalEvent):
    """Two tickets were born for one reference; `merged` says whether they are one now."""

    component = "sinks.rt"
    message = (
        "two tickets were created for one thing. If they were not merged: grant ModifyTicket, or merge them by hand"
    )
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_rt_tickets_merged_total",
        "Tickets that were born twice, and whether they could be merged.",
        ["sink", "merged"],
    )
    labels = ("sink", "merged")
    sink: str
    ticket: int
    kept: int
    merged: bool


@dataclass(frozen=True, slots=True)
class TicketNotReopened(OperationalEvent):
    """A ticket that people had closed got a comment, but not its new status."""

    component = "sinks.rt"
    message = "a closed ticket was commented but not reopened. Grant ModifyTicket, or correct reopen_status"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_rt_not_reopened_total", "Closed tickets that could not be opened again for a new revision.", ["sink"]
    )
    labels = ("sink",)
    sink: str
    ticket: int


class Desk:
    """Brings revisions into tickets, one at a time for each reference; references do not wait for each other."""

    def __init__(
        self, name: str, settings: RtSettings, tracker: Tracker, memory: Memory, doubts: Doubts, clock: Clock
    ) -> None:
        """Work with `tracker`; `name` is the sink's."""
        self._name = name
        self._settings = settings
        self._tracker = tracker
        self._memory = memory
        self._doubts = doubts
        self._clock = clock
        self.has_field = True
        """Whether the queue has the custom field for references."""

    async def settle(self, revision: AlertRevision) -> None:
        """See to it that a ticket tells this revision, or a newer one.

        Raises:
            TransientError: not now. PermanentError: never.
        """
        case = await self._memory.recall(revision)
        text = AlertText(revision)
        if case.settled and not is_owed(case, text):
            return
        ticket = await self._ticket(case, text)
        if ticket is not None and not case.settled:
            await self._recover_comment(case, ticket)
        if ticket is not None and not case.settled:
            await self._comment(case, text, ticket)
        if is_owed(case, text):
            await set_status(self._name, self._settings, self._tracker, case, text)
            case.alert = AlertNote(case.alert.version, judged_ns=text.judged_ns)
            await self._memory.keep(case)

    async def unite(self, reference: Reference) -> Ticket | None:
        """Merge all tickets of ours that have this reference and take comments; return the one that is left, if any."""
        return await self._one_of(await self._tracker.find(reference, by_field=self.has_field, by_subject=True))

    # --- tickets ------------------------------------------------------------------------------------------------------
    async def _ticket(self, case: Case, text: AlertText) -> Ticket | None:
        """Return the ticket that the revision belongs into; None if one was created that tells it."""
        known = case.ticket.ticket
        if known:
            ticket = await self._tracker.read(known)
            if ticket is not None:
                return ticket
        found = await self._find(case)
        if found is None:
            await self._create(case, text, gone=known)
        else:
            await self._adopt(case, found)
        return found

    async def _find(self, case: Case) -> Ticket | None:
        """Look for a ticket where none is noted, or the one that was is gone."""
        intent = case.ticket.creating
        new = intent is None and not case.ticket.ticket and case.revision.revision == 1
        if new and self.has_field:  # the usual case; searching subjects as well would read all of them
            return await self._one_of(await self._tracker.find(case.reference, by_field=True, by_subject=False))
        found = await self.unite(case.reference)
        if found is None and intent is not None:
            await self._wait(intent)
            found = await self.unite(case.reference)
        return found

    async def _adopt(self, case: Case, ticket: Ticket) -> None:
        """Note whose ticket it is, and what it tells already."""
        opening = await self._tracker.opening(ticket.id)
        marks = [mark for creator, mark in await self._tracker.marks(ticket.id) if creator == ticket.creator]
        case.ticket = TicketNote(ticket.id)
        await self._memory.learn(case, [*marks, *([opening] if opening else [])])

    async def _create(self, case: Case, text: AlertText, gone: int) -> None:
        mark = new_mark(case.revision)
        before = case.ticket
        case.ticket = TicketNote(0, Intent(mark.text, self._clock.now_ns()))
        if before.creating is None:
            await self._memory.keep(case)
        else:
            await self._memory.keep_doubtful(case, self._doubts.add(case.reference))
        note = f"This goes on from ticket {gone}, which is deleted or out of Vedette's reach." if gone else ""
        subject = f"{text.title} {case.reference.tag}"
        try:
            number = await self._tracker.create(case.reference, subject, text.whole(mark, note))
        except UnclearError:
            raise
        except (TransientError, PermanentError):
            case.ticket = before
            await self._memory.keep(case)
            raise
        case.ticket, case.alert = TicketNote(number), AlertNote(case.revision.version)
        await self._memory.keep(case)

    async def _one_of(self, found: Sequence[int]) -> Ticket | None:
        """Merge tickets that Vedette created, into the oldest; what people copied stays theirs."""
        read = [await self._tracker.read(number) for number in found]
        tickets = [ticket for ticket in read if ticket is not None]
        if len(tickets) < 2:  # noqa: PLR2004 - there is nothing to merge
            return tickets[0] if tickets else None
        ours = [ticket for ticket in tickets if await self._tracker.opening(ticket.id) is not None] or tickets[:1]
        for ticket in ours[1:]:
            merged = await self._tracker.merge(ticket.id, ours[0].id)
            TicketsMerged(self._name, ticket.id, ours[0].id, merged).emit()
        return ours[0]

    # --- comments -----------------------------------------------------------------------------------------------------
    async def _recover_comment(self, case: Case, ticket: Ticket) -> None:
        """Find out what became of a comment whose end was not noted."""
        intent = case.alert.commenting
        if intent is None:
            return
        if not await self._has(ticket, intent):
            await self._wait(intent)
            if not await self._has(ticket, intent):
                return
        mark = read_mark(intent.mark)
        assert mark is not None, "it was made by new_mark"
        case.alert = AlertNote(mark.version, judged_ns=case.alert.judged_ns)
        await self._memory.keep(case)

    async def _comment(self, case: Case, text: AlertText, ticket: Ticket) -> None:
        fresh = not case.alert.version
        before = case.alert
        news = fresh or (bool(before.judged_ns) and not text.judged_ns)
        reopens = news and bool(self._settings.reopen_status) and await self._tracker.is_inactive(ticket.id)
        status = self._settings.reopen_status if reopens else ""
        pending = read_mark(before.commenting.mark) if before.commenting else None
        again = pending is not None and pending.version == case.revision.version
        mark = pending if again and pending else new_mark(case.revision)
        case.alert = AlertNote(before.version, Intent(mark.text, self._clock.now_ns()), before.judged_ns)
        case.ticket = TicketNote(ticket.id)
        await self._memory.keep(case)
        content = text.whole(mark) if fresh else text.update(mark)
        try:
            await self._tracker.comment(ticket.id, f"{text.title} {mark.text}", content, status)
        except UnclearError:
            raise
        except (TransientError, PermanentError):
            case.alert = before
            await self._memory.keep(case)
            raise
        case.alert = AlertNote(case.revision.version, judged_ns=before.judged_ns)
        await self._memory.keep(case)
        if status:
            await self._check_reopened(ticket.id)

    async def _has(self, ticket: Ticket, intent: Intent) -> bool:
        return any(mark.text == intent.mark for _, mark in await self._tracker.marks(ticket.id))

    async def _check_reopened(self, ticket_id: int) -> None:
        if await self._tracker.is_inactive(ticket_id):
            TicketNotReopened(self._name, ticket_id).emit()

    async def _wait(self, intent: Intent) -> None:
        """Let the time pass in which what was sent may still be carried out."""
        passed_s = max(0, self._clock.now_ns() - intent.at_ns) / SECOND_NS
        await asyncio.sleep(max(0.0, self._settings.timeout_s - passed_s))
