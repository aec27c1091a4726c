"""HTTP to Request Tracker: one request, one JSON answer; everything that can go wrong between is sorted here.

What matters most is whether a request that failed may have been carried out: `UnclearError` says so, all other errors
mean that it was not.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
import orjson

from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sinks.rt.settings import RtSettings

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of one answer; a page of a hundred comments takes about 50 KB."""
WORDS_CHARS_MAX: Final = 200
"""Characters of what the server said that are passed on."""
SETUP_RETRY_S: Final = 30.0
"""What a person has to mend is not looked at more often."""
UNAVAILABLE_RETRY_S: Final = 5.0
RETRY_S_MAX: Final = 600.0
_REFUSALS: Final = frozenset({400, 403, 404, 409, 413, 422})
"""Answers about this one request, which was not carried out."""
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class UnclearError(TransientError):
    """Nobody knows whether Request Tracker did what it was asked to do."""


class Answer(NamedTuple):
    """What Request Tracker answered: the HTTP status and the JSON value."""

    status: int
    value: Any

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked to do."""
        return self.status < 300  # noqa: PLR2004 - HTTP's successes

    @property
    def words(self) -> str:
        """What it said about a refusal, safe to show."""
        value: Any = self.value
        said = value.get("message") if isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType]
        return safe_text(str(said), WORDS_CHARS_MAX)  # pyright: ignore[reportUnknownArgumentType]


class RestClient:
    """Asks one Request Tracker over REST 2, on a connection of its own each time.

    A ticket costs RT a hundred times what a connection costs; and a request that is cancelled at a bad moment would
    keep its place in a pool of connections for ever.
    """

    def __init__(self, settings: RtSettings, timeout_s: float) -> None:
        """Prepare to ask, with at most `timeout_s` for a whole answer.

        Raises:
            ConfigError: `ca_file` can't be used.
        """
        self._settings = settings
        self._timeout_s = timeout_s
        self._tls = _tls(settings)

    async def ask(self, method: str, path: str, *, body: Any = None, **params: str | int) -> Answer:
        """Send one request; the answer is a success, or a refusal of this request alone.

        Raises:
            UnclearError: it may or may not have been carried out. TransientError: it was not, and may be another time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(method, path, body, params)
        except _NEVER_SENT as error:
            message = f"Request Tracker at {self._settings.url} can't be reached: {_reason(error)}"
            raise TransientError(message, retry_after_s=UNAVAILABLE_RETRY_S) from error
        except TimeoutError as error:
            message = (
                f"Request Tracker at {self._settings.url} did not answer within {self._timeout_s:g} s. Look at its load"
            )
            raise UnclearError(message, retry_after_s=UNAVAILABLE_RETRY_S) from error
        except httpx.RequestError as error:
            message = f"the connection to Request Tracker at {self._settings.url} broke: {_reason(error)}"
            raise UnclearError(message, retry_after_s=UNAVAILABLE_RETRY_S) from error

    def _connection(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{self._settings.url}/REST/2.0",
            headers={"Accept": "application/json", "Accept-Language": "en", "User-Agent": "vedette"},
            timeout=self._timeout_s,
            verify=self._tls,
            trust_env=False,
        )

    async def _ask(self, method: str, path: str, body: Any, params: Mapping[str, str | int]) -> Answer:
        headers = self._settings.auth()
        async with (
            self._connection() as connection,
            connection.stream(method, path, json=body, params=params or None, headers=headers) as response,
        ):
            self._sort(response)
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > ANSWER_BYTES_MAX:
                    raise self._garbage("an endless answer")
        if response.status_code in _REFUSALS:
            return Answer(response.status_code, _refusal(bytes(content)))
        try:
            return Answer(response.status_code, orjson.loads(content))
        except orjson.JSONDecodeError as error:
            raise self._garbage("something that is not JSON") from error

    def _sort(self, response: httpx.Response) -> None:
        """Let successes and refusals of one request pass.

        Raises:
            UnclearError, TransientError: as `ask`.
        """
        status = response.status_code
        if response.is_success or status in _REFUSALS:
            return
        if status == 401:  # noqa: PLR2004 - HTTP's unauthorized
            raise TransientError(
                f"Request Tracker at {self._settings.url} refused to log in {self._settings.account} (401). Correct the"
                " token, or username and password",
                retry_after_s=SETUP_RETRY_S,
            )
        if response.is_redirect:
            target = safe_text(response.headers.get("Location", "nowhere"), WORDS_CHARS_MAX)
            raise TransientError(
                f"Request Tracker at {self._settings.url} redirects to {target}. Set url to the address that it uses"
                " itself, and check that it is no login page",
                retry_after_s=SETUP_RETRY_S,
            )
        message = f"Request Tracker at {self._settings.url} answered {status}. See its log"
        if status == 429:  # noqa: PLR2004 - HTTP's too many requests
            raise TransientError(message, retry_after_s=_retry_after_s(response))
        raise UnclearError(message, retry_after_s=_retry_after_s(response))

    def _garbage(self, what: str) -> UnclearError:
        return UnclearError(
            f"Request Tracker at {self._settings.url} answered with {what}. Check that url leads to Request Tracker"
            " itself, not to a login page or a proxy",
            retry_after_s=UNAVAILABLE_RETRY_S,
        )


def _tls(settings: RtSettings) -> ssl.SSLContext | bool:
    if not settings.url.startswith("https"):
        return False  # nothing to verify: this saves reading all the CAs of the machine
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"sink rt: ca_file {settings.ca_file} holds no certificates in PEM: {error}") from error


def _refusal(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode(errors="replace")


def _retry_after_s(response: httpx.Response) -> float:
    """Read Retry-After in its form with seconds (RFC 9110, 10.2.3)."""
    said = response.headers.get("Retry-After", "")
    return min(float(said), RETRY_S_MAX) if said.isascii() and said.isdigit() else UNAVAILABLE_RETRY_S


def _reason(error: Exception) -> str:
    reason = safe_text(str(error) or type(error).__name__, WORDS_CHARS_MAX)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return f"{reason}. Set ca_file to the CA that signed its certificate"
    return f"{reason}. Check url, and that it runs"
