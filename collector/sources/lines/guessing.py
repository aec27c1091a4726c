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
_HUBBLE_KEYS: Final = frozenset({"flow", "lost_events", "node_status", "agent_event", "debug_event"})
_HUBBLE_FLOW_KEYS: Final = frozenset({"verdict", "Type"})
_LINE_KEYS: Final = ("log", "message")
"""Where agents put a line of text."""
_FALCO: Final = tuple(re.compile(rb'"%s"\s*:\s*"' % key) for key in (b"rule", b"priority", b"output"))
_VPC_HEADER: Final = frozenset({b"srcaddr", b"dstaddr", b"pkt-srcaddr", b"pkt-dstaddr"})
_VPC_LINE: Final = re.compile(
    rb"\d+ (?:\d{12}|unknown) eni-[0-9a-f]+ (?:\S+ ){9}(?:ACCEPT|REJECT|-) (?:OK|NODATA|SKIPDATA)\s*$"
    rb"|6 TransitGateway (?:\S+ ){33}\S+\s*$"
)
"""The default formats, versions 2 and 6 (AWS' user guides of VPC and of transit gateways, "Flow log records")."""


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
        lines = (first.get(key) for key in _LINE_KEYS)
        inner = (_first_object(line.encode()) for line in lines if isinstance(line, str))
        return _format_of(first) or next((_format_of(found) for found in inner if found), None)
    if _AUDIT.search(text) or all(b'"%s"' % key.encode() in text for key in _AUDIT_KEYS):
        return "kube_audit"
    return "falco" if all(pattern.search(text) for pattern in _FALCO) else None


def _format_of(record: dict[str, Any]) -> str | None:
    if str(record.get("apiVersion", "")).startswith("audit.k8s.io/") or record.keys() >= _AUDIT_KEYS:
        return "kube_audit"
    if record.keys() >= _FALCO_KEYS and record.keys() & {"output", "output_fields"}:
        return "falco"
    told = "node_name" in record and record.keys() & _HUBBLE_KEYS
    return "hubble" if told or _is_flow(record) or _is_flow(record.get("flow")) else None


def _is_flow(value: object) -> bool:
    return isinstance(value, dict) and cast("dict[str, Any]", value).keys() >= _HUBBLE_FLOW_KEYS


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
