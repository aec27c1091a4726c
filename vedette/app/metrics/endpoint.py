"""What the port answers: `/metrics`, `/healthz`, `/readyz`, and nothing else.

An ASGI application. Each answer closes its connection, so that the port can bound the life of a connection as a whole.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vedette.app.metrics.scraper import OPENMETRICS, PLAIN

if TYPE_CHECKING:
    from vedette.app.metrics.families import Live
    from vedette.app.metrics.scraper import Scraper

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

STUCK_S: Final = 60.0
"""Detection that has records waiting and finished none for this long counts as stuck."""
SILENT_S: Final = 15.0
"""A journal that nothing entered for this long is not being written: a healthy one gets a heartbeat each second."""
_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"


class Answer(NamedTuple):
    """A whole answer."""

    status: HTTPStatus
    content_type: str
    body: bytes
    field: tuple[bytes, bytes] | None = None


_HEALTHY: Final = Answer(HTTPStatus.OK, _TEXT, b"ok\n")
_UNKNOWN: Final = Answer(HTTPStatus.NOT_FOUND, _TEXT, b"there is /metrics, /healthz and /readyz\n")
_METHOD: Final = Answer(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"use GET\n", (b"allow", b"GET, HEAD"))
_TOKEN: Final = Answer(
    HTTPStatus.UNAUTHORIZED,
    _TEXT,
    b"send the token of metrics.bearer_token as `Authorization: Bearer ...`\n",
    (b"www-authenticate", b"Bearer"),
)


@dataclass(slots=True)
class Progress:
    """Notices that something stands still for more than `limit_s`, by looking at it now and then."""

    limit_s: float
    seq: int = -1
    since_s: float = 0.0

    def stuck(self, seq: int, now_s: float, *, due: bool = True) -> bool:
        """Whether the same record has been the last one for too long although more are `due`."""
        if seq != self.seq or not due:
            self.seq, self.since_s = seq, now_s
        return now_s - self.since_s > self.limit_s


class Endpoint:
    """The application. `live` says what the agent knows itself, `clock` is monotonic in seconds."""

    def __init__(
        self, scraper: Scraper, live: Callable[[], Live], token: bytes | None, clock: Callable[[], float]
    ) -> None:
        """Serve what `scraper` makes; `token` is what scrapers must send, None if nothing."""
        self._scraper = scraper
        self._live = live
        self._token = token
        self._clock = clock
        self._detection = Progress(STUCK_S)
        self._intake = Progress(SILENT_S)
        self.stopping = False
        """Set when the agent takes nothing more in."""

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        head = scope["method"] == "HEAD"
        answer = await self._answer(scope) if head or scope["method"] == "GET" else _METHOD
        fields = [
            (b"content-type", answer.content_type.encode("ascii")),
            (b"content-length", str(len(answer.body)).encode("ascii")),
            (b"connection", b"close"),
        ]
        if answer.field is not None:
            fields.append(answer.field)
        await send({"type": "http.response.start", "status": int(answer.status), "headers": fields})
        await send({"type": "http.response.body", "body": b"" if head else answer.body})

    async def _answer(self, scope: Scope) -> Answer:
        match scope["path"]:
            case "/metrics":
                return await self._metrics(dict(scope["headers"]))
            case "/healthz":
                return _HEALTHY
            case "/readyz":
                return await self._ready()
            case _:
                return _UNKNOWN

    async def _metrics(self, fields: dict[bytes, bytes]) -> Answer:
        sent = fields.get(b"authorization", b"")
        if self._token is not None and not hmac.compare_digest(sent, b"Bearer " + self._token):
            return _TOKEN
        wants_openmetrics = b"application/openmetrics-text" in fields.get(b"accept", b"")
        content_type = OPENMETRICS if wants_openmetrics else PLAIN
        return Answer(HTTPStatus.OK, content_type, await self._scraper.page(content_type))

    async def _ready(self) -> Answer:
        reasons = await self._reasons()
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        body = {"ready": not reasons, **({"reasons": reasons} if reasons else {})}
        return Answer(status, _JSON, json.dumps(body).encode("ascii"))

    async def _reasons(self) -> list[str]:
        """Why the agent is not ready; constants, because the path is open to everybody."""
        if self.stopping:
            return ["the agent is stopping"]
        reasons: list[str] = []
        works = self._live().intake_works
        if not works:
            reasons.append("the journal can't be written: nothing is acknowledged (the log says why; disk full?)")
        reading = await self._scraper.reading()
        if reading is None:
            return [*reasons, "the journal can't be read (the log says why)"]
        if self._intake.stuck(reading.last_seq, self._clock(), due=works):
            reasons.append(f"nothing entered the journal for more than {SILENT_S:.0f} s: does the disk hang?")
        if self._detection.stuck(reading.cursor.seq, self._clock(), due=reading.waiting > 0):
            reasons.append(f"detection has stood still for more than {STUCK_S:.0f} s although records are waiting")
        return reasons
