"""Index templates: which fields of our documents can be searched, and that no document can ever add one.

`dynamic: false` everywhere: what is not named here stays in `_source`, whatever hostile documents hold. A string beyond
`ignore_above`, or a number that is none, is left out of the index, and the document is taken all the same.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from vedette.schema.event import Facts
from vedette.schema.limits import TEXT_CHARS_MAX

if TYPE_CHECKING:
    from sinks.opensearch.settings import OpenSearchSettings

TEMPLATE_VERSION: Final = 3
"""Raised with every change of a template here; a newer one on the server is left alone."""
PRIORITY: Final = 200
"""Above the catch-all templates that operators have; below what they write to override ours."""
FIELDS_MAX: Final = 400
"""index.mapping.total_fields.limit: room for the fields below, and none for an explosion."""

Body = dict[str, Any]

# Java counts UTF-16 units, of which a character may take two.
_KEYWORD: Final[Body] = {"type": "keyword", "ignore_above": 2 * TEXT_CHARS_MAX}
_TEXT: Final[Body] = {"type": "text"}
_WORDS: Final[Body] = {**_KEYWORD, "fields": {"text": _TEXT}}
"""Exact as a whole, and searchable by the words in it as `<field>.text`."""
_LONG: Final[Body] = {"type": "long"}
_BOOLEAN: Final[Body] = {"type": "boolean"}
_MS: Final[Body] = {"type": "date", "format": "strict_date_optional_time||epoch_millis"}
"""Documents have ms; the first format is for people's queries."""
_STORED: Final[Body] = {"type": "object", "enabled": False}
"""In `_source` alone, and not even looked at."""


def _fields(mapping: Body, names: str) -> Body:
    return dict.fromkeys(names.split(), mapping)


def _object(**fields: Body) -> Body:
    return {"properties": fields}


def _facts() -> Body:
    plain = {
        name: _LONG if isinstance(default, int) else _KEYWORD
        for name, default in zip(Facts.__struct_fields__, Facts.__struct_defaults__, strict=True)
    }
    return _object(**{**plain, **_fields(_WORDS, "command user_agent name process")})


def _technique() -> Body:
    return _object(**_fields(_KEYWORD, "uid name"))


def _alert_fields() -> Body:
    """The fields of docs/alerts.md that analysts search by."""
    return {
        "@timestamp": {"type": "alias", "path": "time"},
        **_fields(_MS, "time start_time end_time"),
        **_fields(_LONG, "duration count severity_id status_id activity_id class_uid type_uid"),
        **_fields(_KEYWORD, "severity status activity_name class_name"),
        **_fields(_TEXT, "message comment"),
        "metadata": _object(**_fields(_KEYWORD, "uid correlation_uid version labels")),
        "finding_info": _object(
            **_fields(_MS, "created_time modified_time first_seen_time last_seen_time"),
            **_fields(_KEYWORD, "uid data_sources"),
            title=_WORDS,
            desc=_TEXT,
            analytic=_object(**_fields(_KEYWORD, "uid name type")),
            related_analytics=_object(**_fields(_KEYWORD, "uid name type")),
            attacks=_object(tactic=_technique(), technique=_technique(), sub_technique=_technique()),
        ),
        "resources": _object(**_fields(_KEYWORD, "type name namespace uid version")),
        "evidences": _object(
            **_fields(_KEYWORD, "name uid verdict"),
            verdict_id=_LONG,
            data=_object(**_fields(_KEYWORD, "uid event_ids source format origin"), seq=_LONG),
        ),
        "unmapped": _object(
            **_fields(_KEYWORD, "alert_id cluster dedup_values incomplete cut"),
            **_fields(_LONG, "generation revision version seq time_ns opened_ns closes_ns first_seen_ns last_seen_ns"),
            rule=_object(
                **_fields(_KEYWORD, "id level status author pack attack controls tags dedup_as"), title=_WORDS
            ),
            rules=_object(**_fields(_KEYWORD, "id level tags"), title=_WORDS, count=_LONG),
            verdict=_object(**_fields(_KEYWORD, "judgement analyst"), reason=_TEXT, time_ns=_LONG),
            facts=_facts(),
            workload=_object(**_fields(_KEYWORD, "kind name namespace"), inferred=_BOOLEAN),
            explanation=_object(**_fields(_KEYWORD, "where field path"), **_fields(_WORDS, "test value")),
        ),
        "cloud": _object(**_fields(_KEYWORD, "provider region zone"), account=_object(uid=_KEYWORD)),
    }


def _event_fields() -> Body:
    """The fields of `sinks.opensearch.documents.EventDocuments`."""
    return {
        **_fields(_MS, "@timestamp arrival"),
        **_fields(_KEYWORD, "source format origin cluster labels uid event_ids"),
        **_fields(_LONG, "seq record"),
        "facts": _facts(),
        "event": _STORED,
    }


LOGS: Final = {"alerts": _alert_fields, "events": _event_fields}
"""What has an index a day, and its fields."""


def template(log: str, settings: OpenSearchSettings) -> Body:
    """Return the body of the index template for `alerts` or `events`; `_meta.vedette` says which one it is."""
    body: Body = {
        "index_patterns": [f"{settings.index_prefix}-{log}-*"],
        "priority": PRIORITY,
        "version": TEMPLATE_VERSION,
        "template": {
            "settings": _settings(settings),
            "mappings": {"dynamic": False, "date_detection": False, "properties": LOGS[log]()},
        },
    }
    digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return {**body, "_meta": {"vedette": {"version": TEMPLATE_VERSION, "digest": digest}}}


def _settings(settings: OpenSearchSettings) -> Body:
    index: Body = {
        "number_of_shards": settings.shards,
        "mapping": {"total_fields": {"limit": FIELDS_MAX}, "ignore_malformed": True},
    }
    if settings.replicas is None:
        return {"index": {**index, "auto_expand_replicas": "0-1"}}
    return {"index": {**index, "number_of_replicas": settings.replicas}}


class Standing(Enum):
    """How a template on the server stands to ours."""

    SAME = "as this version has it"
    OLDER = "older, or made with other settings"
    NEWER = "of a newer Vedette"
    FOREIGN = "not Vedette's"


class _Mark(msgspec.Struct):
    version: int
    digest: str = ""


class _Meta(msgspec.Struct):
    vedette: _Mark | None = None


class _Template(msgspec.Struct):
    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)


class _Entry(msgspec.Struct):
    index_template: _Template


class _Found(msgspec.Struct):
    index_templates: list[_Entry]


_FOUND: Final = msgspec.json.Decoder(_Found)


def standing(answer: bytes, wanted: Body) -> Standing:
    """Compare what the server returned for the template's name with `wanted`.

    Raises:
        ValueError: that is no template.
    """
    entries = _FOUND.decode(answer).index_templates
    mark = entries[0].index_template.meta.vedette if entries else None
    if mark is None:
        return Standing.FOREIGN
    if mark.version > TEMPLATE_VERSION:
        return Standing.NEWER
    return Standing.SAME if mark.digest == wanted["_meta"]["vedette"]["digest"] else Standing.OLDER
