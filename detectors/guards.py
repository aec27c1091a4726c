"""Leaving out, at once, the parts of an Or whose fields all stand under an object that the document does not have.

Rules about Kubernetes workloads ask the same of a pod, of a template and of a job's template: some thirty fields, of
which a given object has a third. One walk down the shared beginning of their names answers for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from detectors.predicate import Predicate, fields, matches
from detectors.values import kind_of

PREFIX_NAMES: Final = 3
"""Names that fields must share: `requestObject.spec.template`."""

Guard = Callable[[dict[str, Any]], bool]
"""Says False only if none of the guarded fields has a value."""


def shared_prefix(predicate: Predicate) -> tuple[str, ...] | None:
    """Return the names that all fields of a predicate begin with, if it is false wherever those are missing."""
    prefixes = {_prefix(field) for field in fields(predicate)}
    if len(prefixes) != 1 or matches(predicate, lambda _: ()):
        return None
    return prefixes.pop()


def _prefix(field: str | None) -> tuple[str, ...] | None:
    names = () if field is None else field.split(".")
    return tuple(names[:PREFIX_NAMES]) if len(names) > PREFIX_NAMES else None


def guard(prefix: tuple[str, ...], names: Iterable[str]) -> Guard:
    """Compile a guard for fields that begin with `prefix`, which may also stand under longer literal keys."""
    split = [name.split(".") for name in names]
    steps = tuple((key, _literals(split, at)) for at, key in enumerate(prefix))

    def possible(doc: dict[str, Any]) -> bool:
        value: Any = doc
        for key, literals in steps:
            if kind_of(value) is not dict or not literals.isdisjoint(value):
                return True
            if key not in value:
                return False
            value = value[key]
        return True

    return possible


def _literals(split: list[list[str]], at: int) -> frozenset[str]:
    return frozenset(".".join(names[at:end]) for names in split for end in range(at + 2, len(names) + 1))
