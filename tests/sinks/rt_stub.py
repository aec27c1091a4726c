"""Request Tracker as far as the sink speaks to it, in memory, at its HTTP boundary: answers as RT 5.0.3 gives them.

    async with RtStub() as stub:
        stub.fault = lambda request: Fault.LOSE if request.creates else None
        ...                                        # creates happen, and nobody hears of it
        assert stub.open_tickets()[0].comments == []

`python rt_stub.py --port 8080` runs one until it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import re
import ssl
import sys
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    import trustme

QUEUES: Final = {"General": 1, "SOC": 3, "Visible": 7}
RIGHTS: Final = frozenset(
    {"SeeQueue", "CreateTicket", "ShowTicket", "CommentOnTicket", "ModifyTicket", "SeeCustomField"}
)
INACTIVE: Final = frozenset({"resolved", "rejected", "deleted"})
STATUSES: Final = INACTIVE | {"new", "open", "stalled"}
HTML: Final = "<!DOCTYPE html><html><title>Login</title></html>"


class Fault(Enum):
    """What goes wrong with one request."""

    DROP = auto()
    """The connection ends before anything was done."""
    LOSE = auto()
    """It is done, and the connection ends before the answer."""
    HANG = auto()
    """Nothing is done, nothing is answered."""
    LATE = auto()
    """The connection ends; it is done when `RtStub.release` is called."""
    LOGIN_PAGE = auto()
    """Not done; answered 200 with HTML."""
    GARBAGE = auto()
    """Done; answered 200 with JSON of another kind."""


class Request(NamedTuple):
    method: str
    path: str
    params: dict[str, str]
    body: Any

    @property
    def creates(self) -> bool:
        return (self.method, self.path) == ("POST", "/ticket")

    @property
    def comments(self) -> bool:
        return self.method == "POST" and self.path.endswith("/comment")

    @property
    def writes(self) -> bool:
        return self.method != "GET"


class Text(NamedTuple):
    creator: str
    subject: str
    content: str


@dataclass
class StubTicket:
    id: int
    queue: str
    subject: str
    reference: str
    creator: str
    status: str = "new"
    kept: int = 0
    texts: list[Text] = field(default_factory=list[Text])

    @property
    def comments(self) -> list[Text]:
        return self.texts[1:]


Answer = tuple[int, Any]


@dataclass
class RtStub:
    """A tracker with a few queues; `rights` are the account's in SOC. It sees Visible, and has no rights in General."""

    field_name: str = "Vedette"
    username: str = "vedette"
    password: str = "pässword: x"
    token: str = "1-14-abcdef"
    port: int = 0
    certificate: trustme.LeafCert | None = None
    rights: set[str] = field(default_factory=lambda: set(RIGHTS))
    fault: Callable[[Request], Fault | Answer | None] = lambda _: None
    tickets: dict[int, StubTicket] = field(default_factory=dict[int, StubTicket])
    requests: list[Request] = field(default_factory=list[Request])
    created: int = 0
    late: list[Request] = field(default_factory=list[Request])

    # --- what tests ask -----------------------------------------------------------------------------------------------
    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open_tickets(self) -> list[StubTicket]:
        """All that are neither merged nor deleted."""
        return [ticket for ticket in self.tickets.values() if not ticket.kept and ticket.status != "deleted"]

    def release(self) -> None:
        """Carry out what was held back."""
        while self.late:
            self.answer(self.late.pop(0))

    def merge(self, ticket_id: int, kept: int) -> None:
        self.tickets[kept].texts += self.tickets[ticket_id].texts
        self.tickets[ticket_id].kept = kept

    # --- the server ---------------------------------------------------------------------------------------------------
    async def __aenter__(self) -> Self:
        self._open: set[asyncio.Task[None]] = set()
        tls = None
        if self.certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.certificate.configure_cert(tls)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 24, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        parts = urlsplit(target)
        params = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/REST/2.0")
        request = Request(method, path, params, json.loads(body) if body else None)
        self.requests.append(request)
        if self._logged_in(headers.get("authorization", "")):
            answer = await self._faulty(request, reader)
        else:
            answer = 401, {"message": "Unauthorized"}
        if answer is not None:
            status, value = answer
            content = (value if isinstance(value, str) else json.dumps(value)).encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
                "Location: /NoAuth/Login.html\r\nRetry-After: 7\r\nConnection: close\r\n\r\n".encode()
                + content
            )
            await writer.drain()

    def _logged_in(self, authorization: str) -> bool:
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return authorization in {f"Basic {basic}", f"token {self.token}"}

    async def _faulty(self, request: Request, reader: asyncio.StreamReader) -> Answer | None:
        fault = self.fault(request)
        if isinstance(fault, tuple):
            return fault
        if fault is Fault.HANG:
            await reader.read()
        if fault is Fault.LATE:
            self.late.append(request)
        if fault is Fault.LOGIN_PAGE:
            return 200, HTML
        if fault in {Fault.DROP, Fault.HANG, Fault.LATE}:
            return None
        answer = self.answer(request)
        return {Fault.LOSE: None, Fault.GARBAGE: (200, {"items": "many"})}.get(fault, answer) if fault else answer

    # --- REST 2 -------------------------------------------------------------------------------------------------------
    def answer(self, request: Request) -> Answer:
        """Do what a request asks for."""
        if request.path == "/rt":
            return 200, {"Version": "5.0.3"}
        if found := re.fullmatch(r"/queue/([^/]+)", request.path):
            return self._queue(unquote(found[1]))
        if request.path == "/tickets":
            return self._search(request)
        if request.creates:
            return self._create(request.body)
        if found := re.fullmatch(r"/ticket/(\d+)(/comment|/attachments|)", request.path):
            return self._ticket(request, int(found[1]), found[2])
        return 404, {"message": "Not Found"}

    def _queue(self, name: str) -> Answer:
        if name != "SOC" or "SeeQueue" not in self.rights:
            return 403, {"message": "Forbidden"}
        seen = [{"name": self.field_name, "id": "2"}] if self.field_name and "SeeCustomField" in self.rights else []
        links = [{"ref": "self", "id": 3}] + ([{"ref": "create"}] if "CreateTicket" in self.rights else [])
        return 200, {"id": 3, "Name": "SOC", "TicketCustomFields": seen, "_hyperlinks": links}

    def _create(self, body: dict[str, Any]) -> Answer:
        if body["Queue"] != "SOC" or "CreateTicket" not in self.rights:
            return 403, {"message": f"No permission to create tickets in the queue '{body['Queue']}'"}
        self.created += 1
        number = self.created
        reference = body["CustomFields"].get(self.field_name, "")
        ticket = StubTicket(number, "SOC", body["Subject"], reference, self.username)
        ticket.texts.append(Text(self.username, _folded(body["Subject"]), body["Content"]))
        self.tickets[number] = ticket
        return 201, {"id": str(number), "type": "ticket"}

    def _ticket(self, request: Request, number: int, part: str) -> Answer:
        ticket = self.tickets.get(number)
        while ticket is not None and ticket.kept:
            ticket = self.tickets[ticket.kept]
        seen = ticket is not None and self._sees(ticket)
        if part == "/attachments":
            return self._attachments(request, ticket if seen else None)
        if part == "/comment":
            return self._comment(request.body, ticket if seen else None)
        if ticket is None:
            return 404, {"message": "Not Found"}
        if not seen:
            return 403, {"message": "Forbidden"}
        return self._change(request.body, ticket) if request.method == "PUT" else (200, self._shown(ticket, whole=True))

    def _comment(self, body: dict[str, Any], ticket: StubTicket | None) -> Answer:
        if ticket is None or ticket.queue != "SOC" or "CommentOnTicket" not in self.rights:
            return 400, {"message": "Permission Denied"}
        ticket.texts.append(Text(self.username, _folded(body["Subject"]), body["Content"]))
        said = ["Comments added"]
        if body.get("Status"):
            said += self._change({"Status": body["Status"]}, ticket)[1]
        return 201, said

    def _change(self, body: dict[str, Any], ticket: StubTicket) -> Answer:
        if "ModifyTicket" not in self.rights:
            return 200, ["Permission Denied"]
        if "Status" in body:
            if body["Status"] not in STATUSES:
                return 200, [f"Status '{body['Status']}' isn't a valid status for this ticket."]
            ticket.status = body["Status"]
            return 200, ["Status changed"]
        if body["MergeInto"] == ticket.id:
            return 200, ["Can't merge a ticket into itself"]
        self.merge(ticket.id, body["MergeInto"])
        return 200, ["Merge Successful"]

    def _sees(self, ticket: StubTicket) -> bool:
        return ticket.queue == "Visible" or (ticket.queue == "SOC" and "ShowTicket" in self.rights)

    def _search(self, request: Request) -> Answer:
        found = [ticket for ticket in self.open_tickets() if self._sees(ticket)]
        query = request.params["query"]
        if match := re.fullmatch(r"'CF\.\{(.+)\}' = '(.*)'", query):
            by_field = match[1] == self.field_name
            found = [ticket for ticket in found if by_field and ticket.reference.lower() == match[2].lower()]
        elif match := re.fullmatch(r"Subject LIKE '(.*)'", query):
            found = [ticket for ticket in found if match[1].lower() in ticket.subject.lower()]
        elif match := re.fullmatch(r"id = (\d+) AND Status = '__Inactive__'", query):
            found = [ticket for ticket in found if ticket.id == int(match[1]) and ticket.status in INACTIVE]
        elif query == "Queue = 'SOC'":
            found = [ticket for ticket in found if ticket.queue == "SOC"]
        else:
            return 400, {"message": f"Wrong query, expecting a OPERATOR in '{query}'"}
        return 200, {"items": [self._shown(ticket) for ticket in found[: int(request.params["per_page"])]]}

    def _attachments(self, request: Request, ticket: StubTicket | None) -> Answer:
        page, per_page = int(request.params["page"]), int(request.params["per_page"])
        texts = ticket.texts if ticket else []
        ordered = texts[::-1] if request.params["order"] == "DESC" else texts
        items = [
            {"id": str(number), "Subject": text.subject, "Content": text.content, "Creator": {"id": text.creator}}
            for number, text in enumerate(ordered[(page - 1) * per_page : page * per_page], start=1)
        ]
        return 200, {"items": items}

    def _shown(self, ticket: StubTicket, *, whole: bool = False) -> dict[str, Any]:
        own = self.rights if ticket.queue == "SOC" else set[str]()
        links = [{"ref": "comment"}] if "CommentOnTicket" in own else []
        links += [{"ref": "lifecycle", "to": "open"}] if "ModifyTicket" in own else []
        return {
            "id": ticket.id if whole else str(ticket.id),
            "Subject": ticket.subject,
            "Status": ticket.status,
            "Queue": {"id": str(QUEUES[ticket.queue])},
            "Creator": {"id": ticket.creator},
            "_hyperlinks": links,
        }


def _folded(subject: str) -> str:
    """As a mail header keeps it."""
    return subject.replace(" [vedette ", "\n [vedette ") if len(subject) > 78 else subject


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    async with RtStub(port=parser.parse_args().port) as stub:
        sys.stdout.write(f"{stub.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
