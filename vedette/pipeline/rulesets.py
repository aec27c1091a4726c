"""Rule sets as they enter the log: the texts of all rules and how they are run, encoded and named by their hash."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from detectors.behaviour.loading import has_behaviour, is_behaviour, load_definitions
from detectors.behaviour.types import SETTINGS
from detectors.engine import Engine
from detectors.falco.evaluation import FalcoOptions
from detectors.loading import load_rules
from detectors.rule import RuleText
from vedette.pipeline.rule_cache import CachedRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from detectors.rule import LoadedRules
    from vedette.schema.event import Decoder


_Text = tuple[str, str, str]
_DEFAULTS: Final = FalcoOptions()


def hash_of(content: bytes) -> str:
    """Name a blob: its SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


class _RuleSet(msgspec.Struct, frozen=True):
    """Texts as (path, pack, text), in their order: Falco's files build on those before them."""

    texts: tuple[_Text, ...]
    falco: FalcoOptions = _DEFAULTS


_CONTENT: Final = msgspec.json.Decoder(_RuleSet | tuple[_Text, ...])
"""Before rules of Falco's language ran here, a set was its texts alone."""


def encode_rules(texts: Iterable[RuleText], falco: FalcoOptions = _DEFAULTS) -> bytes:
    """Encode rule texts in the order in which they are read, and what else decides how they detect."""
    return msgspec.json.encode(_RuleSet(tuple((text.path, text.pack, text.text) for text in texts), falco))


def compile_rules(content: bytes, decoders: Mapping[str, Decoder], cache: Path | None = None) -> Engine:
    """Compile what `encode_rules` made, now or in earlier versions; `cache` is a folder for what that makes.

    Raises:
        RuleError: one of the rules can't be used (the first of them).
    """
    found = _CONTENT.decode(content)
    rules = found if isinstance(found, _RuleSet) else _RuleSet(found)
    texts = [RuleText(path=path, pack=pack, text=text) for path, pack, text in rules.texts]
    load = partial(load_rules, falco=rules.falco)
    if cache is None:
        return _compiled(load(texts), decoders, {})
    cached = CachedRules([text for text in texts if not is_behaviour(text.text)], cache, variant=repr(rules.falco))
    loaded = cached.load(lambda kept: load(kept)._replace(definitions=()))
    detectors = (text for text in texts if has_behaviour(text.text))
    behaviour = load_definitions(detectors, SETTINGS, loaded.infos)  # quick: not kept
    both = loaded._replace(definitions=behaviour.definitions, errors=(*loaded.errors, *behaviour.errors))
    engine = _compiled(both, decoders, cached.databases)
    cached.keep()
    return engine


def _compiled(loaded: LoadedRules, decoders: Mapping[str, Decoder], databases: dict[str, bytes]) -> Engine:
    if loaded.errors:
        raise loaded.errors[0]
    return Engine(
        loaded.rules,
        decoders,
        loaded.correlations,
        alerts=loaded.alerts,
        definitions=loaded.definitions,
        databases=databases,
    )
