"""One connection: bytes to requests, one at a time, and answers in order.

Bytes that arrive while a request is waiting for its answer are kept unparsed, and reading is paused; what the parser
had already found behind that request waits in a queue. There is no task, future or timer per request. Ends with
`connection_lost`, which the service's sweep brings about if the client doesn't.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import httptools

from collector.sources.http.answers import (
    BODY_TIMEOUT,
    CONTINUE,
    CROWDED,
    DRAINING,
    HEAD_TIMEOUT,
    HEAD_TOO_LARGE,
    MALFORMED,
    UPGRADE,
    Answer,
    Persistence,
    Refusal,
)
from collector.sources.http.head import Fields, read_head
from collector.sources.http.request import Request

if TYPE_CHECKING:
    from collector.sources.http.service import Service

LINGER_S: Final = 2.0
"""After an answer that came before the body was read, how long that is still thrown away: a client that is writing when
the connection is reset would not see the answer (RFC 9112 §9.6)."""


class Connection(asyncio.Protocol):
    """One client. Also the parser's callbacks (`on_…`) and the peer that service and request know."""

    __slots__ = (
        "_advancing",
        "_choked",
        "_closing",
        "_deaf",
        "_ended",
        "_fed",
        "_fields",
        "_fresh",
        "_lost",
        "_parser",
        "_paused",
        "_pending",
        "_queue",
        "_request",
        "_service",
        "_since",
        "_stash",
        "_target",
        "_transport",
    )

    def __init__(self, service: Service) -> None:
        """Wait for the transport."""
        self._service = service
        self._transport: asyncio.Transport
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._target = b""
        self._fields: Fields = []
        self._fed = 0
        self._request: Request | None = None
        self._pending: Request | None = None
        self._queue: deque[Request] = deque()
        self._stash = b""
        self._since = service.now
        self._fresh = True
        self._advancing = False
        self._choked = False
        self._paused = False
        self._deaf = False
        self._ended = False
        self._closing = False
        self._lost = False

    # --- transport ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the others, or be sent away."""
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        service = self._service
        if service.draining or len(service.connections) >= service.settings.connections_max:
            answer = DRAINING if service.draining else CROWDED
            service.count(answer)
            self._transport.write(answer.forms[Persistence.CLOSE])
            self._closing = True
            transport.close()
        else:
            service.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse, or keep for later."""
        if self._deaf or self._closing:
            return
        if self._pending is not None or self._stash or self._choked:
            self._stash += data
            self._paused = True
            self._transport.pause_reading()
            return
        self._feed(data)

    def eof_received(self) -> bool:
        """The client has nothing more to say, but may still listen (not under TLS)."""
        self._ended = True
        busy = self._pending is not None or bool(self._stash)
        if not busy and (self._target or self._request is not None):
            self._service.tally["incomplete"] += 1
        return busy and not self._closing and self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Let go of everything but a request that is being stored."""
        self._lost = True
        self._service.leave(self)
        self._drop_unanswered()
        self._parser = None

    def pause_writing(self) -> None:
        """The client does not read its answers: no more of its requests."""
        self._choked = True

    def resume_writing(self) -> None:
        """Go on."""
        self._choked = False
        self._advance()

    # --- parser -------------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        assert self._parser is not None, "no bytes after the end"
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
            self._check_progress()
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__ or error
            if isinstance(cause, Refusal):
                self._reject(cause.answer)
            else:
                self._service.fail(cause)
                self._transport.abort()
        except Refusal as refusal:
            self._reject(refusal.answer)
        except httptools.HttpParserUpgrade:
            self._reject(UPGRADE)
        except httptools.HttpParserError:
            self._reject(MALFORMED)

    def _check_progress(self) -> None:
        """Bound what the parser holds without having called back."""
        if self._request is not None:
            self._request.check_framing(self._fed)
        elif not self._target:
            self._fed = 0
        elif self._fed > 2 * self._service.settings.header_bytes_max:
            raise Refusal(HEAD_TOO_LARGE)

    def on_url(self, url: bytes) -> None:
        """Begin a request."""
        if not self._target:
            self._since = self._service.now
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head (or a trailer, which is ignored)."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Read the head."""
        assert self._parser is not None, "the parser is calling"
        self._request = request = Request(self, self._service)
        target, self._target = self._target, b""
        fields, self._fields = self._fields, []
        self._fed = 0
        read_head(request, self._parser, target, fields)
        if request.expects:
            self._invite()

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        assert self._request is not None, "a body follows a head"
        self._request.take(data)

    def on_message_complete(self) -> None:
        """Have the request dealt with, when it is its turn."""
        request, self._request = self._request, None
        assert request is not None, "a request ends after its head"
        if self._fields:
            self._fields = []
        self._fed = 0
        self._enqueue(request)

    # --- turns --------------------------------------------------------------------------------------------------

    def _enqueue(self, request: Request) -> None:
        if self._pending is None and not self._queue and not self._choked:
            self._pending = request
            request.finish()
        else:
            self._queue.append(request)

    def answered(self, request: Request, answer: Answer) -> None:
        """Send the answer of the request whose turn it is; another's is no longer of interest."""
        if self._pending is not request:
            return
        self._pending = None
        self._service.count(answer)
        if self._lost:
            return
        persistence = Persistence.CLOSE if self._service.draining else request.persistence
        self._transport.write(answer.head(persistence) if request.headless else answer.forms[persistence])
        self._since = self._service.now
        self._fresh = False
        if persistence is Persistence.CLOSE:
            self._close()
        elif self._queue or self._stash or self._request is not None or self._ended or self._paused:
            self._advance()

    def _advance(self) -> None:
        """Deal with what has come in meanwhile. A loop, since an answer may be given at once and leads back here."""
        if self._advancing:
            return
        self._advancing = True
        while self._pending is None and not (self._choked or self._closing or self._lost):
            if self._queue:
                self._pending = self._queue.popleft()
                self._pending.finish()
            elif self._stash:
                data, self._stash = self._stash, b""
                self._feed(data)
            else:
                self._go_on()
                break
        self._advancing = False

    def _go_on(self) -> None:
        """Everything that came in is answered: read on, if there can be more."""
        if self._ended:
            self._close()
            return
        if self._request is not None:
            self._request.since = self._service.now
            if self._request.expects:
                self._invite()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _invite(self) -> None:
        """Tell a client that waits for it to send the body; not before the answers of earlier requests."""
        if self._request is not None and self._pending is None and not self._queue:
            self._request.expects = False
            self._transport.write(CONTINUE)

    # --- the end ------------------------------------------------------------------------------------------------

    def _reject(self, answer: Answer) -> None:
        """Answer what can't be read on, after what came before it, and end the connection."""
        request = self._request or Request(self, self._service)
        self._request = None
        self._deaf = True
        self._stash = b""
        request.abandon()
        request.persistence = Persistence.CLOSE
        request.answer = answer
        self._enqueue(request)

    def _close(self) -> None:
        """End after the last answer; linger if the client may still be writing."""
        self._closing = True
        self._since = self._service.now
        self._drop_unanswered()
        if not self._deaf or self._ended:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _drop_unanswered(self) -> None:
        if self._request is not None:
            self._request.abandon()
            self._request = None
        for request in self._queue:
            request.abandon()
        self._queue.clear()
        self._stash = b""

    def expire(self) -> None:
        """End what has taken too long."""
        service, settings = self._service, self._service.settings
        elapsed_s = service.now - self._since - service.sweep_s
        if self._closing:
            if elapsed_s > LINGER_S:
                self._transport.abort()
        elif self._pending is not None:
            self._pending.expire(service.now - self._pending.since - service.sweep_s)
        elif self._choked:
            if elapsed_s > settings.body_timeout_s:
                service.tally["unread"] += 1
                self._transport.abort()
        elif self._request is not None:
            self._expire_body(self._request, service.now - self._request.since - service.sweep_s)
        elif self._target:
            if elapsed_s > settings.header_timeout_s:
                self._reject(HEAD_TIMEOUT)
        elif elapsed_s > (settings.header_timeout_s if self._fresh else settings.idle_timeout_s):
            self._close()

    def _expire_body(self, request: Request, elapsed_s: float) -> None:
        settings = self._service.settings
        slow = elapsed_s > settings.header_timeout_s and request.size < elapsed_s * settings.body_bytes_per_s_min
        if slow or elapsed_s > settings.body_timeout_s:
            self._reject(BODY_TIMEOUT)

    def drain(self) -> None:
        """The port is closing: end if nothing is going on."""
        busy = self._pending is not None or self._request is not None or self._queue or self._stash or self._target
        if not busy and not self._closing:
            self._close()

    def cut(self) -> None:
        """End at once."""
        if self._pending is not None:
            self._service.unanswered += 1
        self._transport.abort()
