"""Detectors of behaviour as they are written: Sigma rules about observations, with a section `behaviour`.

title: A service account does what it never did
id: 9d0f…
level: medium
tags: [attack.t1078.001]
logsource: {product: vedette, category: call}     # the kind of observation (`vedette.schema.observation`)
detection:                                        # which of them it looks at; the fields are an observation's
  own:
    actor|startswith: 'system:serviceaccount:'
    outcome: allow
  condition: own
behaviour:
  type: first_seen                                # which model; `detectors.behaviour.types` lists them
  by: [actor]                                     # of whom it learns
  value: [verb, api_group, resource, namespace]   # what it learns
  learn_for: 7d                                   # settings of the type; lengths of time are 30s, 5m, 1h, 7d
vedette:                                          # as in rules; the events of tests are observations
  covers: [C12]
  tests: […]

They may stand in one file with rules. What a definition needs beyond that, its type says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from detectors.behaviour.definition import Definition, content_hash
from detectors.behaviour.fields import FIELDS
from detectors.lengths import length_ns
from detectors.predicate import fields as fields_of
from detectors.rule import RuleText
from detectors.sigma.definitions import SigmaPart, read_sigma_part
from detectors.sigma.documents import SEPARATOR, Document, Key, read_documents
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError
from vedette.schema.observation import Kind, Observation
from vedette.schema.rule import RuleInfo

SECTION: Final = "behaviour"
PRODUCT: Final = "vedette"
_IS_BEHAVIOUR: Final = re.compile(rf"^[\"']?{SECTION}[\"']?\s*:", re.MULTILINE)
_NS: Final = "_ns"
_FIELDS_MAX: Final = 5
"""Fields of an entity, or of what is learned: more make every tuple the first of its kind."""
_OWN: Final = ("type", "by", "value")
_KINDS: Final = tuple(kind for kind in Kind if kind is not Kind.FLOW)
_SELECTABLE: Final = frozenset(Observation.__struct_fields__) | frozenset(FIELDS)


class Written(NamedTuple):
    """What a definition was made of; `places` leads from what an atom's `where` says to the keys of the item."""

    document: Document
    places: dict[str, tuple[Key, ...]]


class LoadedDefinitions(NamedTuple):
    """Definitions in the order of their texts, what each was made of, and every reason why others were refused."""

    definitions: tuple[Definition, ...]
    errors: tuple[RuleError, ...]
    written: Mapping[str, Written]
    """By their ids."""


def has_behaviour(text: str) -> bool:
    """Say whether a text configures detectors of behaviour, perhaps among rules."""
    return _IS_BEHAVIOUR.search(text) is not None


def is_behaviour(text: str) -> bool:
    """Say whether a text configures detectors of behaviour and nothing else."""
    parts = SEPARATOR.split(text) if has_behaviour(text) else []
    return bool(parts) and all(has_behaviour(part) or not part.strip() for part in parts)


def load_definitions(
    texts: Iterable[RuleText], types: Mapping[str, type[msgspec.Struct]], rules: Iterable[RuleInfo] = ()
) -> LoadedDefinitions:
    """Read definitions; one with anything wrong is left out and reported.

    `types` has the settings of each type; the ids of `rules` are taken.
    """
    found: list[Definition] = []
    errors: list[RuleError] = []
    written: dict[str, Written] = {}
    taken = {rule.rule_id: f"the rule {rule.title!r} of {rule.pack}" for rule in rules}
    for text in texts:
        for document in read_documents(text):
            if isinstance(document, RuleError):
                if is_behaviour(text.text):  # else it is reported with the rules
                    errors.append(document)
                continue
            read = _read(document, types, errors) if SECTION in document.data else None
            if read is None:
                continue
            definition, places = read
            rule_id = definition.info.rule_id
            owner = taken.setdefault(rule_id, document.place())
            if owner != document.place():
                errors.append(document.error(f"the id {rule_id} is taken by {owner}", "id"))
                continue
            found.append(definition)
            written[rule_id] = Written(document, places)
    return LoadedDefinitions(tuple(found), tuple(errors), written)


def _read(
    document: Document, types: Mapping[str, type[msgspec.Struct]], errors: list[RuleError]
) -> tuple[Definition, dict[str, tuple[Key, ...]]] | None:
    count = len(errors)
    section: Any = document.data.get(SECTION)
    if not is_object(section):
        errors.append(document.error(f"{SECTION} must be a mapping of type, by, value and settings", SECTION))
        return None
    plain = document._replace(data={key: value for key, value in document.data.items() if key != SECTION})
    part = read_sigma_part(plain, errors)
    kind = None if part is None else _kind(document, part, errors)
    type_name: Any = section.get("type")
    if type_name not in types:
        hint = f"known are {', '.join(sorted(types))}"
        errors.append(document.error(f"{type_name!r} is no type of detector; {hint}", SECTION, "type"))
        return None
    by, value = (_names(document, section, name, errors) for name in ("by", "value"))
    settings = _settings(document, section, types[type_name], errors)
    if part is None or kind is None or settings is None or len(errors) > count:
        return None
    definition = Definition(
        part.info, type_name, kind, part.predicate, by, value, settings, tests=part.tests, covers=part.covers
    )
    return replace(definition, content_hash=content_hash(definition)), part.places


def _kind(document: Document, part: SigmaPart, errors: list[RuleError]) -> Kind | None:
    source = part.logsource
    if source.product != PRODUCT or source.service is not None or source.category not in _KINDS:
        kinds = ", ".join(_KINDS)
        message = f"it looks at observations: `product: {PRODUCT}` and as category one of {kinds}"
        errors.append(document.error(message, "logsource"))
        return None
    unknown = sorted({name or "" for name in fields_of(part.predicate)} - _SELECTABLE)
    errors.extend(
        document.error(f"observations have no field {name!r}{_hint(name, _SELECTABLE)}", "detection")
        for name in unknown
    )
    return Kind(source.category)


def _names(document: Document, section: dict[str, Any], key: str, errors: list[RuleError]) -> tuple[str, ...]:
    values: Any = section.get(key, [])
    if not is_list(values) or not all(isinstance(value, str) for value in values) or len(values) > _FIELDS_MAX:
        errors.append(document.error(f"{key} is a list of at most {_FIELDS_MAX} fields", SECTION, key))
        return ()
    for position, name in enumerate(values):
        if name not in FIELDS:
            errors.append(document.error(f"there is no field {name!r}{_hint(name, FIELDS)}", SECTION, key, position))
    return tuple(values)


def _settings(
    document: Document, section: dict[str, Any], kind: type[msgspec.Struct], errors: list[RuleError]
) -> msgspec.Struct | None:
    names = {name.removesuffix(_NS): name for name in kind.__struct_fields__}
    given: dict[str, Any] = {}
    count = len(errors)
    for key, value in section.items():
        if key in _OWN:
            continue
        if key not in names:
            errors.append(
                document.error(f"unknown key {key!r}{_hint(key, [*names, *_OWN])}", SECTION, key, at_key=True)
            )
        elif names[key].endswith(_NS):
            given[names[key]] = _length_ns(document, key, value, errors)
        else:
            given[names[key]] = value
    if len(errors) > count:
        return None
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        errors.append(document.error(f"{error}", SECTION, *_culprit(str(error))))
        return None


def _culprit(message: str) -> Iterator[str]:
    match = re.search(r"\$\.(\w+)", message)
    if match:
        yield match[1]


def _length_ns(document: Document, key: str, value: Any, errors: list[RuleError]) -> int:
    length = length_ns(value)
    if not length:
        errors.append(document.error(f"{value!r} is no length of time; write 30s, 5m, 1h or 7d", SECTION, key))
    return length or 0


def _hint(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(name, names, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"
