"""The event sources that rules can name, and how a field of a rule is looked up in them."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final, NamedTuple

from detectors.falco.audit_fields import AUDIT_FIELDS, JSON_FIELDS
from detectors.falco.field_types import REQUIRED, Argument, FieldInfo, FieldTable
from detectors.falco.syntax import Field
from detectors.falco.syscall_fields import SYSCALL_FIELDS


class UnknownFieldError(Exception):
    """A source has no such field. Rules with `skip-if-unknown-filter` are skipped for it, others refused."""


class FieldError(Exception):
    """A field's argument is missing, needless or wrong."""


class Source(NamedTuple):
    """An event source: its name and fields, and whether its events have types (`evt.type`).

    With `untyped_lists` a list may be compared as if it were one value: some element has to pass.
    """

    name: str
    fields: FieldTable
    has_event_types: bool = False
    untyped_lists: bool = False

    def resolve(self, field: Field) -> tuple[FieldInfo, Field]:
        """Return what is known of a field, and the field as the table names it (`evt.arg.path` as `evt.arg[path]`).

        Raises:
            UnknownFieldError: this source does not have it.
            FieldError: its argument is not what the field takes.
        """
        info = self.fields.get(field.name)
        if info is None:
            return self._with_suffix(field)
        if field.arg is None:
            if info.argument in REQUIRED:
                raise FieldError(f"field '{field.name}' requires an argument, as in '{field.name}[…]'")
        else:
            _check_argument(info, field.arg)
        return info, field

    def _with_suffix(self, field: Field) -> tuple[FieldInfo, Field]:
        names = field.name.split(".")
        for count in range(len(names) - 1, 1, -1):
            info = self.fields.get(".".join(names[:count]))
            if info is not None and info.argument is Argument.SUFFIX and field.arg is None:
                return info, Field(info.name, ".".join(names[count:]))
        raise UnknownFieldError(f"filter_check called with nonexistent field {field.name}")


_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


def _check_argument(info: FieldInfo, arg: str) -> None:
    if info.argument is Argument.NONE:
        raise FieldError(f"field '{info.name}' takes no argument; remove '[{arg}]'")
    if info.argument is Argument.INDEX and not _INDEX.fullmatch(arg):
        raise FieldError(f"field '{info.name}' takes a position counted from 0 as its argument, not '{arg}'")


SOURCES: Final = MappingProxyType(
    {
        "syscall": Source("syscall", SYSCALL_FIELDS, has_event_types=True),
        "k8s_audit": Source("k8s_audit", AUDIT_FIELDS),
        "json": Source("json", JSON_FIELDS),
    }
)
"""Falco's own source, that of its k8saudit plugins, and `json`: documents of any kind, seen through `jevt` alone."""
