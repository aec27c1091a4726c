"""Reads syslog and CEF back, strictly and after their standards alone: knows nothing of how the sink writes them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple

FRAME: Final = re.compile(rb"([1-9][0-9]*) ")
PRIORITY: Final = re.compile(r"<(0|[1-9][0-9]{0,2})>([1-9][0-9]{0,2}) ")
TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
LENGTHS: Final = {"hostname": 255, "app_name": 48, "procid": 128, "msgid": 32}
SD_NAME: Final = re.compile(r'[^\x00-\x20\x7f-\U0010ffff="\]]{1,32}')
PRIORITY_MAX: Final = 191


class NotSyslogError(Exception):
    """What came is not what the standards say."""


class Message(NamedTuple):
    facility: int
    severity: int
    time: datetime
    hostname: str
    app_name: str
    procid: str
    msgid: str
    data: dict[str, dict[str, str]]
    body: bytes


def read_frames(stream: bytes) -> tuple[list[bytes], bytes]:
    """Cut octet-counted messages (RFC 6587 §3.4.1) out of a stream; also return what is not whole yet."""
    frames: list[bytes] = []
    while stream:
        head = FRAME.match(stream)
        if head is None:
            if re.fullmatch(rb"[0-9]{1,7}", stream):
                break
            raise NotSyslogError(f"no length: {stream[:40]!r}")
        end = head.end() + int(head[1])
        if len(stream) < end:
            break
        frames.append(stream[head.end() : end])
        stream = stream[end:]
    return frames, stream


def read_message(frame: bytes) -> Message:
    """Read one message (RFC 5424 §6)."""
    # The body may be any octets; before it, only values of structured data are more than ASCII.
    text = frame.decode("utf-8")
    priority = PRIORITY.match(text)
    if priority is None or int(priority[1]) > PRIORITY_MAX or priority[2] != "1":
        raise NotSyslogError(f"no priority and version: {text[:40]!r}")
    at = priority.end()
    fields: list[str] = []
    for length in (64, *LENGTHS.values()):
        end = text.index(" ", at)
        field = text[at:end]
        if not field or len(field) > length or not re.fullmatch(r"[!-~]+", field):
            raise NotSyslogError(f"no header field: {field!r}")
        fields.append(field)
        at = end + 1
    if not TIME.fullmatch(fields[0]):
        raise NotSyslogError(f"no time: {fields[0]!r}")
    data, at = _read_data(text, at)
    if at < len(text) and text[at] != " ":
        raise NotSyslogError("nothing between structured data and body")
    body = text[at + 1 :].encode()
    facility, severity = divmod(int(priority[1]), 8)
    time, hostname, app_name, procid, msgid = fields
    return Message(facility, severity, datetime.fromisoformat(time), hostname, app_name, procid, msgid, data, body)


def _read_data(text: str, at: int) -> tuple[dict[str, dict[str, str]], int]:
    if text[at] == "-":
        return {}, at + 1
    found: dict[str, dict[str, str]] = {}
    while at < len(text) and text[at] == "[":
        name, at = _read_name(text, at + 1)
        if name in found:
            raise NotSyslogError(f"{name} twice")
        values = found[name] = {}
        while text[at] == " ":
            key, at = _read_name(text, at + 1)
            if text[at : at + 2] != '="':
                raise NotSyslogError(f"no value of {key}")
            if key in values:
                raise NotSyslogError(f"{key} twice")
            values[key], at = _read_value(text, at + 2)
        if text[at] != "]":
            raise NotSyslogError(f"no end of {name}")
        at += 1
    if not found:
        raise NotSyslogError("no structured data")
    return found, at


def _read_name(text: str, at: int) -> tuple[str, int]:
    name = SD_NAME.match(text, at)
    if name is None:
        raise NotSyslogError(f"no name: {text[at : at + 40]!r}")
    return name[0], name.end()


def _read_value(text: str, at: int) -> tuple[str, int]:
    value: list[str] = []
    while text[at] != '"':
        if text[at] == "\\" and text[at + 1] in '"\\]':
            at += 1
        elif text[at] == "]":
            raise NotSyslogError("a bracket that is not escaped")
        value.append(text[at])
        at += 1
    return "".join(value), at + 1


class Cef(NamedTuple):
    vendor: str
    product: str
    version: str
    rule: str
    name: str
    severity: int
    values: dict[str, str]


def read_cef(body: bytes) -> Cef:
    """Read a CEF message, version 0. A value ends where ` key=` begins, with an `=` that is not escaped."""
    text = body.decode()
    if not text.startswith("CEF:0|") or not text.isprintable():
        raise NotSyslogError(f"no CEF: {text[:40]!r}")
    fields: list[str] = [""]
    at = len("CEF:0|")
    while len(fields) < 7:
        if text[at] == "\\":
            if text[at + 1] not in "\\|":
                raise NotSyslogError(f"no escape: {text[at : at + 2]!r}")
            fields[-1] += text[at + 1]
            at += 2
        elif text[at] == "|":
            fields.append("")
            at += 1
        else:
            fields[-1] += text[at]
            at += 1
    vendor, product, version, rule, name, severity, _ = fields
    return Cef(vendor, product, version, rule, name, int(severity), _read_extension(text[at:]))


def _read_extension(text: str) -> dict[str, str]:
    equals = [at for at in range(len(text)) if text[at] == "=" and not _escaped(text, at)]
    starts = [text.rfind(" ", 0, at) + 1 for at in equals]
    values: dict[str, str] = {}
    for number, (start, at) in enumerate(zip(starts, equals, strict=True)):
        key = text[start:at]
        if not re.fullmatch(r"[A-Za-z0-9_]+", key) or key in values:
            raise NotSyslogError(f"no key, or one that is there twice: {key!r}")
        end = starts[number + 1] - 1 if number + 1 < len(starts) else len(text)
        values[key] = re.sub(r"\\(.)", _unescaped, text[at + 1 : end])
    return values


def _escaped(text: str, at: int) -> bool:
    before = text[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _unescaped(found: re.Match[str]) -> str:
    if found[1] not in "\\=":
        raise NotSyslogError(f"no escape that was meant: {found[0]!r}")
    return found[1]
