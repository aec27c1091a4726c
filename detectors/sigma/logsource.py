"""Log sources: how pySigma has them, how events declare them, and which contains which."""

from __future__ import annotations

from sigma.rule import SigmaLogSource

from vedette.schema.event import LogSource


def logsource_of(source: SigmaLogSource) -> LogSource:
    """Return a log source as events declare it."""
    return LogSource(source.product, source.service, source.category)


def contains(outer: LogSource, inner: LogSource) -> bool:
    """Say whether every attribute that `outer` sets is the same in `inner` (specification 2.1, log source)."""
    return all(want in (None, have) for want, have in zip(outer, inner, strict=True))
