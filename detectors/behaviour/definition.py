"""A detector of behaviour as it is configured: what it looks at, and what it takes for normal."""

from __future__ import annotations

import hashlib

import msgspec

from detectors.predicate import Predicate
from detectors.testing.case import RuleTest
from vedette.schema.observation import Kind
from vedette.schema.rule import RuleInfo


class Definition(msgspec.Struct, frozen=True):
    """One detector of behaviour, ready to run.

    It looks at the observations of `kind` that satisfy `predicate`. `by`: the fields (`detectors.behaviour.fields`)
    whose values, with the cluster, name the entity that something is learned about. `value`: the fields whose values
    are learned; their meaning is the type's. `settings` is a Struct of the type. `content_hash` changes exactly when
    what it detects changes; a definition with an unchanged one keeps what it has learned over a reload.
    """

    info: RuleInfo
    type: str
    kind: Kind
    predicate: Predicate
    by: tuple[str, ...]
    value: tuple[str, ...]
    settings: msgspec.Struct
    content_hash: str = ""
    tests: tuple[RuleTest, ...] = ()
    covers: tuple[str, ...] = ()


def content_hash(definition: Definition) -> str:
    """Return the SHA-256, as hex, of what a definition detects: not of its text for people, its tests or its file."""
    content = (
        definition.info.rule_id,
        definition.type,
        definition.kind,
        definition.predicate,
        definition.by,
        definition.value,
        definition.settings,
    )
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
