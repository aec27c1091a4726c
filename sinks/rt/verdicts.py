"""What a verdict makes of a ticket's status. To set it once more changes nothing, so a repeat does no harm."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from prometheus_client import Counter

from vedette.runtime.telemetry import OperationalEvent

if TYPE_CHECKING:
    from sinks.rt.memory import Case
    from sinks.rt.settings import RtSettings
    from sinks.rt.text import AlertText
    from sinks.rt.tracker import Tracker


@dataclass(frozen=True, slots=True)
class StatusNotSet(OperationalEvent):
    """A ticket tells a verdict, and did not get the status that belongs to it."""

    component = "sinks.rt"
    message = "a verdict was commented, and its status not set. Grant ModifyTicket, or correct on_verdict"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_rt_status_not_set_total", "Tickets that did not get the status of a verdict.", ["sink"]
    )
    labels = ("sink",)
    sink: str
    ticket: int
    status: str


def is_owed(case: Case, text: AlertText) -> bool:
    """Say whether the newest revision that the ticket tells decides otherwise than what its status follows."""
    return case.alert.version == case.revision.version and case.alert.judged_ns != text.judged_ns


async def set_status(name: str, settings: RtSettings, tracker: Tracker, case: Case, text: AlertText) -> None:
    """Give the ticket the status that is configured for its verdict, if one is.

    Raises:
        TransientError: not now.
    """
    status = settings.on_verdict.get(text.judgement, "") if text.judgement else ""
    if status and not await tracker.set_status(case.ticket.ticket, status):
        StatusNotSet(name, case.ticket.ticket, status).emit()
