"""What the store keeps of an alert beside its document: the columns of lists, and the text that searches look at."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vedette.schema.errors import PermanentError
from vedette.schema.level import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.schema.alert import AlertRevision

SEARCH_CHARS_MAX: Final = 4096
"""Characters of one alert that searches look at; each costs a trigram."""


class _Facts(msgspec.Struct, frozen=True):
    actor: str = ""
    actor_real: str = ""
    namespace: str = ""
    name: str = ""
    pod: str = ""
    container: str = ""
    images: tuple[str, ...] = ()
    node: str = ""
    resource: str = ""
    process: str = ""
    command: str = ""
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()


class _Workload(msgspec.Struct, frozen=True):
    name: str = ""


class _Clause(msgspec.Struct, frozen=True):
    value: str | None = None


class _Rule(msgspec.Struct, frozen=True):
    title: str = ""


class _Unmapped(msgspec.Struct, frozen=True):
    first_seen_ns: int
    last_seen_ns: int
    cluster: str = ""
    rule: _Rule = _Rule()
    facts: _Facts = _Facts()
    workload: _Workload = _Workload()
    explanation: tuple[_Clause, ...] = ()


class _Data(msgspec.Struct, frozen=True):
    source: str = ""


class _Evidence(msgspec.Struct, frozen=True):
    data: _Data = _Data()


class _Document(msgspec.Struct, frozen=True):
    unmapped: _Unmapped
    count: int = 1
    status: str = ""
    message: str = ""
    evidences: tuple[_Evidence, ...] = ()


_DECODER: Final = msgspec.json.Decoder(_Document)


class Summary(NamedTuple):
    """The columns of table `alert` in their order, without `id`, and the text to search."""

    columns: tuple[str | int, ...]
    text: str


def summarise(revision: AlertRevision) -> Summary:
    """Read a revision's document.

    Raises:
        PermanentError: it is no alert document.
    """
    try:
        document = _DECODER.decode(revision.document)
        level = Level(revision.level)
    except (msgspec.MsgspecError, ValueError) as error:
        message = f"alert {revision.alert_id} is no alert document ({error}). Please report this as a bug"
        raise PermanentError(message) from error
    unmapped = document.unmapped
    facts = unmapped.facts
    text = search_text(unmapped, revision.rule_id)
    columns = (
        revision.alert_id,
        revision.version,
        revision.opened_ns,
        unmapped.first_seen_ns,
        unmapped.last_seen_ns,
        level.rank,
        revision.rule_id,
        unmapped.rule.title,
        unmapped.cluster,
        document.evidences[0].data.source if document.evidences else "",
        facts.actor,
        facts.namespace,
        facts.name or facts.pod,
        document.count,
        document.status,
        document.message,
        zlib.crc32(text.encode()),
    )
    return Summary(columns, text)


def search_text(unmapped: _Unmapped, rule_id: str) -> str:
    """Join what people search for, each once, a line each; a NUL would end the text for SQLite."""
    text = "\n".join(dict.fromkeys(part for part in _parts(unmapped, rule_id) if part))
    return text[:SEARCH_CHARS_MAX].replace("\x00", " ")


def _parts(unmapped: _Unmapped, rule_id: str) -> Iterator[str]:
    facts = unmapped.facts
    yield from (unmapped.rule.title, rule_id, unmapped.cluster)
    yield from (facts.actor, facts.actor_real, facts.namespace, facts.name, facts.pod, unmapped.workload.name)
    yield from (facts.container, facts.node, facts.resource, facts.process)
    yield from facts.sources
    yield from facts.destinations
    yield from facts.images
    yield facts.command
    yield from (clause.value or "" for clause in unmapped.explanation)
