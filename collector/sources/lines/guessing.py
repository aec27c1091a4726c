"""Guesses the format of a file from its first bytes, for `vedette scan` without `--source`.

A guess saves typing and is shown to the user; it decides nothing in the running agent.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

import orjson

_AUDIT: Final = re.compile(rb'"apiVersion"\s*:\s*"audit\.k8s\.io/')
_AUDIT_KEYS: Final = frozenset({"auditID", "stage", "verb"})
_FALCO_KEYS: Final = frozenset({"rule", "priority"})
_FALCO: Final = tuple(re.compile(rb'"%s"\s*:\s*"' % key) for key in (b"rule", b"priority", b"output"))
_VPC_HEADER: Final = frozenset({b"srcaddr", b"dstaddr", b"pkt-srcaddr", b"pkt-dstaddr"})
_VPC_LINE: Final = re.compile(
    rb"\d+ (?:\d{12}|unknown) eni-[0-9a-f]+ (?:\S+ ){9}(?:ACCEPT|REJECT|-) (?:OK|NODATA|SKIPDATA)\s*$"
)
"""The default format, version 2 (AWS VPC user guide, "Flow log records")."""


def guess_format(first_bytes: bytes, name: str = "") -> str | None:
    """Name the decoder for a file that begins with these (decompressed) bytes; None if they tell nothing.

    Of `name` only AWS's own object names count (`…_vpcflowlogs_…`), where the bytes say nothing (a custom field order).
    """
    text = first_bytes.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"["):
        return _guess_json(text)
    line = text.partition(b"\n")[0]
    if len(_VPC_HEADER.intersection(line.split())) > 1 or _VPC_LINE.match(line):
        return "vpc_flow"
    return "vpc_flow" if "_vpcflowlogs_" in name else None


def _guess_json(text: bytes) -> str | None:
    """Look at the first record if it is whole, else (pretty-printed, or longer than what we see) at the text."""
    first = _first_object(text)
    if first is not None:
        if str(first.get("apiVersion", "")).startswith("audit.k8s.io/") or first.keys() >= _AUDIT_KEYS:
            return "kube_audit"
        return "falco" if first.keys() >= _FALCO_KEYS and first.keys() & {"output", "output_fields"} else None
    if _AUDIT.search(text) or all(b'"%s"' % key.encode() in text for key in _AUDIT_KEYS):
        return "kube_audit"
    return "falco" if all(pattern.search(text) for pattern in _FALCO) else None


def _first_object(text: bytes) -> dict[str, Any] | None:
    for candidate in (text, text.partition(b"\n")[0]):
        try:
            value: object = orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, list) and value:
            value = cast("list[object]", value)[0]
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
    return None
