"""What the sink must know again after a crash: which ticket is whose, which revision it has, and what was under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from sinks.rt.text import Mark, Reference, reference_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vedette.runtime.notes import Notes
    from vedette.schema.alert import AlertRevision

DOUBTS: Final = "doubts"
_T = TypeVar("_T")


class Intent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something was about to be written with this mark, at this time (ns since the epoch)."""

    mark: str
    at_ns: int


class TicketNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ticket of a reference, 0 if none is known; `creating` while nobody knows whether there is one."""

    ticket: int = 0
    creating: Intent | None = None


class AlertNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest version of an alert that its ticket tells, 0 if none; `commenting` as `creating`.

    `judged_ns` is the time of the verdict that the ticket's status follows, 0 if none.
    """

    version: int = 0
    commenting: Intent | None = None
    judged_ns: int = 0


class Doubt(msgspec.Struct, frozen=True):
    """A ticket that was created twice perhaps: since when, and when to look next (ns since the epoch)."""

    tag: str
    since_ns: int
    next_ns: int


@dataclass(slots=True)
class Case:
    """One revision, and what is noted about its alert and its ticket."""

    revision: AlertRevision
    reference: Reference
    ticket: TicketNote
    alert: AlertNote

    @property
    def settled(self) -> bool:
        """Whether the ticket tells this revision or a newer one."""
        return self.alert.version >= self.revision.version


class Memory:
    """The notes of one sink. Every call raises TransientError while the journal can't be used."""

    def __init__(self, notes: Notes) -> None:
        """Keep everything in `notes`."""
        self._notes = notes

    async def recall(self, revision: AlertRevision) -> Case:
        """Return what is known about a revision."""
        reference = reference_of(revision)
        ticket, alert = _ticket_key(reference), _alert_key(revision.alert_id)
        found = await self._notes.read([ticket, alert])
        return Case(revision, reference, _read(found, ticket, TicketNote), _read(found, alert, AlertNote))

    async def keep(self, case: Case) -> None:
        """Note a case as it is now."""
        await self._notes.write(_changes(case))

    async def keep_doubtful(self, case: Case, doubts: Mapping[str, Doubt]) -> None:
        """Note a case and all doubts at once."""
        await self._notes.write({**_changes(case), DOUBTS: msgspec.json.encode(doubts)})

    async def learn(self, case: Case, marks: Iterable[Mark]) -> None:
        """Note a case, and all versions that its ticket was seen to tell."""
        versions: dict[str, int] = {}
        for mark in marks:
            versions[mark.alert_id] = max(mark.version, versions.get(mark.alert_id, 0))
        known = await self._notes.read([_alert_key(alert_id) for alert_id in versions])
        changes = _changes(case)
        for alert_id, version in versions.items():
            note = _read(known, _alert_key(alert_id), AlertNote)
            if version > note.version:
                learned = AlertNote(version, judged_ns=note.judged_ns)
                changes[_alert_key(alert_id)] = msgspec.json.encode(learned)
                if alert_id == case.revision.alert_id:
                    case.alert = learned
        await self._notes.write(changes)

    async def doubts(self) -> dict[str, Doubt]:
        """Return all doubts by reference."""
        return _read(await self._notes.read([DOUBTS]), DOUBTS, dict[str, Doubt])

    async def keep_doubts(self, doubts: Mapping[str, Doubt]) -> None:
        """Note all doubts."""
        await self._notes.write({DOUBTS: msgspec.json.encode(doubts) if doubts else None})


def _changes(case: Case) -> dict[str, bytes | None]:
    return {
        _ticket_key(case.reference): msgspec.json.encode(case.ticket),
        _alert_key(case.revision.alert_id): msgspec.json.encode(case.alert),
    }


def _ticket_key(reference: Reference) -> str:
    return f"ticket {reference.whole}"


def _alert_key(alert_id: str) -> str:
    return f"alert {alert_id}"


def _read(found: Mapping[str, bytes], key: str, kind: type[_T]) -> _T:
    return msgspec.json.decode(found[key], type=kind) if key in found else kind()
