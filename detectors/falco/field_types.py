"""What a field is: its type, whether it is a list, which argument it takes; and which operators its type has.

Source: falcosecurity/libs, userspace/libsinsp/filter_compare.cpp (`flt_is_comparable`), value_parser.cpp,
sinsp_filtercheck.cpp and sinsp_filter_transformer.cpp.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final, NamedTuple


class FieldType(StrEnum):
    """A field's type, under the name that Falco's messages use."""

    CHARBUF = "CHARBUF"
    BYTEBUF = "BYTEBUF"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    PORT = "PORT"
    RELTIME = "RELTIME"
    ABSTIME = "ABSTIME"
    DOUBLE = "DOUBLE"
    BOOL = "BOOL"
    IPADDR = "IPADDR"
    IPNET = "IPNET"
    DYN = "DYN"
    """Known with the event only; values compare as what they are."""


class Argument(Enum):
    """What may stand in the brackets behind a field's name."""

    NONE = "none"
    INDEX = "index"
    KEY = "key"
    KEY_REQUIRED = "key required"
    ANY = "any"
    ANY_REQUIRED = "any required"
    SUFFIX = "suffix"
    """Required, and also written as one more name: `evt.arg.path` is `evt.arg[path]`."""


class FieldInfo(NamedTuple):
    """One row of a field table.

    `plain_only`: takes neither transformers nor a field on the right. `filter_only`: not in outputs.
    """

    name: str
    type: FieldType
    is_list: bool = False
    argument: Argument = Argument.NONE
    plain_only: bool = False
    filter_only: bool = False


FieldTable = dict[str, FieldInfo]

REQUIRED: Final = frozenset((Argument.KEY_REQUIRED, Argument.ANY_REQUIRED, Argument.SUFFIX))

NUMERIC: Final = frozenset(
    (
        FieldType.INT16,
        FieldType.INT32,
        FieldType.INT64,
        FieldType.UINT32,
        FieldType.UINT64,
        FieldType.PORT,
        FieldType.RELTIME,
        FieldType.ABSTIME,
        FieldType.DOUBLE,
    )
)
_LISTABLE: Final = frozenset(
    (
        FieldType.CHARBUF,
        FieldType.UINT64,
        FieldType.RELTIME,
        FieldType.ABSTIME,
        FieldType.BOOL,
        FieldType.IPADDR,
        FieldType.IPNET,
    )
)
_SET: Final = frozenset(("=", "!=", "in", "intersects"))
_ORDER: Final = frozenset(("<", "<=", ">", ">="))
_STRING: Final = _SET | _ORDER | {"contains", "icontains", "startswith", "endswith", "glob", "iglob", "pmatch", "regex"}
_BUFFER: Final = _SET | {"contains", "startswith", "endswith", "bcontains", "bstartswith"}


def unsupported(op: str, info: FieldInfo) -> str:
    """Say why a field's type does not have an operator; empty if it has."""
    op = "=" if op == "==" else op
    if op == "exists" or info.type is FieldType.DYN:
        return ""
    if info.is_list:
        if info.type not in _LISTABLE:
            return f"list filters are not supported for type '{info.type}'"
        return "" if op in ("in", "intersects") else f"'{op}' operator not supported list filters"
    kind, ops = _family(info.type)
    return "" if op in ops else f"'{op}' operator not supported for {kind} filters"


def _family(kind: FieldType) -> tuple[str, frozenset[str]]:
    if kind in NUMERIC:
        return "numeric", _SET | _ORDER
    if kind is FieldType.CHARBUF:
        return "string", _STRING
    if kind is FieldType.BYTEBUF:
        return "buffer", _BUFFER
    return ("numeric" if kind is FieldType.BOOL else "ip address and network"), _SET


def table(
    fields: dict[FieldType, str],
    *,
    arguments: dict[Argument, str] | None = None,
    lists: str = "",
    plain_only: str = "",
    filter_only: str = "",
) -> FieldTable:
    """Build a table from names in words: by type, then those with an argument, the lists, and the restricted ones."""
    by_name = {name: argument for argument, names in (arguments or {}).items() for name in names.split()}
    in_lists, in_plain, in_filter = set(lists.split()), set(plain_only.split()), set(filter_only.split())
    return {
        name: FieldInfo(
            name,
            kind,
            name in in_lists,
            by_name.get(name, Argument.NONE),
            name in in_plain,
            name in in_filter,
        )
        for kind, names in fields.items()
        for name in names.split()
    }
