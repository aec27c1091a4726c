"""Request Tracker's REST 2 as far as tickets of alerts need it, and what its answers mean.

Facts are from RT 5.0.3 as it runs: searches leave out deleted and merged tickets, a merged ticket's number answers with
the ticket that was kept, refused changes answer 200 with a sentence, a custom field that is unknown is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote

import msgspec

from sinks.rt.client import SETUP_RETRY_S, Answer, RestClient, UnclearError
from sinks.rt.text import Mark, Reference, read_mark
from vedette.schema.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from sinks.rt.settings import RtSettings

PAGE: Final = 100
"""Items that REST 2 gives at a time at most."""
PAGES_MAX: Final = 50
"""Pages of a ticket's texts that are looked through for marks, from the newest on."""
_MALFORMED: Final = frozenset({400, 413, 422})
_T = TypeVar("_T")


class _Named(msgspec.Struct, frozen=True):
    name: str = ""
    ref: str = ""
    id: str | int = ""


class _Item(msgspec.Struct, frozen=True):
    id: int
    subject: str = msgspec.field(default="", name="Subject")
    content: str | None = msgspec.field(default=None, name="Content")
    creator: _Named = msgspec.field(default=_Named(), name="Creator")
    status: str = msgspec.field(default="", name="Status")
    queue: _Named = msgspec.field(default=_Named(), name="Queue")
    fields: list[_Named] = msgspec.field(default_factory=list[_Named], name="TicketCustomFields")
    links: list[_Named] = msgspec.field(default_factory=list[_Named], name="_hyperlinks")

    def offers(self, ref: str) -> bool:
        """Whether the account may do this with it."""
        return any(link.ref == ref for link in self.links)


class _Items(msgspec.Struct, frozen=True):
    items: list[_Item]


class Queue(NamedTuple):
    """The queue as the account sees it."""

    id: int
    may_create: bool
    has_field: bool


class Ticket(NamedTuple):
    """A ticket that comments can go to."""

    id: int
    status: str
    creator: str


class Tracker:
    """What can be asked of one queue's tracker. Every call raises as `RestClient.ask` does."""

    def __init__(self, client: RestClient, settings: RtSettings) -> None:
        """Ask through `client`."""
        self._client = client
        self._settings = settings

    async def version(self) -> str:
        """Log in, and return the version of RT."""
        answer = await self._client.ask("GET", "/rt")
        return str(_converted(self._done(answer), dict[str, Any]).get("Version", "unknown"))

    async def queue(self) -> Queue:
        """Look at the queue.

        Raises:
            TransientError: it does not exist, or the account does not see it.
        """
        answer = await self._client.ask("GET", f"/queue/{quote(self._settings.queue, safe='')}")
        if not answer.ok:
            raise self._lacks("SeeQueue", answer, "; or the queue does not exist: create it")
        queue = _converted(answer.value, _Item)
        names = {field.name for field in queue.fields}
        return Queue(queue.id, queue.offers("create"), self._settings.reference_field in names)

    # --- finding ------------------------------------------------------------------------------------------------------
    async def find(self, reference: Reference, *, by_field: bool, by_subject: bool) -> list[int]:
        """Return the tickets with this reference, oldest first; not the deleted ones."""
        found: set[int] = set()
        if by_field:
            query = f"'CF.{{{self._settings.reference_field}}}' = '{reference.whole}'"
            found |= {item.id for item in await self._search(query)}
        if by_subject:
            items = await self._search(f"Subject LIKE '{reference.tag}'")
            found |= {item.id for item in items if item.subject.rstrip().endswith(reference.tag)}
        return sorted(found)

    async def read(self, ticket_id: int) -> Ticket | None:
        """Return the ticket, or the one that it was merged into; None if it is gone or was moved out of reach.

        Raises:
            TransientError: the account lacks a right in the queue itself.
        """
        answer = await self._client.ask("GET", f"/ticket/{ticket_id}")
        if answer.status == 404:  # noqa: PLR2004 - HTTP's not found
            return None
        if not answer.ok:
            await self._check_sight(answer)
            return None
        ticket = _converted(answer.value, _Item)
        if ticket.status == "deleted":
            return None
        if not ticket.offers("comment"):
            if str(ticket.queue.id) != str((await self.queue()).id):
                return None
            raise self._lacks("CommentOnTicket", answer)
        return Ticket(ticket.id, ticket.status, str(ticket.creator.id))

    async def is_inactive(self, ticket_id: int) -> bool:
        """Whether people have closed the ticket, by whatever status its lifecycle has for that."""
        return bool(await self._search(f"id = {ticket_id} AND Status = '__Inactive__'"))

    async def any_ticket(self) -> _Item | None:
        """Return a ticket of the queue with what may be done with it, if the account sees one."""
        items = await self._search(f"Queue = '{self._settings.queue}'", fields="_hyperlinks", per_page=1)
        return items[0] if items else None

    async def marks(self, ticket_id: int) -> list[tuple[str, Mark]]:
        """Return who wrote which mark into the subject of a comment, newest first."""
        marks: list[tuple[str, Mark]] = []
        for page in range(1, PAGES_MAX + 1):
            items = await self._attachments(ticket_id, "Subject,Creator", page, PAGE, order="DESC")
            read = ((str(item.creator.id), read_mark(item.subject)) for item in items)
            marks += [(creator, mark) for creator, mark in read if mark is not None]
            if len(items) < PAGE:
                break
        return marks

    async def opening(self, ticket_id: int) -> Mark | None:
        """Return the mark on the first line of the ticket's own text: only tickets that Vedette created have one."""
        items = await self._attachments(ticket_id, "Content", 1, 1)
        lines = (items[0].content or "").splitlines() if items else []
        return read_mark(lines[0]) if lines else None

    # --- writing ------------------------------------------------------------------------------------------------------
    async def create(self, reference: Reference, subject: str, content: str) -> int:
        """Create a ticket, and return its number.

        Raises:
            PermanentError: it will never be accepted.
        """
        body = {
            "Queue": self._settings.queue,
            "Subject": subject,
            "Content": content,
            "ContentType": "text/plain",
            "CustomFields": {self._settings.reference_field: reference.whole},
        }
        answer = await self._client.ask("POST", "/ticket", body=body)
        if answer.status in _MALFORMED:
            self._refuse("a ticket", answer)
        if not answer.ok:
            raise self._lacks("CreateTicket", answer)
        return _converted(answer.value, _Item).id

    async def comment(self, ticket_id: int, subject: str, content: str, status: str = "") -> None:
        """Comment on a ticket, and try to give it a status.

        Raises:
            PermanentError: it will never be accepted. TransientError: the ticket was taken away just now.
        """
        body = {"Subject": subject, "Content": content, "ContentType": "text/plain"}
        answer = await self._client.ask(
            "POST", f"/ticket/{ticket_id}/comment", body=body | ({"Status": status} if status else {})
        )
        if answer.status in _MALFORMED and "Permission" not in answer.words:
            self._refuse(f"a comment on ticket {ticket_id}", answer)
        if not answer.ok:
            raise TransientError(f"Request Tracker does not take comments on ticket {ticket_id} now: {answer.words}")
        _converted(answer.value, list[str])

    async def set_status(self, ticket_id: int, status: str) -> bool:
        """Give a ticket a status; return whether it has it."""
        await self._client.ask("PUT", f"/ticket/{ticket_id}", body={"Status": status})
        now = await self.read(ticket_id)
        return now is not None and now.status.lower() == status.lower()

    async def merge(self, ticket_id: int, kept: int) -> bool:
        """Make one ticket part of another; return whether it is."""
        await self._client.ask("PUT", f"/ticket/{ticket_id}", body={"MergeInto": kept})
        now = await self.read(ticket_id)
        return now is not None and now.id == kept

    # --- answers ------------------------------------------------------------------------------------------------------
    async def _search(self, query: str, fields: str = "Subject", per_page: int = PAGE) -> list[_Item]:
        answer = await self._client.ask("GET", "/tickets", query=query, fields=fields, per_page=per_page)
        return _converted(self._done(answer), _Items).items

    async def _attachments(
        self, ticket_id: int, fields: str, page: int, per_page: int, order: str = "ASC"
    ) -> list[_Item]:
        params: dict[str, str | int] = {"fields": fields, "page": page, "per_page": per_page}
        answer = await self._client.ask("GET", f"/ticket/{ticket_id}/attachments", orderby="id", order=order, **params)
        return _converted(self._done(answer), _Items).items

    async def _check_sight(self, answer: Answer) -> None:
        """Tell a ticket that was moved where the account sees nothing from an account that sees no ticket at all.

        Raises:
            TransientError: the latter.
        """
        if await self.any_ticket() is None:
            raise self._lacks("ShowTicket", answer)

    def _done(self, answer: Answer) -> Any:
        if answer.ok:
            return answer.value
        message = (
            f"Request Tracker refused a question ({answer.status}): {answer.words}. Check its version (5.0.3 works)"
        )
        raise TransientError(message, retry_after_s=SETUP_RETRY_S)

    def _lacks(self, right: str, answer: Answer, otherwise: str = "") -> TransientError:
        who, queue = self._settings.account, self._settings.queue
        said = f": {answer.words}" if not answer.ok else ""
        return TransientError(
            f"Request Tracker refused {who} the queue {queue} ({answer.status}{said})."
            f" Grant the right {right} in this queue{otherwise}",
            retry_after_s=SETUP_RETRY_S,
        )

    def _refuse(self, what: str, answer: Answer) -> NoReturn:
        raise PermanentError(f"Request Tracker refused {what} ({answer.status}): {answer.words}")


def _converted(value: Any, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        message = f"Request Tracker answered with JSON that RT 5 does not send ({error}). Check its version and url"
        raise UnclearError(message, retry_after_s=SETUP_RETRY_S) from error
