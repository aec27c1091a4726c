"""What a delivery passes on: a filter over facts that do not change between the revisions of an alert, or only grow.

Operators change filters, but once a revision of an alert went to a sink, all later ones go. So the journal keeps the
filters that a delivery ever had, and an alert is decided by the one that held when it was opened: before and after a
restart. An alert that several rules share passes if it would with one of them alone; its level rises and its rules
become more, so what passed once passes from then on.
"""

from __future__ import annotations

from bisect import bisect_right
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from vedette.schema.level import Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette.schema.alert import AlertRevision


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Globs (`fnmatch.fnmatchcase`) by what they are compared with; an empty list compares nothing."""

    sources: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()

    def all_match(self, facts: Mapping[str, Sequence[str]]) -> bool:
        """Whether each list that is not empty has a glob that matches one of the facts of its name."""
        return all(_any_match(globs, facts.get(kind, ())) for kind, globs in self._lists() if globs)

    def any_matches(self, facts: Mapping[str, Sequence[str]]) -> bool:
        """Whether any list has a glob that matches one of the facts of its name."""
        return any(_any_match(globs, facts.get(kind, ())) for kind, globs in self._lists())

    def _lists(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(kind, getattr(self, kind)) for kind in self.__struct_fields__]


def _any_match(globs: Sequence[str], values: Sequence[str]) -> bool:
    return any(fnmatchcase(value, glob) for glob in globs for value in values)


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Passes what reaches `min_level`, matches all lists of `only` and none of `exclude`."""

    min_level: Level = Level.INFORMATIONAL
    only: Selection = Selection()
    exclude: Selection = Selection()

    def wants_alert(self, revision: AlertRevision) -> bool:
        """Whether an alert passes: it has the level, and one of its rules the rest."""
        if Level(revision.level).rank < self.min_level.rank:
            return False
        clusters = (revision.cluster,)
        return any(
            self._passes(
                {"sources": (origin.source,), "clusters": clusters, "rules": (origin.rule_id,), "tags": origin.tags}
            )
            for origin in revision.origins
        )

    def wants_event(self, source: str, cluster: str, format_name: str) -> bool:
        """Whether the records of a source in a format pass."""
        return self._passes({"sources": (source,), "clusters": (cluster,), "formats": (format_name,)})

    def _passes(self, facts: Mapping[str, Sequence[str]]) -> bool:
        return self.only.all_match(facts) and not self.exclude.any_matches(facts)


def encode_filter(held: Filter) -> str:
    """Encode canonically: equal filters give equal texts."""
    return msgspec.json.encode(held, order="deterministic").decode()


class Routes:
    """The filters that a delivery ever had, as `CoreLog.set_delivery_filter` returns them."""

    def __init__(self, history: Sequence[tuple[int, str]]) -> None:
        """Take the times (ns of arrival) from which they hold, oldest first, with their encoded filters."""
        self._since_ns = [since_ns for since_ns, _ in history]
        self._filters = [msgspec.json.decode(text, type=Filter) for _, text in history]

    def at(self, arrival_ns: int) -> Filter:
        """Return the filter that decides about an alert opened, or a record that arrived, at a time."""
        return self._filters[max(0, bisect_right(self._since_ns, arrival_ns) - 1)]

    def want(self, revision: AlertRevision) -> bool:
        """Whether an alert passes; if a revision of it did, all later ones do."""
        return self.at(revision.opened_ns).wants_alert(revision)
