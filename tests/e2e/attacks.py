"""Bodies that a hostile or broken client may send, each among good records, and what must become of every record.

A row is made anew from a name of its own, so that it can be sent any number of times.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import zstandard

from vedette.schema.limits import BODY_BYTES_MAX, ITEM_BYTES_MAX, JSON_DEPTH_MAX, MIB

from .agent import audit_event, event_list, falco_alert


class Attack(NamedTuple):
    """One request, what its answer must be, and what must become of its records.

    `good`: records with an alert each. `reasons`: of the dead letters; `common`: likewise, but of records that other
    rows send as well, so that they may be duplicates here. `quiet`: records that are processed and match nothing.
    `both`: records that are good, and dead letters because of their bodies.
    """

    format: str
    body: bytes
    good: Sequence[bytes] = ()
    reasons: Sequence[str] = ()
    quiet: int = 0
    duplicates: int = 0
    status: int = 200
    fields: Mapping[str, str] = {}
    path: str = ""
    common: Sequence[str] = ()
    both: int = 0

    @property
    def records(self) -> int:
        bad = len(self.reasons) + len(self.common)
        return len(self.good) + bad + self.quiet + self.duplicates - self.both


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def audit(name: str, number: int = 0, **changes: Any) -> bytes:
    return dumps(audit_event(f"{name}-{number}", **changes))


def falco(name: str, number: int = 0, **changes: Any) -> bytes:
    # Not the output, but the fields tell one alert from another.
    fields = {"proc.name": "sh", "proc.pid": f"{name}-{number}"}
    # The name comes first: evidence has the beginning of a record.
    return dumps({"uuid": f"{name}-{number}"} | falco_alert("A shell", output_fields=fields) | changes)


def flow(name: str, number: int = 0) -> bytes:
    addresses = "10.0.0.1 10.0.0.2 40000 443 6"
    return f"2 123456789012 eni-{name}-{number} {addresses} 10 840 1795168740 1795168800 ACCEPT OK".encode()


GOOD: Final[dict[str, Callable[..., bytes]]] = {"kube_audit": audit, "falco": falco, "vpc_flow": flow}


def lines(items: Sequence[bytes]) -> bytes:
    return b"\n".join(items) + b"\n"


def array(items: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def stream(items: Sequence[bytes]) -> bytes:
    return b"".join(items)


ENVELOPES: Final = {"list": event_list, "array": array, "lines": lines}
SHAPES: Final = (
    ("kube_audit", "list"),
    ("kube_audit", "array"),
    ("kube_audit", "lines"),
    ("falco", "array"),
    ("falco", "lines"),
)


def nested(levels: int) -> str:
    return "[" * levels + "1" + "]" * levels


# --- one bad record between good ones ---------------------------------------------------------------------------------
BAD: Final[dict[str, tuple[bytes, str]]] = {
    "no-value": (b'{"auditID":"a","rule":"r","verb":}', "invalid JSON"),
    "no-comma": (b'{"auditID":"a" "rule":"r"}', "invalid JSON"),
    "bare-word": (b'{"auditID":undefined,"rule":"r"}', "invalid JSON"),
    "not-a-number": (b'{"auditID":"a","rule":"r","verb":NaN}', "invalid JSON"),
    "beyond-doubles": (b'{"auditID":"a","rule":"r","level":1e999}', "invalid JSON"),
    "lone-surrogate": (b'{"auditID":"a","rule":"r","verb":"\\ud800"}', "invalid JSON"),
    "nul-in-string": (b'{"auditID":"a\x00b","rule":"r\x00s"}', "invalid JSON"),
    "nul-between": (b'{"auditID":"a",\x00"rule":"r"}', "invalid JSON"),
    "latin-1": (b'{"auditID":"a","rule":"r","user":{"username":"J\xfcrgen"}}', "invalid UTF-8"),
    "overlong-utf-8": (b'{"auditID":"a","rule":"r","verb":"\xc0\xaf"}', "invalid UTF-8"),
    "utf-8-surrogate": (b'{"auditID":"a","rule":"r","verb":"\xed\xa0\x80"}', "invalid UTF-8"),
    "cut-utf-8": (b'{"auditID":"a","rule":"r","verb":"\xf0\x9f\x92"}', "invalid UTF-8"),
    "null": (b"null", "not a JSON object"),
    "string": (b'"\\u001b[2J"', "not a JSON object"),
    "empty-object": (b"{}", "not of the format"),
    "another-kind": (b'{"kind":"Pod","apiVersion":"v1","metadata":{}}', "not of the format"),
}
_NOT_OF_THE_FORMAT: Final = {"kube_audit": "not an audit event", "falco": "no Falco rule"}


def bad_between(format_name: str, envelope: str, bad: str, name: str) -> Attack:
    item, reason = BAD[bad]
    if reason == "not of the format":
        reason = _NOT_OF_THE_FORMAT[format_name]
    good = [GOOD[format_name](name, number) for number in range(3)]
    return Attack(format_name, ENVELOPES[envelope]([good[0], item, *good[1:]]), good, common=[reason])


# --- half batches -----------------------------------------------------------------------------------------------------
def cut(format_name: str, envelope: str, at: Callable[[bytes], int], name: str) -> Attack:
    """The last record, and what comes after it, is cut off."""
    good = [GOOD[format_name](name, number) for number in range(4)]
    body = ENVELOPES[envelope](good)
    last = good.pop()
    end = body.rindex(last) + at(last)
    return Attack(format_name, body[:end], good, common=["invalid JSON"])


CUTS: Final[dict[str, Callable[[bytes], int]]] = {
    "after-brace": lambda item: 1,
    "in-key": lambda item: 4,
    "after-colon": lambda item: item.index(b":") + 1,
    "in-string": lambda item: item.index(b"10:00") + 2,
    "before-brace": lambda item: len(item) - 1,
}


def cut_in_the_middle(format_name: str, name: str) -> Attack:
    """A writer that died in a line; the next one goes on after it."""
    good = [GOOD[format_name](name, number) for number in range(3)]
    return Attack(format_name, lines([good[0], good[1][:-9], good[1], good[2]]), good, ["invalid JSON"])


def between_items(name: str) -> Attack:
    """Cut right after an item's comma: nothing is bad, only missing."""
    good = [audit(name, number) for number in range(3)]
    return Attack("kube_audit", event_list(good)[:-2] + b",", good)


# --- numbers ----------------------------------------------------------------------------------------------------------
def big_numbers(name: str) -> Attack:
    numbers = [2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, 10**30, -(10**300), 1.7976931348623157e308]
    good = [audit(name, at, responseStatus={"code": number}) for at, number in enumerate(numbers)]
    good += [audit(name, 100 + at, requestObject={"spec": {"n": number}}) for at, number in enumerate(numbers)]
    return Attack("kube_audit", event_list(good), good)


def big_numbers_falco(name: str) -> Attack:
    numbers = [1795168800123456789, 2**53 + 1, 2**63, 2**64, 10**30, -(10**30)]
    good = [
        falco(name, at, output_fields={"evt.time": number, "proc.pid": number, "fd.sport": number, "n": f"{name}-{at}"})
        for at, number in enumerate(numbers)
    ]
    return Attack("falco", lines(good), good)


def endless_number(name: str) -> Attack:
    good = [audit(name)]
    bad = good[0].replace(b":201", b":" + b"9" * 100_000)
    return Attack("kube_audit", event_list([*good, bad]), good, ["invalid JSON"])


# --- sizes ------------------------------------------------------------------------------------------------------------
def sized(format_name: str, size_bytes: int, name: str) -> Attack:
    make = GOOD[format_name]
    field = {"kube_audit": "requestObject", "falco": "padding"}[format_name]
    fit = len(make(name, 1, **{field: {"data": ""}}))
    large = make(name, 1, **{field: {"data": "x" * (size_bytes - fit)}})
    good = [make(name, 0), make(name, 2)]
    batch = lines([good[0], large, good[1]])
    if size_bytes > ITEM_BYTES_MAX:
        return Attack(format_name, batch, good, ["record too large"])
    return Attack(format_name, batch, [*good, large])


def sea_of(byte: bytes, status: int, reasons: Sequence[str], name: str) -> Attack:
    return Attack("kube_audit", byte * BODY_BYTES_MAX, common=reasons, status=status)


def sea_of_brackets(name: str) -> Attack:
    """Lists with nothing in them hold no record."""
    return Attack("kube_audit", b"[" * BODY_BYTES_MAX)


def one_byte_more(name: str) -> Attack:
    return Attack("kube_audit", b" " * (BODY_BYTES_MAX + 1), status=413)


def nothing_but_space(name: str) -> Attack:
    return Attack("kube_audit", b" \n\r\t" * MIB)


def many_empty_records(name: str) -> Attack:
    good = [audit(name)]
    return Attack("kube_audit", lines([*good, *[b"{}"] * 3000]), good, common=["not an audit event"], duplicates=2999)


# --- nesting ----------------------------------------------------------------------------------------------------------
def nested_head(format_name: str, levels: int, name: str) -> Attack:
    good = [GOOD[format_name](name, number) for number in range(2)]
    field = {"kube_audit": "annotations", "falco": "hostname"}[format_name]
    deep = GOOD[format_name](name, 2, **{field: "@"}).replace(b'"@"', nested(levels - 1).encode())
    batch = lines([good[0], deep, good[1]])
    if levels <= JSON_DEPTH_MAX:
        return Attack(format_name, batch, [*good, deep])
    return Attack(format_name, batch, good, ["nested too deep"])


def nested_body(envelope: str, levels: int, padding: int, name: str) -> Attack:
    """What is wrong with a body hides no event: the alert is there, and so is the dead letter."""
    good = [audit(name, number) for number in range(2)]
    deep = audit(name, 2, requestObject="@", responseObject="x" * padding).replace(b'"@"', nested(levels - 1).encode())
    batch = ENVELOPES[envelope]([good[0], deep, good[1]])
    if levels <= JSON_DEPTH_MAX:
        return Attack("kube_audit", batch, [*good, deep])
    return Attack("kube_audit", batch, [*good, deep], ["nested too deep"], both=1)


# --- types ------------------------------------------------------------------------------------------------------------
WRONG: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1.5, 2**64, "", "\u001b[31m"),
    *([], [None], [[]], [{}], ["", 1, None]),
    *({}, {"": None}, {"a": {"b": [1]}}),
)
AUDIT_FIELDS: Final = (
    *("kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "sourceIPs", "userAgent"),
    *("user", "user.username", "user.uid", "user.groups", "user.extra"),
    *("impersonatedUser", "impersonatedUser.username", "impersonatedUser.groups", "authenticationMetadata"),
    *("objectRef", "objectRef.resource", "objectRef.namespace", "objectRef.name", "objectRef.subresource"),
    *("responseStatus", "responseStatus.code", "responseStatus.metadata", "responseStatus.reason"),
    *("requestObject", "requestObject.spec", "requestObject.metadata", "responseObject", "objectRef.apiGroup"),
    *("requestReceivedTimestamp", "stageTimestamp", "timestamp", "annotations", "metadata"),
)
FALCO_FIELDS: Final = (
    *("uuid", "output", "priority", "rule", "source", "time", "hostname", "tags", "output_fields"),
    *(f"output_fields|k8s.{field}" for field in ("ns.name", "pod.name")),
    *(f"output_fields|container.{field}" for field in ("id", "image", "name")),
    *(f"output_fields|proc.{field}" for field in ("name", "cmdline", "pid")),
    *(f"output_fields|fd.{field}" for field in ("name", "sip", "sport", "l4proto")),
    *(f"output_fields|evt.{field}" for field in ("time", "type", "res", "rawres")),
    *(f"output_fields|ka.{field}" for field in ("user.groups", "response.code", "req.pod.containers.image")),
    "output_fields|user.name",
)


def wrong_types_audit(name: str) -> Attack:
    good: list[bytes] = []
    bad: list[bytes] = []
    quiet: list[bytes] = []
    for field in AUDIT_FIELDS:
        for at, value in enumerate(WRONG):
            event = audit_event(f"{name}-{field}-{at}", kind="Event", apiVersion="audit.k8s.io/v1")
            *owners, key = field.split(".")
            place = event
            for owner in owners:
                place = place.setdefault(owner, {})
            place[key] = value
            event["userAgent"] = event.get("userAgent", f"{name}-{field}-{at}")
            named = field in ("kind", "apiVersion") and value is not None
            (bad if named else quiet if field == "verb" else good).append(dumps(event))
    return Attack("kube_audit", event_list([*good, *bad, *quiet]), good, ["not an audit event"] * len(bad), len(quiet))


def wrong_types_falco(name: str) -> Attack:
    good: list[bytes] = []
    bad: list[bytes] = []
    for field in FALCO_FIELDS:
        for at, value in enumerate(WRONG):
            alert = falco_alert("A shell", tags=["T1059"], name=f"{name}-{field}-{at}")
            alert["output_fields"] = dict(alert["output_fields"])
            owner, _, key = field.rpartition("|")
            (alert[owner] if owner else alert)[key] = value
            unnamed = field == "rule" and not (isinstance(value, str) and value)
            (bad if unnamed else good).append(dumps(alert))
    return Attack("falco", array([*good, *bad]), good, ["no Falco rule"] * len(bad))


# --- content codings --------------------------------------------------------------------------------------------------
def coded(coding: str, pack: Callable[[bytes], bytes], name: str) -> Attack:
    good = [audit(name, number) for number in range(5)]
    return Attack("kube_audit", pack(event_list(good)), good, fields={"Content-Encoding": coding})


def bomb(coding: str, pack: Callable[[bytes], bytes], name: str) -> Attack:
    return Attack("kube_audit", packed_zeros(pack), status=413, fields={"Content-Encoding": coding})


@lru_cache(maxsize=3)
def packed_zeros(pack: Callable[[bytes], bytes]) -> bytes:
    return pack(bytes(512 * MIB))


def zstd_bomb(name: str) -> Attack:
    """A frame that unfolds to 1 GiB and does not say so: blocks that repeat one byte."""
    block = ((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b"x"
    last = ((128 * 1024) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"x"
    frame = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x58" + block * 8191 + last
    return Attack("kube_audit", frame, status=413, fields={"Content-Encoding": "zstd"})


def cut_coding(coding: str, pack: Callable[[bytes], bytes], name: str) -> Attack:
    return Attack(
        "kube_audit", pack(event_list([audit(name)] * 9))[:-5], status=400, fields={"Content-Encoding": coding}
    )


def uncoded(coding: str, name: str) -> Attack:
    return Attack("kube_audit", event_list([audit(name)]), status=400, fields={"Content-Encoding": coding})


def zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(body)


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, 9 if len(body) > MIB else 1)


PACKS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzipped, "deflate": zlib.compress, "zstd": zstd}


# --- identities and times ---------------------------------------------------------------------------------------------
def one_audit_id(name: str) -> Attack:
    good = [dumps(audit_event(name, userAgent=f"client {number}")) for number in range(20)]
    return Attack("kube_audit", event_list(good), good)


def absurd_audit_ids(name: str) -> Attack:
    ids = [
        "",
        " ",
        "x" * MIB,
        "../../etc/passwd",
        "\u001b]0;owned\u0007",
        "\u202e" * 50,
        "a\nb",
        "\u0000",
        "'; DROP TABLE alert;--",
    ]
    good = [dumps({"userAgent": f"{name}-{number}"} | audit_event(audit_id)) for number, audit_id in enumerate(ids)]
    return Attack("kube_audit", event_list(good), good)


def identical(format_name: str, name: str) -> Attack:
    good = [GOOD[format_name](name, number) for number in range(3)]
    return Attack(format_name, lines([*good, *good, good[0]]), good, duplicates=4)


DATES: Final = {
    "9999": "9999-12-31T23:59:59.999999Z",
    "2262": "2262-04-11T23:47:16.854775807Z",
    "tomorrow": "2099-01-01T00:00:00.000000Z",
    "1970": "1970-01-01T00:00:00.000000Z",
    "1969": "1969-12-31T23:59:59.999999Z",
    "year-1": "0001-01-01T00:00:00.000000Z",
    "month-13": "2026-13-45T99:99:99.000000Z",
    "many-digits": "2026-11-20T10:00:00." + "9" * 10_000 + "Z",
    "offset": "2026-11-20T10:00:00+99:99",
    "words": "yesterday",
    "arabic-digits": "٢٠٢٦-11-20T10:00:00.000000Z",
}


def dated_audit(name: str) -> Attack:
    good = [
        audit(name, number, stageTimestamp=date, requestReceivedTimestamp=date, userAgent=key)
        for number, (key, date) in enumerate(DATES.items())
    ]
    return Attack("kube_audit", event_list(good), good)


def dated_falco(name: str) -> Attack:
    good = [falco(name, number, time=date) for number, date in enumerate(DATES.values())]
    return Attack("falco", lines(good), good)


def dated_flows(name: str) -> Attack:
    ends = ["0", "1", "9" * 18, "253402300799"]
    good = [flow(name, number).replace(b"1795168800", end.encode()) for number, end in enumerate(ends)]
    bad = flow(name, 9).replace(b"1795168800", b"9" * 19)
    return Attack("vpc_flow", lines([*good, bad]), good, ["not a number"])


# --- text -------------------------------------------------------------------------------------------------------------
TEXTS: Final = {
    "ansi": "\u001b[2J\u001b]0;owned\u0007\u001b[31mred",
    "c1": "\u009b31m\u0085\u0090q",
    "bidi": "safe\u202etxt.exe\u2066\u2069",
    "line-breaks": "one\ntwo\r\nthree\u2028four\u2029five\v\f",
    "backspace": "rm\b\b  \u007f\u0000",
    "invisible": "a\u200bb\u00adc\ufeffd\u2060e",
    "wide": "👩‍👩‍👧‍👦 ﷽ 𒐫 Z̸͎͓̹̲a̷l̴g̶o̵",
    "unassigned": "\U000e0001\uffff\ue000",
    "quotes": "\"'`$(reboot)`<script>alert(1)</script>{{7*7}}%s%n",
    "long": "A" * MIB,
}


def texts_audit(text: str, name: str) -> Attack:
    good = [
        audit(name, 0, user={"username": TEXTS[text], "groups": [TEXTS[text]]}),
        audit(name, 1, objectRef={"resource": "pods", "namespace": TEXTS[text], "name": TEXTS[text]}),
        audit(name, 2, userAgent=TEXTS[text], requestURI=TEXTS[text]),
    ]
    return Attack("kube_audit", event_list(good), good)


def texts_falco(text: str, name: str) -> Attack:
    fields = {
        "proc.pid": f"{name}-1",
        "k8s.pod.name": TEXTS[text],
        "k8s.ns.name": TEXTS[text],
        "user.name": TEXTS[text],
    }
    good = [
        falco(name, 0, rule=TEXTS[text], output=TEXTS[text], hostname=TEXTS[text], tags=[TEXTS[text]]),
        falco(name, 1, output_fields={**fields, "proc.cmdline": TEXTS[text], "container.image": TEXTS[text]}),
        falco(name, 2, output_fields={TEXTS[text]: name, "proc.name": TEXTS[text]}),
    ]
    return Attack("falco", lines(good), good)


# --- other formats and places -----------------------------------------------------------------------------------------
def flows(name: str) -> Attack:
    good = [flow(name, number) for number in range(3)]
    bad = {
        b"": None,
        b"2 123 %b 10.0.0.1" % name.encode(): "wrong number of columns",
        flow(name, 9).replace(b" 443 ", b" http "): "not a number",
        flow(name, 9).replace(b"eni-", b"\xff\xfe"): "not ASCII",
        b'{"srcaddr": "%b"' % name.encode(): "invalid JSON",
        b"%b\x00\x00" % name.encode(): "wrong number of columns",
        b"%b " % name.encode() * 50_000: "wrong number of columns",
    }
    items = [good[0], *bad, good[1], flow(name, 8).replace(b"ACCEPT OK", b"- SKIPDATA"), good[2]]
    return Attack("vpc_flow", lines(items), good, [reason for reason in bad.values() if reason], quiet=1)


def text_output(name: str) -> Attack:
    """Falco without `json_output`."""
    good = [falco(name)]
    text = f"10:00:00.000000000: Warning A shell was spawned ({name})".encode()
    return Attack("falco", lines([text, *good]), good, ["not a JSON object"])


def by_name(format_name: str, name: str) -> Attack:
    good = [GOOD[format_name](name, number) for number in range(3)]
    item = b"{" if format_name != "vpc_flow" else b"2"
    reason = "invalid JSON" if format_name != "vpc_flow" else "wrong number of columns"
    return Attack(format_name, lines([*good, item]), good, common=[reason], path=f"/intake/{format_name}")


def elsewhere(path: str, name: str) -> Attack:
    return Attack("falco", falco(name), status=404, path=path)


def _rows() -> dict[str, Callable[[str], Attack]]:
    """All rows, by the name of their test."""
    rows: dict[str, Callable[[str], Attack]] = {}
    for shape in SHAPES:
        rows |= {f"{bad}-in-{'-'.join(shape)}": partial(bad_between, *shape, bad) for bad in BAD}
        rows |= {f"cut-{at}-of-{'-'.join(shape)}": partial(cut, *shape, CUTS[at]) for at in CUTS}
    for form in ("kube_audit", "falco"):
        rows[f"cut-line-of-{form}"] = partial(cut_in_the_middle, form)
        rows |= {f"{size}-MB-{form}": partial(sized, form, size * 1_000_000) for size in (5, 9)}
        rows[f"limit-{form}"] = partial(sized, form, ITEM_BYTES_MAX)
        rows[f"over-limit-{form}"] = partial(sized, form, ITEM_BYTES_MAX + 1)
        rows |= {f"nested-{levels}-{form}": partial(nested_head, form, levels) for levels in LEVELS}
        rows[f"identical-{form}"] = partial(identical, form)
    for levels in LEVELS:
        rows |= {
            f"nested-{levels}-body-{envelope}{'-padded' if padding else ''}": partial(
                nested_body, envelope, levels, padding
            )
            for envelope in ENVELOPES
            for padding in (0, 20_000)
        }
    for coding, pack in PACKS.items():
        rows[f"{coding}"] = partial(coded, coding, pack)
        rows[f"{coding}-bomb"] = partial(bomb, coding, pack)
        rows[f"cut-{coding}"] = partial(cut_coding, coding, pack)
        rows[f"no-{coding}"] = partial(uncoded, coding)
    for text in TEXTS:
        rows[f"{text}-in-audit"] = partial(texts_audit, text)
        rows[f"{text}-in-falco"] = partial(texts_falco, text)
    for form in GOOD:
        rows[f"intake-{form}"] = partial(by_name, form)
    return rows | {
        "cut-between-items": between_items,
        "big-numbers-audit": big_numbers,
        "big-numbers-falco": big_numbers_falco,
        "endless-number": endless_number,
        "sea-of-braces": partial(sea_of, b"{", 413, ()),
        "sea-of-brackets": sea_of_brackets,
        "sea-of-commas": partial(sea_of, b",", 413, ()),
        "sea-of-line-ends": partial(sea_of, b"\n", 413, ()),
        "sea-of-quotes": partial(sea_of, b'"', 200, ["record too large"]),
        "sea-of-nul": partial(sea_of, b"\0", 200, ["record too large"]),
        "one-byte-more": one_byte_more,
        "nothing-but-space": nothing_but_space,
        "many-empty-records": many_empty_records,
        "wrong-types-audit": wrong_types_audit,
        "wrong-types-falco": wrong_types_falco,
        "unfolding-zstd-bomb": zstd_bomb,
        "one-audit-id": one_audit_id,
        "absurd-audit-ids": absurd_audit_ids,
        "dates-audit": dated_audit,
        "dates-falco": dated_falco,
        "dates-flows": dated_flows,
        "flows": flows,
        "text-output": text_output,
        "unknown-format": partial(elsewhere, "/intake/nothing"),
        "unknown-path": partial(elsewhere, "/../etc/passwd"),
    }


LEVELS: Final = (JSON_DEPTH_MAX, JSON_DEPTH_MAX + 1, 500, 5_000, 100_000)
ROWS: Final = _rows()
