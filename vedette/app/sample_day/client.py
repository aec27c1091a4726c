"""Posts to an agent's port as a patient sender does: what isn't taken now is sent again, a bounded number of times."""

from __future__ import annotations

import asyncio
import http.client
import urllib.parse
from typing import Final, NamedTuple

from vedette.runtime.backoff import Backoff
from vedette.schema.errors import PermanentError, TransientError

ATTEMPTS_MAX: Final = 6
"""With pauses that double from half a second: 16 to 32 s of patience, more if the agent asks for longer pauses."""
PAUSE_S_MAX: Final = 30.0
"""The longest pause that an agent's Retry-After is granted; it never asks for more."""
TIMEOUT_S: Final = 15.0
"""For an answer. The Falco port holds its answers for up to 10 s while records can't be stored."""
_AGAIN: Final = (429, 503)
_EXCERPT_CHARS_MAX: Final = 200


class Answer(NamedTuple):
    """What a port said; status 0: nothing, `text` then says why."""

    status: int
    retry_after_s: float
    text: str

    @property
    def accepted(self) -> bool:
        """Whether the records are durable."""
        return http.client.OK <= self.status < http.client.MULTIPLE_CHOICES


class Client:
    """Posts bodies to one URL over one connection, one at a time. Requests wait in a thread, not on the event loop."""

    def __init__(self, url: str, content_type: str, backoff: Backoff | None = None) -> None:
        """Take the URL; the connection is made when it is needed."""
        parts = urllib.parse.urlsplit(url)
        self.url = url
        self._path = parts.path
        self._headers = {"Content-Type": content_type, "User-Agent": "vedette-sample-day"}
        self._backoff = backoff or Backoff()
        self._failure = ""
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)

    async def post(self, body: bytes) -> None:
        """Return when the agent has stored the body. A body sent twice is stored once: the port knows it again.

        Raises:
            TransientError: the agent did not take it, however often it was asked.
            PermanentError: it never will.
        """
        self._backoff.reset()
        for _ in range(ATTEMPTS_MAX):
            answer = await asyncio.to_thread(self._exchange, body)
            if answer.accepted:
                return
            self._failure = f"{self.url} answers {answer.status or 'nothing'}: {answer.text}"
            if answer.status and answer.status not in _AGAIN:
                raise PermanentError(f"{self._failure}. Is this port Vedette's, and of this version?")
            await asyncio.sleep(self._backoff.next_s(min(answer.retry_after_s, PAUSE_S_MAX)))
        raise TransientError(f"{self._failure}. It was asked {ATTEMPTS_MAX} times; the agent's log says what is wrong")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _exchange(self, body: bytes) -> Answer:
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            text = response.read().decode("utf-8", "replace")[:_EXCERPT_CHARS_MAX]
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Answer(0, 0.0, str(error) or type(error).__name__)
        return Answer(response.status, _seconds(response.getheader("Retry-After")), text)


def _seconds(retry_after: str | None) -> float:
    """Read a Retry-After in seconds; as a date, which no Vedette sends, it advises nothing."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else 0.0
