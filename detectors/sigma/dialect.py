"""What we take beyond pySigma's parser, rewritten before it sees a rule; what we check ourselves is taken away.

- An id may be any text (specification 2.1 asks for a UUID; Falco and home-grown rules have names), `related` names ids
  likewise, and knows the older word `obsoletes`.
- `utf16le` is the specification's name for what pySigma calls `wide`.
- `contains`, `startswith` and `endswith` take whole numbers: to Sigma all values are texts.
- A filter without a log source is for all of them; one that is given is made of texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from detectors.sigma.documents import Document, Key
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError

ID_CHARS_MAX: Final = 256
"""Characters of an id: it is a key of state and stands in every alert."""
_RELATIONS: Final = ("correlation", "derived", "merged", "obsolete", "obsoletes", "renamed", "similar")
_MODIFIERS: Final = {"utf16le": "wide"}
_PARTS_OF_TEXT: Final = frozenset({"contains", "startswith", "endswith"})
_SECTIONS: Final = ("detection", "filter")
_LOGSOURCE: Final = ("product", "service", "category")
ANY_PRODUCT: Final = "any"
"""What pySigma is told of a filter that names no log source: it takes none that is empty."""


def adapted(document: Document, errors: list[RuleError]) -> dict[str, Any]:
    """Return the data of a rule or filter for pySigma; append what is wrong with the parts that it does not get."""
    errors.extend(_id_errors(document))
    errors.extend(_related_errors(document))
    errors.extend(_logsource_errors(document))
    errors.extend(_correlation_errors(document))
    data = {key: value for key, value in document.data.items() if key not in ("id", "related")}
    for section in _SECTIONS:
        if is_object(data.get(section)):
            data[section] = {name: _renamed(value) for name, value in data[section].items()}
    if "filter" in data and data.get("logsource") is None:
        data["logsource"] = {"product": ANY_PRODUCT}
    elif is_object(data.get("logsource")):
        data["logsource"] = {key: _or_text(value) for key, value in data["logsource"].items()}
    return data


def rule_id(data: dict[str, Any]) -> str | None:
    """Return a rule's id, a UUID in its canonical form; None if it has none."""
    found = data.get("id")
    if not isinstance(found, str):
        return None
    try:
        return str(UUID(found))
    except ValueError:
        return found


def _id_errors(document: Document) -> list[RuleError]:
    found = document.data.get("id")
    if found is None or (isinstance(found, str) and 0 < len(found) <= ID_CHARS_MAX and found.isprintable()):
        return []
    return [document.error(f"an id is a text of at most {ID_CHARS_MAX} printable characters; quote it", "id")]


def _related_errors(document: Document) -> list[RuleError]:
    related: Any = document.data.get("related")
    if related is None:
        return []
    if not is_list(related):
        return [document.error("related must be a list", "related")]
    return [error for at, entry in enumerate(related) for error in _relation_errors(document, entry, ("related", at))]


def _relation_errors(document: Document, entry: Any, keys: tuple[Key, ...]) -> list[RuleError]:
    if not is_object(entry) or not isinstance(entry.get("id"), str):
        return [document.error("an entry of related is a mapping of id (a text) and type", *keys)]
    kind = entry.get("type")
    if isinstance(kind, str) and kind.lower() in _RELATIONS:
        return []
    return [document.error(f"{kind!r} is no relation; known are {', '.join(_RELATIONS)}", *keys, "type")]


def _logsource_errors(document: Document) -> list[RuleError]:
    source: Any = document.data.get("logsource")
    wrong = [key for key in _LOGSOURCE if not isinstance(source.get(key, ""), str | None)] if is_object(source) else []
    return [document.error(f"the {key} of a log source is a text; quote it", "logsource", key) for key in wrong]


def _correlation_errors(document: Document) -> Iterator[RuleError]:
    """Report names of fields that are no texts: pySigma takes whatever it finds there."""
    section: Any = document.data.get("correlation")
    if not is_object(section):
        return
    message = "a field is named by a text; quote it"
    group_by: Any = section.get("group-by")
    for at, field in enumerate(group_by if is_list(group_by) else ()):
        if not isinstance(field, str):
            yield document.error(message, "correlation", "group-by", at)
    aliases: Any = section.get("aliases")
    for alias, fields in aliases.items() if is_object(aliases) else ():
        for rule, field in fields.items() if is_object(fields) else ():
            if not isinstance(field, str):
                yield document.error(message, "correlation", "aliases", alias, rule)


def _or_text(value: Any) -> str | None:
    """Return a value as text; one that is none was refused, and only has to go through pySigma."""
    return None if value is None else str(value)


def _renamed(value: Any) -> Any:
    """Return a detection in pySigma's words; one that says a thing in both is left for pySigma to refuse."""
    if is_object(value):
        items = dict(_item(key, inner) for key, inner in value.items())
        return items if len(items) == len(value) else value
    return [_renamed(inner) for inner in value] if is_list(value) else value


def _item(key: str, value: Any) -> tuple[str, Any]:
    if "|" not in key:
        return key, _renamed(value)
    field, *modifiers = key.split("|")
    renamed = "|".join((field, *(_MODIFIERS.get(name, name) for name in modifiers)))
    return renamed, _renamed(value) if _PARTS_OF_TEXT.isdisjoint(modifiers) else _as_text(value)


def _as_text(value: Any) -> Any:
    if is_list(value):
        return [_as_text(inner) for inner in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
