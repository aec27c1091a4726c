"""What the port says back: answers rendered once, so that sending one is sending bytes.

Bodies are JSON and constant but for two counts: nothing that a client sent is ever echoed. Status codes after RFC 9110
and 9111, 429 and 431 after RFC 6585.
"""

from __future__ import annotations

import json
import math
from enum import IntEnum
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vedette.schema.errors import TransientError

RETRY_AFTER_S: Final = 1
"""Advised pause where nobody knows better. An API server obeys it ten times per attempt (KUBE.md §3)."""
RETRY_AFTER_S_MAX: Final = 30
DRAIN_RETRY_AFTER_S: Final = 5
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Persistence(IntEnum):
    """What becomes of the connection after an answer; also the index of the rendered form."""

    KEEP = 0
    """HTTP/1.1: stays open without a word."""
    CLOSE = 1
    KEEP_TOLD = 2
    """HTTP/1.0 with keep-alive: the client must be told."""


_CONNECTION: Final = (b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n")


class Answer:
    """One answer in its three rendered forms. `label` is a constant that counts it in metrics."""

    __slots__ = ("forms", "label", "status")

    def __init__(self, status: HTTPStatus, label: str, body: bytes, *fields: str) -> None:
        """Render `body` with further header `fields` (`Name: value`)."""
        self.status = status
        self.label = label
        head = (f"HTTP/1.1 {status.value} {status.phrase}", "Content-Type: application/json", *fields)
        head = (*head, f"Content-Length: {len(body)}", "")
        start = "\r\n".join(head).encode("ascii")
        self.forms = tuple(start + connection + b"\r\n" + body for connection in _CONNECTION)

    def head(self, persistence: Persistence) -> bytes:
        """Render without the body, for HEAD."""
        form = self.forms[persistence]
        return form[: form.index(b"\r\n\r\n") + 4]


class Refusal(Exception):  # noqa: N818 - not an error of ours: the way out of the parser's callbacks
    """A request that is answered before it was read; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        """Carry the answer."""
        super().__init__(answer.label)
        self.answer = answer


def refusal(status: HTTPStatus, label: str, error: str, remedy: str, *fields: str) -> Answer:
    """Make an answer that says what was wrong and what to do."""
    return Answer(status, label, json.dumps({"error": error, "remedy": remedy}).encode("ascii"), *fields)


@lru_cache(maxsize=4096)
def accepted(records: int, duplicates: int) -> Answer:
    """All `records` of a request are durable; `duplicates` of them had been stored before."""
    body = b'{"accepted":%d,"duplicates":%d}' % (records, duplicates)
    return Answer(HTTPStatus.OK, "accepted", body)


@lru_cache(maxsize=64)
def _not_stored(waited: bool, retry_after_s: int) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if waited else HTTPStatus.TOO_MANY_REQUESTS
    return refusal(
        status,
        "journal",
        "the records could not be stored",
        "send them again after Retry-After seconds; the operator finds the reason in Vedette's log (disk full?)",
        f"Retry-After: {retry_after_s}",
    )


def not_stored(error: TransientError, *, waited: bool) -> Answer:
    """Answer for a journal that can't be written: 503 after a wait in vain, else 429; both with Retry-After."""
    return _not_stored(waited, min(max(math.ceil(error.retry_after_s), RETRY_AFTER_S), RETRY_AFTER_S_MAX))


def _too_much(status: HTTPStatus) -> Answer:
    return refusal(
        status,
        "no_room",
        "there is no room now: records come faster than they can be stored, or can't be stored at all",
        "send it again after Retry-After seconds",
        f"Retry-After: {RETRY_AFTER_S}",
    )


HEALTHY: Final = Answer(HTTPStatus.OK, "health", b'{"status":"ok"}')
PONG: Final = Answer(HTTPStatus.OK, "health", b"pong\n")
MALFORMED: Final = refusal(
    HTTPStatus.BAD_REQUEST, "malformed", "this is not a well-formed HTTP/1.1 request", "send HTTP/1.1 as in RFC 9112"
)
HOSTLESS: Final = refusal(
    HTTPStatus.BAD_REQUEST, "malformed", "an HTTP/1.1 request needs exactly one Host field", "send one (RFC 9112, 3.2)"
)
UPGRADE: Final = refusal(
    HTTPStatus.BAD_REQUEST, "upgrade", "this port speaks HTTP/1.1 only", "send no Upgrade, CONNECT or HTTP/2 preface"
)
VERSION: Final = refusal(
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "version", "only HTTP/1.0 and HTTP/1.1 are served", "send HTTP/1.1"
)
UNAUTHORIZED: Final = refusal(
    HTTPStatus.UNAUTHORIZED,
    "unauthorized",
    "this port asks for a bearer token",
    "send Authorization: Bearer with the token of this source's bearer_token",
    'WWW-Authenticate: Bearer realm="vedette"',
)
NOT_FOUND: Final = refusal(
    HTTPStatus.NOT_FOUND, "unknown_path", "nothing is served at this path", "post to one of the source's routes"
)
NOT_ALLOWED: Final = refusal(
    HTTPStatus.METHOD_NOT_ALLOWED, "method", "records are taken by POST", "use POST", "Allow: POST"
)
NOT_ALLOWED_HEALTH: Final = refusal(
    HTTPStatus.METHOD_NOT_ALLOWED, "method", "this path tells whether the port is up", "use GET", "Allow: GET, HEAD"
)
HEAD_TIMEOUT: Final = refusal(
    HTTPStatus.REQUEST_TIMEOUT, "header_timeout", "the request's head took too long", "send it in one piece"
)
BODY_TIMEOUT: Final = refusal(
    HTTPStatus.REQUEST_TIMEOUT, "body_timeout", "the request's body took too long", "send smaller bodies, or faster"
)
TOO_LARGE: Final = refusal(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_large",
    "the body is larger than body_bytes_max",
    "send smaller batches, or raise body_bytes_max of this source",
)
EXPANDS: Final = refusal(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "expands",
    "the body expands beyond body_bytes_max or beyond the ratio that logs reach",
    "send smaller batches",
)
DENSE: Final = refusal(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "dense",
    "the body has more separators than logs of its size",
    "send smaller batches",
)
FRAGMENTED: Final = refusal(
    HTTPStatus.BAD_REQUEST, "fragmented", "the body comes with more framing than content", "send larger chunks"
)
CODING: Final = refusal(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "coding",
    "this Content-Encoding is not known",
    "send the body as it is, or with one of gzip, deflate, zstd",
    "Accept-Encoding: gzip, deflate, zstd",
)
CORRUPT: Final = refusal(
    HTTPStatus.BAD_REQUEST,
    "corrupt",
    "the body is not what its Content-Encoding says, or is cut short",
    "send it whole; zstd with a window of at most 8 MiB and without a dictionary",
)
TRANSFER_CODING: Final = refusal(
    HTTPStatus.NOT_IMPLEMENTED, "coding", "only chunked is known as Transfer-Encoding", "use Content-Encoding"
)
EXPECTATION: Final = refusal(
    HTTPStatus.EXPECTATION_FAILED, "malformed", "only 100-continue can be expected", "send no other Expect"
)
HEAD_TOO_LARGE: Final = refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    "the request's head is longer than header_bytes_max or has too many fields",
    "send fewer or shorter fields",
)
NO_ROOM: Final = _too_much(HTTPStatus.TOO_MANY_REQUESTS)
NO_ROOM_WAITED: Final = _too_much(HTTPStatus.SERVICE_UNAVAILABLE)
UNSETTLED: Final = refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unsettled",
    "storing the records takes too long; they may still be stored",
    "send them again: what is stored twice is recognised",
    f"Retry-After: {RETRY_AFTER_S}",
)
CROWDED: Final = refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "connections",
    "too many connections are open",
    "reuse connections, or raise connections_max of this source",
    f"Retry-After: {RETRY_AFTER_S}",
)
DRAINING: Final = refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "draining",
    "this port is closing",
    "send it again on a new connection",
    f"Retry-After: {DRAIN_RETRY_AFTER_S}",
)
