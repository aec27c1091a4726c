"""Reading the store: lists, searches, single alerts. Works beside the running agent, from any process."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import orjson
import zstandard

from sinks.store.layout import check_tables
from sinks.store.query import conditions, sayable
from vedette.journal.sqlite.connection import open_reader, translated
from vedette.schema.errors import ConfigError, VedetteError
from vedette.schema.level import Level

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.schema.alert import AlertDocument

_LEVELS: Final[tuple[Level, ...]] = tuple(Level)
_COLUMNS: Final = (
    "alert_id, version, opened_ns, first_seen_ns, last_seen_ns, level, rule_id, title, cluster, source, actor,"
    " namespace, name, count, status, message, id"
)
_CANDIDATES_MAX: Final = 5
"""Alerts that the message about an ambiguous id names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Which alerts a list holds: those that satisfy all that is given.

    `since_ns` (inclusive) and `until_ns` (exclusive) bound the time of opening, ns since the epoch. `rule` is a rule's
    id or its exact title. `cluster`, `namespace`, `actor` and `status` are exact. `text`: words that all occur, in any
    part and any case, somewhere in title, actor, namespace, pod, workload, image, command, addresses or explanation.
    `after`: the `cursor` of the last row of the page before.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    min_level: Level = Level.INFORMATIONAL
    rule: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    actor: str | None = None
    status: str | None = None
    text: str = ""
    after: str = ""


class AlertRow(msgspec.Struct, frozen=True):
    """One alert of a list. Its strings may be hostile, but for `message`; times are ns since the epoch."""

    alert_id: str
    version: int
    opened_ns: int
    first_seen_ns: int
    last_seen_ns: int
    level: Level
    rule_id: str
    title: str
    cluster: str
    source: str
    actor: str
    namespace: str
    name: str
    count: int
    status: str
    message: str
    cursor: str


class Counts(NamedTuple):
    """How many alerts there are."""

    total: int
    by_level: Mapping[Level, int]
    by_status: Mapping[str, int]


def _row(columns: tuple[Any, ...]) -> AlertRow:
    *head, rank, rule_id, title, cluster, source, actor, namespace, name, count, status, message, row_id = columns
    alert_id, version, opened_ns, first_seen_ns, last_seen_ns = head
    return AlertRow(
        alert_id=alert_id,
        version=version,
        opened_ns=opened_ns,
        first_seen_ns=first_seen_ns,
        last_seen_ns=last_seen_ns,
        level=_LEVELS[int(rank)],
        rule_id=rule_id,
        title=title,
        cluster=cluster,
        source=source,
        actor=actor,
        namespace=namespace,
        name=name,
        count=count,
        status=status,
        message=message,
        cursor=f"{opened_ns}-{row_id}",
    )


class StoreReader:
    """Reads one store; calls come from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open a store.

        Raises:
            ConfigError: there is none, or another version made it. TransientError: it can't be read now.
        """
        if not path.exists():
            message = f"there is no store at {path}. Run Vedette with the sink `store` first, or name its data folder"
            raise ConfigError(message)
        self._path = path
        self._connection = open_reader(path)
        self._decompressor = zstandard.ZstdDecompressor()
        try:
            with translated(path):
                check_tables(self._connection, path)
        except VedetteError:
            self.close()
            raise

    def list(self, wanted: AlertFilter | None = None, *, limit: int = 100) -> list[AlertRow]:
        """Return at most `limit` alerts, the latest opened first.

        Raises:
            ConfigError: `after` is no cursor. TransientError: the store can't be read now.
        """
        where, values = conditions(wanted or AlertFilter())
        sql = f"SELECT {_COLUMNS} FROM alert WHERE {where} ORDER BY opened_ns DESC, id DESC LIMIT ?"  # noqa: S608 - ours
        with translated(self._path):
            return [_row(row) for row in self._connection.execute(sql, (*values, limit))]

    def get(self, alert_id: str) -> AlertDocument:
        """Return the document of one alert, named by its id or a beginning of it that no other alert shares.

        Raises:
            ConfigError: there is no such alert, or several. TransientError: the store can't be read now.
        """
        wanted = sayable(alert_id)
        with translated(self._path):
            rows = self._connection.execute(
                "SELECT alert_id, content FROM alert JOIN document USING(id) WHERE alert_id >= ?1 AND alert_id < ?2"
                " ORDER BY alert_id LIMIT ?3",
                (wanted, wanted + "\U0010ffff", _CANDIDATES_MAX),
            )
            found = [(str(name), bytes(content)) for name, content in rows]
        if not found or not wanted:
            raise ConfigError(f"no alert has an id that begins with {alert_id!a}. `vedette alerts` lists them")
        if len(found) > 1 and found[0][0] != wanted:
            names = ", ".join(name for name, _ in found)
            raise ConfigError(f"several alerts have an id that begins with {alert_id!a}: {names}. Give more of it")
        document: AlertDocument = orjson.loads(self._decompressor.decompress(found[0][1]))
        return document

    def counts(self) -> Counts:
        """Count alerts by level and by status.

        Raises:
            TransientError: the store can't be read now.
        """
        with translated(self._path):
            sql = "SELECT level, status, count(*) FROM alert GROUP BY 1, 2"
            found = [
                (_LEVELS[int(rank)], str(status), int(count)) for rank, status, count in self._connection.execute(sql)
            ]
        by_level, by_status = dict.fromkeys(reversed(_LEVELS), 0), dict[str, int]()
        for level, status, count in found:
            by_level[level] += count
            by_status[status] = by_status.get(status, 0) + count
        return Counts(sum(by_level.values()), by_level, by_status)

    def close(self) -> None:
        """Release the file; idempotent."""
        with contextlib.suppress(VedetteError), translated(self._path):
            self._connection.close()
