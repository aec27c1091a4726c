"""Mappings of a rule file, read key by key with the messages that Falco has for what is not as it should be.

Source: falcosecurity/falco, userspace/engine/rule_loader_reader.cpp (`decode_val`, `decode_seq`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import yaml

from detectors.falco.diagnostics import Context, Diagnostic, LoadCode, Place, diagnostic, invalid, place_of
from detectors.falco.documents import boolean, is_null, pairs
from detectors.falco.texts import Text, piece_of
from detectors.rule import RuleText

_UNSIGNED: Final = re.compile(r"\+?[0-9]{1,9}")


class Node:
    """A mapping of a rule file, with what is said of it in messages."""

    def __init__(self, source: RuleText, node: yaml.Node, item_type: str, item_name: str = "") -> None:
        self.source = source
        self.node = node
        self.context = Context(item_type, item_name, place_of(source, node.start_mark))
        self._values: dict[str, yaml.Node] = {}
        for key, value in pairs(node):
            self._values.setdefault(key.value, value)

    def named(self, key: str) -> Node:
        """Return it under the name that it gives itself."""
        return Node(self.source, self.node, self.context.item_type, self.text(key))

    def get(self, key: str) -> yaml.Node | None:
        """Return the value of a key, None if it is not there."""
        return self._values.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def place(self, node: yaml.Node) -> Place:
        """Return where a node stands."""
        return place_of(self.source, node.start_mark)

    def scalar(self, key: str) -> yaml.ScalarNode:
        """Return the value of a key, which must be there and a scalar that is not empty.

        Raises:
            LoadError: it is not.
        """
        node = self._values.get(key)
        if node is None:
            raise invalid(f"Item has no mapping for key '{key}'", self.context)
        if is_null(node):
            raise invalid(f"Mapping for key '{key}' is empty", self.context)
        if not isinstance(node, yaml.ScalarNode):
            raise invalid("Value is not a scalar value", self.context, self.place(node))
        if not node.value:
            raise invalid("Value must be non-empty", self.context, self.place(node))
        return node

    def text(self, key: str) -> str:
        """Return a text.

        Raises:
            LoadError: it is not there, or none.
        """
        return str(self.scalar(key).value)

    def placed(self, key: str) -> Text:
        """Return a text that knows where it stands.

        Raises:
            LoadError: it is not there, or none.
        """
        return (piece_of(self.source, self.scalar(key)),)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a truth value.

        Raises:
            LoadError: it is none.
        """
        if key not in self:
            return default
        node = self.scalar(key)
        value = boolean(node.value)
        if value is None:
            raise invalid("Can't decode YAML scalar value", self.context, self.place(node))
        return value

    def unsigned(self, key: str) -> int:
        """Return a whole number.

        Raises:
            LoadError: it is none.
        """
        node = self.scalar(key)
        if not _UNSIGNED.fullmatch(node.value):
            raise invalid("Can't decode YAML scalar value", self.context, self.place(node))
        return int(node.value)

    def sequence(self, key: str) -> tuple[str, ...]:
        """Return a list of texts.

        Raises:
            LoadError: it is not there, or none.
        """
        node = self._values.get(key)
        if node is None:
            raise invalid(f"Item has no mapping for key '{key}'", self.context)
        if not isinstance(node, yaml.SequenceNode):
            raise invalid("Value is not a sequence", self.context, self.place(node))
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode):
                raise invalid("sequence value is not scalar", self.context, self.place(item))
        return tuple(str(item.value) for item in node.value)

    def unknown_keys(self, known: Iterable[str]) -> list[Diagnostic]:
        """Return a warning for every key that means nothing, or that is given again."""
        found: list[Diagnostic] = []
        seen: set[str] = set()
        for key, _ in pairs(self.node):
            if key.value not in known:
                message = f"Unknown key '{key.value}', it is ignored"
            elif key.value in seen:
                message = f"Key '{key.value}' is given twice, only the first counts"
            else:
                seen.add(key.value)
                continue
            found.append(diagnostic(LoadCode.UNKNOWN_KEY, message, self.context, self.place(key)))
        return found
