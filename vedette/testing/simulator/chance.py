"""Chance that is the same everywhere: one stream for each entity, drawn from the seed and the entity's name.

So an entity's life does not change when another one is added.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from random import Random
from typing import Final

_NORMAL_FROM: Final = 40.0
"""Means from which a Poisson count is drawn as a rounded normal one."""


def stream(seed: int, *names: str | int) -> Random:
    """Return the stream of chance of the entity with these names."""
    key = "\x1f".join(str(name) for name in (seed, *names)).encode()
    return Random(int.from_bytes(blake2b(key, digest_size=16).digest(), "big"))  # noqa: S311 - made to be repeated


def poisson(random: Random, mean: float) -> int:
    """Draw a Poisson count (Knuth 1969; for large means the normal approximation)."""
    if mean > _NORMAL_FROM:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count


def overdispersion(random: Random, shape: float) -> float:
    """Draw a factor of mean 1 (gamma): Poisson counts times such factors are negative binomial, as real counts are."""
    return random.gammavariate(shape, 1.0 / shape)


def hex_text(random: Random, chars: int) -> str:
    """Draw hexadecimal digits."""
    return f"{random.getrandbits(4 * chars):0{chars}x}"


def uuid_text(random: Random) -> str:
    """Draw a UUID of version 4 (RFC 9562)."""
    text = hex_text(random, 32)
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def name_suffix(random: Random, chars: int) -> str:
    """Draw a suffix as Kubernetes appends to names (k8s.io/apimachinery, util/rand: no vowels, no 0, 1, 3)."""
    return "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=chars))
