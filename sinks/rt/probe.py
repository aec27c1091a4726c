"""What `vedette doctor` tries on Request Tracker. It writes nothing, so some rights can only be looked at."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sinks.rt.client import RestClient
from sinks.rt.tracker import Tracker
from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sinks.rt.settings import RtSettings

REQUEST_S_MAX: Final = 5.0
PROBE_S_MAX: Final = 14.0
"""Less than the 15 s that a probe may take."""


async def probe(settings: RtSettings) -> Sequence[Check]:
    """Try what can be tried, up to the first thing that all others need."""
    try:
        client = RestClient(settings, min(settings.timeout_s, REQUEST_S_MAX))
    except ConfigError as error:
        return [_wrong("read ca_file", error)]
    checks: list[Check] = []
    try:
        async with asyncio.timeout(PROBE_S_MAX):
            async for check in _checks(settings, Tracker(client, settings)):
                checks.append(check)  # noqa: PERF401 - what was found stays when time is up
    except TimeoutError:
        checks.append(Check("finish in time", f"it took more than {PROBE_S_MAX:g} s", "look at the load of its server"))
    return checks


async def _checks(settings: RtSettings, tracker: Tracker) -> AsyncIterator[Check]:
    what = f"log in at {settings.url} as {settings.account}"
    try:
        yield Check(f"{what} (Request Tracker {await tracker.version()})")
        what = f"see the queue {settings.queue}"
        queue = await tracker.queue()
        yield Check(what)
        yield _right(f"create tickets in {settings.queue}", queue.may_create, "CreateTicket", settings)
        yield _field(settings, found=queue.has_field)
        what = f"comment on tickets in {settings.queue}"
        ticket = await tracker.any_ticket()
        if ticket is None:
            yield Check(f"{what} (not tried: the account sees no ticket there yet)")
        else:
            yield _right(what, ticket.offers("comment"), "CommentOnTicket", settings)
            yield _right(f"change tickets in {settings.queue}", ticket.offers("lifecycle"), "ModifyTicket", settings)
    except TransientError as error:
        yield _wrong(what, error)


def _right(what: str, granted: bool, right: str, settings: RtSettings) -> Check:
    if granted:
        return Check(what)
    remedy = f"grant {right} to {settings.account}: Admin, Queues, {settings.queue}, User Rights"
    return Check(what, f"the right {right} is lacking", remedy)


def _field(settings: RtSettings, *, found: bool) -> Check:
    field, queue = settings.reference_field, settings.queue
    what = f"find the custom field {field} on tickets of {queue}"
    if found:
        return Check(what)
    remedy = (
        f"create it: Admin, Custom Fields, Create; name {field}, type 'Enter one value', applies to Tickets; then apply"
        f" it to {queue}, and grant SeeCustomField and ModifyCustomField on it to {settings.account}. Until then,"
        " tickets are found by the end of their subject, which is slower, and which people can change"
    )
    return Check(what, "there is none, or the account does not see it", remedy)


def _wrong(what: str, error: Exception) -> Check:
    """Split a message of ours, which ends with the remedy."""
    problem, _, remedy = str(error).rpartition(". ")
    return Check(what, problem or remedy, remedy)
