"""How a definition reads observations: the entity's key and the value as one text, remembered by what they follow from.

Most observations are like thousands before them. Where all fields that a definition reads follow from a few texts of an
observation, one look-up of those gives all that is needed. Remembering changes nothing but time.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, NamedTuple

import orjson

from detectors.behaviour.definition import Definition
from detectors.behaviour.fields import FIELDS, reader
from detectors.behaviour.groups import Groups
from detectors.behaviour.plain import shown
from detectors.engine import bounded_text
from vedette.schema.observation import Observation

GROUP_WEIGHT: Final = 8
"""What a group weighs beside its values: its key, its place among its owner's, its part of a checkpoint."""
_REMEMBERED_MAX: Final = 8_192
"""Of one definition; actors and addresses are input."""
_SOURCES: Final[dict[str, tuple[str, ...]]] = {
    **{name: (name,) for name in FIELDS if name in Observation.__struct_fields__},
    **dict.fromkeys(("network", "scope", "wide_network"), ("address",)),
    **dict.fromkeys(("deed", "privilege_deed", "deed_or_list"), ("verb", "resource")),
    "agent": ("user_agent",),
    "reach": ("actor", "namespace"),
}
"""The texts that fields follow from; those of others are not remembered."""


class Reading(NamedTuple):
    """What a definition reads in an observation; `key` "" where nobody knows who, `value` "" where nothing is shown."""

    key: str
    value: str
    entity: tuple[str, ...]
    parts: tuple[str, ...]


class Reader:
    """Reads observations for one definition."""

    def __init__(self, definition: Definition, groups: Groups[Any], *, shown_by_first: bool = False) -> None:
        """`groups` names the entities; `shown_by_first`: where the first value is empty, nothing is shown."""
        self._shown_by = slice(1) if shown_by_first else slice(None)
        self._definition = definition
        self._groups = groups
        self._entity = reader(definition.by)
        self._parts = reader(definition.value)
        names = (*definition.by, *definition.value)
        sources = dict.fromkeys(source for name in names for source in _SOURCES.get(name, ()))
        self._sources: Callable[[Observation], Any] | None = None
        if all(name in _SOURCES for name in names):
            self._sources = attrgetter("cluster", *sources)
        self._known: dict[Any, Reading] = {}

    def read(self, seen: Observation) -> Reading:
        """Return what the definition reads."""
        if self._sources is None:
            return self.make(seen.cluster, self._entity(seen), self._parts(seen))
        texts = self._sources(seen)
        known = self._known.get(texts)
        return known or self._remember(texts, self.make(seen.cluster, self._entity(seen), self._parts(seen)))

    def named(self, cluster: str, entity: tuple[str, ...]) -> Reading:
        """Return the reading of an entity that is only named."""
        known = self._known.get((cluster, entity))
        return known or self._remember((cluster, entity), self.make(cluster, entity, ()))

    def _remember(self, texts: Any, reading: Reading) -> Reading:
        if len(self._known) >= _REMEMBERED_MAX:
            self._known.clear()
        self._known[texts] = reading
        return reading

    def make(self, cluster: str, entity: tuple[str, ...], parts: tuple[str, ...]) -> Reading:
        """Return the reading of an entity and its values."""
        key = "" if entity and not any(entity) else self._groups.key(self._definition, cluster, entity)
        value = bounded_text(orjson.dumps(parts).decode()) if any(parts[self._shown_by]) else ""
        return Reading(key, value, entity, parts)


def plain_text(value: str) -> str:
    """Write a value for people; a cut one as it is."""
    try:
        return shown(orjson.loads(value))
    except orjson.JSONDecodeError:
        return shown([value])
