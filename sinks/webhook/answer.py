"""What an HTTP answer says about an alert: delivered, later, or never."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.limits import SECOND_NS
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from vedette.runtime.sink import Outcome

RETRY_AFTER_S_MAX: Final = 3600.0
"""A server's wish is heard up to here; it may have meant milliseconds, or be nobody's server."""
MISCONFIGURED_RETRY_S: Final = 30.0
"""What a person has to mend is tried no more often."""
EXCERPT_CHARS_MAX: Final = 200

_MISCONFIGURED: Final = {
    401: "mend the credentials in `headers` or `secret`",
    402: "the account there wants to be paid",
    403: "mend the credentials in `headers` or `secret`, or what they may do there",
    404: "mend `url`",
    405: "mend `url`: it takes no POST",
    407: "a proxy stands between; Vedette logs in to none",
    410: "the webhook was removed there: make a new one and set `url`",
    421: "mend `url`: that server is not responsible",
    426: "that server wants another protocol: mend `url`",
    451: "mend `url`",
}
"""They say that the way is wrong, not the alert: it must not be lost to a wrong token."""
_LATER: Final = frozenset({408, 409, 423, 425, 429})


class Answer(NamedTuple):
    """The part of a response that matters. `excerpt`: the beginning of a body that is not read for a 2xx."""

    status: int
    reason: str
    retry_after: str
    location: str
    excerpt: bytes


def judge(answer: Answer, origin: str, now_ns: int) -> Outcome:
    """Say what `answer` of the server at `origin`, heard at `now_ns`, means."""
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - the class of successes
        return None
    said = f"{origin} answered {_quote(answer)}"
    if status in _MISCONFIGURED:
        return TransientError(f"{said}: {_MISCONFIGURED[status]}", retry_after_s=MISCONFIGURED_RETRY_S)
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirections
        target = safe_text(answer.location, EXCERPT_CHARS_MAX)
        message = f"{said} to {target!r}: redirects are not followed; set `url` to the final address if you trust it"
        return TransientError(message, retry_after_s=MISCONFIGURED_RETRY_S)
    if 400 <= status < 500 and status not in _LATER:  # noqa: PLR2004 - the class of the client's errors
        return PermanentError(f"{said}: it will not take this content")
    return TransientError(said, retry_after_s=retry_after_s(answer.retry_after, now_ns))


def retry_after_s(value: str, now_ns: int) -> float:
    """Read Retry-After (RFC 9110 §10.2.3), seconds or a date; 1 if there is none that can be read."""
    if value.isascii() and value.isdigit():
        seconds = float(value[:18])
    else:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return 1.0
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.fromtimestamp(now_ns / SECOND_NS, UTC)).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


def _quote(answer: Answer) -> str:
    """The status line, and how the body begins: as one harmless line."""
    excerpt = safe_text(answer.excerpt.decode("utf-8", "replace").strip(), EXCERPT_CHARS_MAX)
    line = safe_text(f"{answer.status} {answer.reason}".strip(), EXCERPT_CHARS_MAX)
    return f"{line} ({excerpt})" if excerpt else line
