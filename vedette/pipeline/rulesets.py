"""Rule sets as they enter the log: the texts of all rules, canonically encoded and named by their hash."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from detectors.engine import Engine
from detectors.rule import RuleText
from detectors.sigma import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vedette.schema.event import Decoder


def hash_of(content: bytes) -> str:
    """Name a blob: its SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def encode_rules(texts: Iterable[RuleText]) -> bytes:
    """Encode rule texts; equal sets give equal bytes whatever order they were read in."""
    return msgspec.json.encode(sorted((text.path, text.pack, text.text) for text in texts))


def compile_rules(content: bytes, decoders: Mapping[str, Decoder]) -> Engine:
    """Compile what `encode_rules` made.

    Raises:
        RuleError: one of the rules can't be used (the first of them).
    """
    texts = [
        RuleText(path=path, pack=pack, text=text)
        for path, pack, text in msgspec.json.decode(content, type=list[tuple[str, str, str]])
    ]
    loaded = load_rules(texts)
    if loaded.errors:
        raise loaded.errors[0]
    return Engine(loaded.rules, decoders, loaded.correlations)
