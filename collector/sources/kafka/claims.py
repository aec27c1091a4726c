"""How the members of a group share partitions so that each record is stored by exactly one of them.

Before a member stores records it claims them: it commits, as the metadata of the partition's offset, the range of
offsets that it is about to store. Kafka takes that from the partition's owner in the current generation alone, so of
two members that hold the same records only one may store them. The committed offset itself stays behind what is stored.

Whoever owns the partition next begins behind all claims, and carries those of others on. A member that crashed between
claim and store finds its own claim again when it is back, reads that range once more and stores it: its journal says
how much of it was stored. All of this is arithmetic; docs/adr/0012 has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec

CLAIMS_MAX: Final = 64
"""Members whose last claims are carried on: 4096 bytes of metadata are what a broker takes by default
(`offset.metadata.max.bytes`). Each journal that ever crashed in the middle of a claim is one, until it is back."""
_VERSION: Final = 1


class Claim(NamedTuple):
    """Offsets from `begin` up to, not including, `end`."""

    begin: int
    end: int


Claims = Mapping[str, Claim]
"""The last claim of each member that may not have stored it, by the member's journal."""


class Standing(NamedTuple):
    """What Kafka holds for one partition: the committed `offset` (None: none yet), and the claims beside it."""

    offset: int | None
    claims: Claims


NOTHING: Final = Standing(None, {})


def encode_claims(claims: Claims) -> str:
    """Make the metadata of a commit."""
    newest = sorted(claims.items(), key=lambda entry: entry[1].end)[-CLAIMS_MAX:]
    return msgspec.json.encode({"vedette": _VERSION, "claims": dict(newest)}).decode()


def decode_claims(metadata: str) -> Claims:
    """Read the metadata of a commit; what other programs wrote there claims nothing."""
    try:
        found: Any = msgspec.json.decode(metadata)
        if not isinstance(found, dict) or cast("dict[str, Any]", found).get("vedette") != _VERSION:
            return {}
        return msgspec.convert(cast("dict[str, Any]", found).get("claims"), dict[str, Claim])
    except msgspec.MsgspecError:
        return {}


def resume_at(standing: Standing, stored: int | None) -> int | None:
    """Say where the owner of a partition goes on, None if nobody has read anything of it.

    `stored`: the position in the owner's own journal. Behind all claims; behind the own journal too, should Kafka have
    forgotten what was committed.
    """
    known = [claim.end for claim in standing.claims.values()]
    known += [offset for offset in (standing.offset, stored) if offset is not None]
    return max(known, default=None)


def debt(standing: Standing, member: str, stored: int | None) -> Claim | None:
    """Return what `member` has claimed and not stored; None if there is nothing."""
    claim = standing.claims.get(member)
    if claim is None:
        return None
    begin = claim.begin if stored is None else max(claim.begin, stored)
    return Claim(begin, claim.end) if begin < claim.end else None
