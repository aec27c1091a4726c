"""What the head of a request means: framing, persistence, authentication, routing (RFC 9110 and 9112).

llhttp has refused malformed syntax, repeated or signed Content-Length, Content-Length beside Transfer-Encoding, folded
lines and bare newlines before this is called; what it lets pass is refused here.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from collector.sources.http.answers import (
    CODING,
    DRAINING,
    EXPECTATION,
    HEAD_TOO_LARGE,
    HEALTHY,
    HOSTLESS,
    MALFORMED,
    NOT_ALLOWED,
    NOT_ALLOWED_HEALTH,
    NOT_FOUND,
    PONG,
    TRANSFER_CODING,
    UNAUTHORIZED,
    UPGRADE,
    VERSION,
    Answer,
    Persistence,
    Refusal,
)
from collector.sources.http.coding import CODINGS
from collector.sources.http.routes import path_of
from collector.sources.http.service import SMALL_BYTES
from vedette.schema.limits import KIB

if TYPE_CHECKING:
    from httptools import HttpRequestParser

    from collector.sources.http.request import Request

FIELDS_MAX: Final = 100
"""Header fields of a request; Falco sends 5, an API server 8, proxies add a dozen."""
DISCARD_BYTES_MAX: Final = 256 * KIB
"""A refused body up to this is read and thrown away, so that its connection can stay; for a larger one it is closed."""
_WATCHED: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"expect",
        b"host",
        b"transfer-encoding",
        b"upgrade",
    }
)
_HEALTH: Final = {b"/healthz": HEALTHY, b"/ping": PONG}

Fields = list[tuple[bytes, bytes]]


def read_head(request: Request, parser: HttpRequestParser, target: bytes, fields: Fields) -> None:
    """Fill in the request, reserve room for its body, or set its `answer`.

    Raises:
        Refusal: the connection can't be used after the answer.
    """
    settings = request.service.settings
    known = _known(target, fields, settings.header_bytes_max)
    method, version = parser.get_method(), parser.get_http_version()
    if version == "1.1":
        if b"host" not in known:
            raise Refusal(HOSTLESS)
    elif version != "1.0":
        raise Refusal(VERSION)
    if method == b"CONNECT" or (b"upgrade" in known and parser.should_upgrade()):
        raise Refusal(UPGRADE)
    request.length = _length(known, version)
    if parser.should_keep_alive():
        request.persistence = Persistence.KEEP if version == "1.1" else Persistence.KEEP_TOLD
    request.headless = method == b"HEAD"
    request.answer = _judge(request, method, target, known)
    expectation = known.get(b"expect")
    if expectation is not None and version == "1.1":
        if expectation.lower() != b"100-continue":
            raise Refusal(EXPECTATION)
        request.expects = True
    if request.answer is not None and (request.expects or request.length is None or request.length > DISCARD_BYTES_MAX):
        raise Refusal(request.answer)


def _known(target: bytes, fields: Fields, bytes_max: int) -> dict[bytes, bytes]:
    """Pick the fields that matter, each of which may come once."""
    known: dict[bytes, bytes] = {}
    size = len(target)
    for name, value in fields:
        size += len(name) + len(value)
        key = name.lower()
        if key in _WATCHED:
            if key in known:
                raise Refusal(MALFORMED)
            known[key] = value.rstrip()
    if size > bytes_max or len(fields) > FIELDS_MAX:
        raise Refusal(HEAD_TOO_LARGE)
    return known


def _length(known: dict[bytes, bytes], version: str) -> int | None:
    """Length of the body; None: it comes in chunks."""
    coding = known.get(b"transfer-encoding")
    if coding is None:
        return int(known.get(b"content-length", 0))
    if version == "1.0":
        # RFC 9112 §6.1: faulty framing, and a way to smuggle.
        raise Refusal(MALFORMED)
    if coding.lower() != b"chunked":
        raise Refusal(TRANSFER_CODING)
    return None


def _judge(request: Request, method: bytes, target: bytes, known: dict[bytes, bytes]) -> Answer | None:
    """Authenticate and route; reserve room. Returns the answer of a request that is not to be stored."""
    service = request.service
    path = target if target in service.routes else path_of(target)
    if path in _HEALTH:
        return _HEALTH[path] if method in (b"GET", b"HEAD") else NOT_ALLOWED_HEALTH
    if service.token is not None and not _is_bearer(known.get(b"authorization", b""), service.token):
        return UNAUTHORIZED
    route = service.routes.get(path)
    if route is None:
        return NOT_FOUND
    if method != b"POST":
        return NOT_ALLOWED
    request.route = route
    coding = known.get(b"content-encoding", b"").lower().decode("latin-1")
    if coding not in ("", "identity"):
        if coding not in CODINGS:
            return CODING
        request.coding = coding
    if service.draining and not route.waits:
        return DRAINING
    size = request.length or 0
    refused = service.weigh(route, size)
    if refused is None:
        request.reserve(min(size, SMALL_BYTES))
    return refused


def _is_bearer(value: bytes, token: bytes) -> bool:
    """Compare in constant time; the scheme's name has no case (RFC 9110 §11.1)."""
    scheme, _, credentials = value.partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(credentials.strip(), token)
