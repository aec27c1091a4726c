"""Dead letters of both kinds, for commands: `r17` is a record that could not be used, `d4` a refused delivery."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from vedette.app.terminal import time_text
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vedette.journal.protocol import DeadDelivery, DeadLetter
    from vedette.journal.sqlite import DataFolder, SqliteCoreReader

T = TypeVar("T")

_ID: Final = re.compile(r"(?P<kind>[rd]?)0*(?P<number>[1-9][0-9]{0,17})")
_PAGE: Final = 500


class LetterId(NamedTuple):
    """What names a dead letter: `r` a record, `d` a delivery, and its number."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}{self.number}"


def parse_id(text: str) -> LetterId:
    """Read `r17`, `d4` or `17`, which is a record.

    Raises:
        ConfigError: it is none of these.
    """
    found = _ID.fullmatch(text)
    if not found:
        raise ConfigError(f"`{text}` names no dead letter; write r17 (or 17) for a record, d4 for a delivery")
    return LetterId(found["kind"] or "r", int(found["number"]))


@dataclass(frozen=True)
class Chosen:
    """Which dead letters are meant; None: all. `reason` has to occur in theirs."""

    source: str | None = None
    sink: str | None = None
    reason: str | None = None

    def has_record(self, letter: DeadLetter) -> bool:
        """Whether a record is one of them."""
        reason = f"{letter.reason}: {letter.detail}"
        return self.sink is None and self.source in (None, letter.source) and (self.reason or "") in reason

    def has_delivery(self, dead: DeadDelivery) -> bool:
        """Whether a delivery is one of them."""
        mine = self.sink in (None, dead.delivery) and self.source in (None, dead.revision.source)
        return mine and (self.reason or "") in dead.reason


def records(folder: DataFolder, chosen: Chosen, after_id: int = 0) -> Iterator[tuple[int, DeadLetter]]:
    """Iterate over dead letters of records, the oldest first."""
    found = _pages(folder, lambda reader, after: reader.dead_letters(after_id=after, limit=_PAGE), after_id)
    return ((key, letter) for key, letter in found if chosen.has_record(letter))


def deliveries(folder: DataFolder, chosen: Chosen, after_id: int = 0) -> Iterator[tuple[int, DeadDelivery]]:
    """Iterate over dead deliveries, the oldest first."""
    found = _pages(folder, lambda reader, after: reader.dead_deliveries(after_id=after, limit=_PAGE), after_id)
    return ((key, dead) for key, dead in found if chosen.has_delivery(dead))


def _pages(
    folder: DataFolder, read: Callable[[SqliteCoreReader, int], list[tuple[int, T]]], after_id: int
) -> Iterator[tuple[int, T]]:
    from vedette.journal.sqlite import SqliteCoreReader  # noqa: PLC0415 - keeps the start fast

    with contextlib.closing(SqliteCoreReader(folder.core)) as reader:
        while page := read(reader, after_id):
            yield from page
            after_id = page[-1][0]


def record_document(key: int, letter: DeadLetter) -> dict[str, Any]:
    """Describe a record, but for its content."""
    document = {"id": f"r{key}", "kind": "record", **letter._asdict(), "received": time_text(letter.arrival_ns)}
    document["replayed"] = time_text(letter.replayed_ns)
    for name in ("payload", "arrival_ns", "replayed_ns"):
        del document[name]
    return document


def delivery_document(key: int, dead: DeadDelivery) -> dict[str, Any]:
    """Describe a delivery, but for its content."""
    revision = dead.revision
    return {
        "id": f"d{key}",
        "kind": "delivery",
        "sink": dead.delivery,
        "log": dead.log,
        "position": dead.position,
        "reason": dead.reason,
        "queued": dead.queued,
        "alert_id": revision.alert_id,
        "version": revision.version,
        "level": revision.level,
        "rule_id": revision.rule_id,
        "source": revision.source,
        "cluster": revision.cluster,
        "opened": time_text(revision.opened_ns),
    }
