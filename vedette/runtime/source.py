"""What every source is: the seam between the collector and the agent that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.schema.event import Decoder


def decoder_of(source: str, name: str, decoders: Mapping[str, Decoder]) -> Decoder:
    """Return the decoder of the format that a source is configured with.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in decoders:
        known = ", ".join(sorted(decoders))
        raise ConfigError(f"sources.{source}: there is no format {name!r}; known are {known}")
    return decoders[name]


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
