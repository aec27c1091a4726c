"""The closed tree of errors that Vedette raises on purpose.

    VedetteError
    ├── ConfigError       the operator's configuration is wrong (exit status 2)
    ├── RuleError         a rule cannot be used; names path:line:column
    ├── DecodeError       one record is not what its format says; it goes to the dead letters
    ├── TransientError    the world may get better; retry after `retry_after_s`
    └── PermanentError    the same call will never succeed

Each message says what was wrong, where, and what to do. Anything else that escapes a stage is a bug: it stops the
process loudly, and the journal makes the restart safe.
"""

from __future__ import annotations

from typing import ClassVar


class VedetteError(Exception):
    """Base of all errors that callers may expect; never raised itself."""

    code: ClassVar[str] = "error"


class ConfigError(VedetteError):
    """The configuration, or how the program was called, is wrong. The process ends with exit status 2."""

    code = "config"


class RuleError(VedetteError):
    """A rule cannot be loaded; `str()` begins with `path:line:column` as far as they are known."""

    code = "rule"

    def __init__(self, message: str, *, path: str = "<rule>", line: int = 0, column: int = 0) -> None:
        """Place the message: `line` and `column` count from 1, 0 means unknown."""
        place = path + (f":{line}" if line else "") + (f":{column}" if line and column else "")
        super().__init__(f"{place}: {message}")
        self.message = message
        self.path = path
        self.line = line
        self.column = column


class DecodeError(VedetteError):
    """A record is not what its format promises. `reason` is a short constant phrase, safe as a metric label."""

    code = "decode"

    def __init__(self, reason: str, detail: str = "") -> None:
        """Keep `reason` constant; what varies (and may be hostile) belongs in `detail`."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class TransientError(VedetteError):
    """The operation failed for now; the caller may try again after `retry_after_s` seconds."""

    code = "transient"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        """Keep the advised pause with the message."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PermanentError(VedetteError):
    """The operation can never succeed as it is; retrying is useless."""

    code = "permanent"
