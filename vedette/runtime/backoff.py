"""Pauses between tries that fail: they double, are bounded, and are spread so that many clients do not come at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True)
class Backoff:
    """Successive pauses in seconds: `first_s` · 2ⁿ up to `longest_s`, each shortened by up to half at random."""

    first_s: float = 0.5
    longest_s: float = 60.0
    random: Random = field(default_factory=Random)
    tries: int = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Return the next pause; a server's own advice is a lower bound."""
        whole = min(self.longest_s, self.first_s * float(1 << min(self.tries, 32)))
        self.tries += 1
        return max(at_least_s, whole * (1 - self.random.random() / 2))

    def reset(self) -> None:
        """Begin anew after a success."""
        self.tries = 0
