r"""One syslog message: RFC 5424's header and structured data around a body, counted as RFC 6587 and RFC 5425 want it.

Nothing an attacker wrote gets out of its field: header fields are ours, values of structured data are one line with
`"`, `\` and `]` escaped, and receivers find a message's end by its length, not by looking for a line break.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

VALUE_CHARS_MAX: Final = 64
"""Characters of one value of the structured data: the body says the same at length."""
SEVERITIES: Final = {Level.CRITICAL: 2, Level.HIGH: 3, Level.MEDIUM: 4, Level.LOW: 5, Level.INFORMATIONAL: 6}
"""Syslog severities of levels: critical, error, warning, notice, informational (RFC 5424 table 2)."""
_ESCAPED: Final = str.maketrans({'"': '\\"', "\\": "\\\\", "]": "\\]"})


class Envelope(NamedTuple):
    """What all messages of a sink have in common. `facility` is its number; the texts are printable ASCII."""

    facility: int
    hostname: str
    app_name: str
    enterprise_id: int

    def head(self, kind: str, level: Level, time_ns: int, values: Mapping[str, str]) -> bytes:
        """Say all that comes before the body. `kind` is the MSGID; `values` are the structured data."""
        priority = 8 * self.facility + SEVERITIES[level]
        moment = datetime.fromtimestamp(time_ns // SECOND_NS, UTC)
        time = f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % SECOND_NS // 1000:06d}Z"
        data = "".join(f' {name}="{_value(value)}"' for name, value in values.items() if value)
        head = f"<{priority}>1 {time} {self.hostname} {self.app_name} - {kind} [vedette@{self.enterprise_id}{data}] "
        return head.encode()


def framed(head: bytes, body: bytes) -> bytes:
    """Put a message's length before it."""
    return b"%d %s%s" % (len(head) + len(body), head, body)


def _value(text: str) -> str:
    return safe_text(text, VALUE_CHARS_MAX).translate(_ESCAPED)
