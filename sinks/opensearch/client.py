"""The cluster as the sink sees it: a few calls, each with an `Answer` or an error that says what to do.

opensearch-py picks the node and knows the paths; its retries are off, because delivery owns back-off.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
import opensearchpy
import orjson
from opensearchpy import AsyncOpenSearch
from opensearchpy.serializer import Serializer

from sinks.opensearch.bulk import OPERATOR_RETRY_S, REASON_CHARS_MAX, WAIT
from sinks.opensearch.connection import Answer, BoundedConnection
from sinks.opensearch.settings import read_password, tls_context
from vedette.schema.errors import TransientError
from vedette.schema.limits import RETRY_ADVICE_S_MAX, SECOND_NS
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from pathlib import Path

    from sinks.opensearch.settings import OpenSearchSettings
    from vedette.runtime.clock import Clock

BULK_FILTER: Final = "errors,items.*._id,items.*.status,items.*.error"
"""What of a bulk answer is sent back: a seventh of it."""


class _Plain(Serializer):
    """Bodies that are bytes already go as they are, and answers come as they are."""

    mimetype = "application/json"

    def dumps(self, data: Any) -> Any:
        return data if isinstance(data, bytes) else orjson.dumps(data)

    def loads(self, s: Any) -> Any:
        return s


class Client:
    """A client of one cluster. Making it reads secrets and certificates; it connects when first asked.

    Every call raises TransientError if there is no answer.
    """

    def __init__(self, name: str, settings: OpenSearchSettings, folder: Path, clock: Clock) -> None:
        """Read what the settings name.

        Raises:
            ConfigError: a file can't be used.
        """
        password = read_password(name, settings, folder)
        context = tls_context(name, settings, folder)
        self._clock = clock
        self.stale = False
        """Whether password or certificates were not good enough: the files may hold others by now."""
        self._urls = ", ".join(settings.url)
        self._client = AsyncOpenSearch(
            hosts=[_node(url) for url in settings.url],
            connection_class=BoundedConnection,
            serializer=_Plain(),
            max_retries=0,
            retry_on_timeout=True,  # with no retries: a node that timed out is not asked next
            http_auth=(settings.username, password) if settings.username else None,
            http_compress=settings.compress,
            ssl_context=context,
            timeout=settings.timeout_s,
        )

    async def bulk(self, body: bytes) -> Answer:
        """Write documents."""
        return await self._answer(self._client.bulk(body=body, params={"filter_path": BULK_FILTER}))

    async def template(self, name: str) -> Answer:
        """Return an index template."""
        return await self._answer(self._client.indices.get_index_template(name=name))

    async def put_template(self, name: str, body: Mapping[str, Any]) -> Answer:
        """Install or replace an index template."""
        return await self._answer(self._client.indices.put_index_template(name=name, body=body))

    async def info(self) -> Answer:
        """Say what the server is."""
        return await self._answer(self._client.info())

    async def health(self) -> Answer:
        """Say how the cluster is."""
        return await self._answer(self._client.cluster.health())

    async def blocks(self, pattern: str) -> Answer:
        """Return the blocks that stand on indices; indices without any are named, too."""
        params = {"flat_settings": "true", "allow_no_indices": "true", "expand_wildcards": "open"}
        return await self._answer(self._client.indices.get_settings(index=pattern, params=params))

    async def close(self) -> None:
        """Close all connections, also to nodes that opensearch-py gave up for now; may be called again."""
        connections: list[Any] = self._client.transport.seed_connections
        for connection in connections:
            await connection.close()

    def refused(self, answer: Answer, doing: str, remedy: str = "") -> TransientError:
        """Say that a whole request was refused, and what to do; `remedy` where type and status do not tell."""
        kind, said = words(answer)
        text = f"{self._urls} answered {answer.status} to {doing}: {said}"
        pause_s = _retry_after_s(answer.retry_after, self._clock.now_ns())
        # What these say passes by itself.
        if answer.status >= _SERVER_ERROR or answer.status == _TOO_MANY_REQUESTS:
            remedy = ""
        else:
            remedy = remedy_for(answer.status, kind) or remedy
            pause_s = max(pause_s, OPERATOR_RETRY_S)
        return TransientError(f"{text}. {remedy}" if remedy else text, retry_after_s=pause_s)

    async def _answer(self, call: Awaitable[Answer]) -> Answer:
        try:
            answer = await call
        except opensearchpy.ConnectionError as error:
            self.stale = isinstance(error, opensearchpy.SSLError)
            raise TransientError(str(error.error)) from error
        self.stale = answer.status == UNAUTHORIZED
        return answer


OK: Final = 200
UNAUTHORIZED: Final = 401
NOT_FOUND: Final = 404
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_REMEDIES: Final = {
    401: "Correct username and password",
    403: "Give the role of Vedette's user the permissions of docs/sinks/opensearch.md",
    404: "Name the address of the OpenSearch itself, with the path of its proxy if it has one",
    **dict.fromkeys((301, 302, 303, 307, 308), "Name the address that it redirects to"),
}


class _Cause(msgspec.Struct):
    type: str = ""
    reason: str | None = None


class _Refusal(msgspec.Struct):
    error: _Cause | str = ""


_REFUSAL: Final = msgspec.json.Decoder(_Refusal)


def words(answer: Answer) -> tuple[str, str]:
    """The type of the error in an answer, "" if it names none, and the server's own words, made safe."""
    try:
        error = _REFUSAL.decode(answer.body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        error = ""
    if isinstance(error, _Cause):
        return error.type, safe_text(f"{error.type}: {error.reason}", REASON_CHARS_MAX)
    text = error or answer.body[: 4 * REASON_CHARS_MAX].decode("utf-8", "replace").strip()
    return "", safe_text(text or "nothing more", REASON_CHARS_MAX)


def remedy_for(status: int, kind: str) -> str:
    """What to do about a refusal by its type, or else by its status; "" if that is not known."""
    return WAIT.get(kind) or _REMEDIES.get(status, "")


def _retry_after_s(header: str, now_ns: int) -> float:
    """Seconds that a server asks to wait: RFC 9110, 10.2.3, in seconds or as a date; 1 if it does not say."""
    try:
        if header.isdecimal():
            pause_s = float(int(header))
        else:
            pause_s = parsedate_to_datetime(header).timestamp() - now_ns / SECOND_NS
    except (ValueError, OverflowError):
        pause_s = 1.0
    return min(max(pause_s, 1.0), RETRY_ADVICE_S_MAX)


def _node(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    return {"host": parts.hostname, "port": port, "use_ssl": secure, "url_prefix": parts.path.strip("/")}
