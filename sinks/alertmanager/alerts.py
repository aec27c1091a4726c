"""From a revision to what Alertmanager's API v2 calls alerts (`postableAlerts`). Pure; time is an argument.

An Alertmanager knows an alert by its labels alone. So the alert's id is one of them, and all others are taken from what
the revisions of one alert have in common. Only where several rules share an alert its severity and leading rule change:
then the one that was known by the former labels is ended with each later revision.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sinks.alertmanager.settings import ALERT_ID, LABEL_CHARS_MAX, OWN_LABELS
from vedette.schema.alert import Activity
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sinks.alertmanager.settings import AlertmanagerSettings
    from vedette.schema.alert import AlertRevision

DESCRIPTION_CHARS_MAX: Final = 2048
"""Characters of a rule's description: notifications are read on phones."""
LIST_ITEMS_MAX: Final = 16
MS_NS: Final = 1_000_000

PostableAlert = dict[str, Any]
Labels = dict[str, str]


class _Rule(msgspec.Struct):
    id: str
    title: str
    level: Level
    attack: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()


class _Contribution(msgspec.Struct):
    id: str
    title: str
    level: Level
    source: str


class _Facts(msgspec.Struct):
    namespace: str = ""


class _Verdict(msgspec.Struct):
    time_ns: int


class _Unmapped(msgspec.Struct):
    alert_id: str
    time_ns: int
    opened_ns: int
    closes_ns: int
    first_seen_ns: int
    last_seen_ns: int
    cluster: str
    rule: _Rule
    facts: _Facts
    rules: tuple[_Contribution, ...] = ()
    verdict: _Verdict | None = None


class _Finding(msgspec.Struct):
    desc: str = ""


class _Metadata(msgspec.Struct):
    uid: str


class Document(msgspec.Struct):
    """The part of an alert's document that Alertmanager is told."""

    activity_id: Activity
    message: str
    count: int
    metadata: _Metadata
    finding_info: _Finding
    unmapped: _Unmapped


READER: Final = msgspec.json.Decoder(Document)


def firing_until_ns(document: Document, sent_ns: int, hold_ns: int) -> int:
    """Say until when an alert holds that was first sent at `sent_ns`, as long as nothing else is heard of it.

    The end of its window, but never before it was held for `hold_ns`: an Alertmanager says nothing of an alert that was
    over when its group's turn came. A closed one ends with its last revision.
    """
    found = document.unmapped
    held_until_ns = sent_ns + hold_ns
    if document.activity_id is Activity.CLOSE:
        return max(found.time_ns, held_until_ns)
    return max(found.closes_ns, held_until_ns)


def is_judged(document: Document) -> bool:
    """Say whether an analyst closed the alert: then nobody has to be told of it any more."""
    return document.unmapped.verdict is not None


def ended_ns(document: Document) -> int:
    """Say when an alert ended that is over: with its verdict, else its last revision; it must end after it began."""
    found = document.unmapped
    at_ns = found.time_ns if found.verdict is None else found.verdict.time_ns
    return max(at_ns, found.opened_ns + MS_NS)


def postable(
    revision: AlertRevision, document: Document, settings: AlertmanagerSettings, ends_ns: int
) -> Iterator[PostableAlert]:
    """Say a revision: what it is known by now, which holds until `ends_ns`, and what it was known by before, ended."""
    identities = list(_identities(revision, document))
    found = document.unmapped
    for labels in identities[:-1]:
        yield _alert({**labels, **settings.labels}, found.opened_ns, ended_ns(document), {})
    annotations = _annotations(document)
    if settings.document:
        annotations["document"] = revision.document.decode()
    alert = _alert({**identities[-1], **settings.labels}, found.opened_ns, ends_ns, annotations)
    if settings.link is not None:
        alert["generatorURL"] = settings.link.replace(ALERT_ID, found.alert_id)
    yield alert


def _identities(revision: AlertRevision, document: Document) -> Iterator[Labels]:
    """All labels that the alert was ever known by, those of now last: each rule that raised the level led it."""
    found = document.unmapped
    rank = -1
    for one in found.rules:
        if one.level is found.rule.level:
            break  # from here on it leads
        if one.level.rank > rank:
            rank = one.level.rank
            yield _labels(document, one.id, one.title, one.level, one.source)
    yield _labels(document, found.rule.id, found.rule.title, found.rule.level, revision.source)


def _labels(document: Document, rule_id: str, title: str, level: Level, source: str) -> Labels:
    found = document.unmapped
    values = (title, level.value, found.cluster, found.facts.namespace, source, rule_id, found.alert_id)
    return {name: _bounded(value) for name, value in zip(OWN_LABELS, values, strict=True) if value}


def _annotations(document: Document) -> dict[str, str]:
    """What people read: each is one line, safe to show; empty ones are left out."""
    found = document.unmapped
    rule = found.rule
    texts = {
        "summary": document.message,
        "description": safe_text(document.finding_info.desc, DESCRIPTION_CHARS_MAX),
        "count": str(document.count),
        "first_seen": _time(found.first_seen_ns),
        "last_seen": _time(found.last_seen_ns),
        "attack": _list(rule.attack, ", "),
        "falsepositives": _list(rule.falsepositives, "; "),
        "revision": document.metadata.uid,
    }
    return {name: text for name, text in texts.items() if text}


def _alert(labels: Labels, starts_ns: int, ends_ns: int, annotations: Mapping[str, str]) -> PostableAlert:
    return {"labels": labels, "annotations": annotations, "startsAt": _time(starts_ns), "endsAt": _time(ends_ns)}


def _bounded(value: str) -> str:
    return safe_text(value, LABEL_CHARS_MAX)


def _list(values: tuple[str, ...], separator: str) -> str:
    return separator.join(safe_text(value, LABEL_CHARS_MAX) for value in values[:LIST_ITEMS_MAX])


def _time(time_ns: int) -> str:
    """Say a time as RFC 3339 has it, to the millisecond."""
    moment = datetime.fromtimestamp(time_ns // SECOND_NS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % SECOND_NS // MS_NS:03d}Z"
