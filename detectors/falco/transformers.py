"""Transformers: which types they take and give, and what they make of values.

Source: falcosecurity/libs, userspace/libsinsp/sinsp_filter_transformer.cpp. A transformer of a missing value has none;
`b64` decodes, and has no value for what is not base64.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final

from detectors.falco.field_types import FieldInfo, FieldType
from detectors.falco.patterns import lower, upper
from detectors.falco.sources import FieldError
from detectors.values import is_list, text

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*")
_OPTION: Final = re.compile(r"[^:-]")


def result_type(name: str, info: FieldInfo) -> FieldInfo:
    """Return what a transformer of one field gives.

    Raises:
        FieldError: it does not take that type.
    """
    if info.plain_only:
        raise FieldError(f"field '{info.name}' does not support transformers")
    if name == "len":
        if info.is_list or info.type in (FieldType.CHARBUF, FieldType.BYTEBUF):
            return info._replace(type=FieldType.UINT64, is_list=False)
    elif info.type is FieldType.CHARBUF or (name == "b64" and info.type is FieldType.BYTEBUF):
        return info
    kind = "list field" if info.is_list else "field"
    raise FieldError(
        f"can't add field transformer: type '{info.type}' is not supported by '{name}' transformer applied on {kind} "
        f"'{info.name}'"
    )


def apply(name: str, value: Any) -> Any:
    """Return what a transformer of one field makes of its value; of a list, element by element."""
    if name == "len":
        return len(value) if is_list(value) else len(_encoded(value))
    change = _CHANGES[name]
    if not is_list(value):
        return change(value)
    changed = [change(item) for item in value]
    return None if None in changed else changed


def _encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _decoded(value: Any) -> Any:
    string = value.decode("latin-1") if isinstance(value, bytes) else text(value) or ""
    stripped = string.rstrip("=")
    if not _BASE64.fullmatch(stripped):
        return None
    try:
        data = b64decode(stripped + "=" * (-len(stripped) % 4))
    except binascii.Error:
        return None
    return data if isinstance(value, bytes) else data.decode("utf-8", "surrogateescape")


_CHANGES: Final[dict[str, Callable[[Any], Any]]] = {
    "tolower": lambda value: lower(text(value) or ""),
    "toupper": lambda value: upper(text(value) or ""),
    "basename": lambda value: (text(value) or "").rpartition("/")[2],
    "b64": _decoded,
}


def option(words: list[str], known: str, wanted: str | None) -> Any:
    """Return the argument of an option as C's getopt finds it (empty for a flag); without `wanted` all options found.

    None where there is none. `known` is getopt's own string: letters, each with a colon behind if it takes an argument.
    """
    takes = {found.group(): known[found.end() : found.end() + 1] == ":" for found in _OPTION.finditer(known)}
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        letters = word[1:] if word.startswith("-") else ""
        for at, letter in enumerate(letters):
            if takes.get(letter):
                found.setdefault(letter, letters[at + 1 :] or next(rest, ""))
                break
            if letter in takes:
                found.setdefault(letter, "")
    return (list(found) or None) if wanted is None else found.get(wanted)
