"""What every source is: the seam between the collector and the agent that runs it."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """One configured origin of records. Made from its settings, an `Intake` and the decoders; see `collector.sources`.

    Life: `start` → (`wait`) → `stop`. `stop` may be called at any time, also twice, also after a failed `start`.
    """

    name: str
    """The configured name: in the ledger, in metrics, in every record's run."""

    async def start(self) -> None:
        """Bind, open, begin to take records in.

        Raises:
            ConfigError: what the settings name can't be had (port taken, certificate unreadable).
        """
        ...

    async def wait(self) -> None:
        """Return when the source has come to its end (standard input, files read once); others never return.

        An exception that escapes is a bug and ends the process.
        """
        ...

    async def stop(self) -> None:
        """Take nothing more in, let what was taken settle and be answered (bounded time), and release everything."""
        ...

    def urls(self) -> list[str]:
        """Where clients reach it, for people to read; empty for pull sources."""
        ...
