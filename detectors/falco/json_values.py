"""The values of fields in a JSON document: `ka.*` of an audit event, `jevt.*` of anything, `evt.*` of both.

Source: falcosecurity/plugins, plugins/json and plugins/k8saudit. Times are UTC (Falco shows its host's).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from detectors.falco.audit_event import AuditEvent, Mode, json_text
from detectors.falco.audit_values import EXTRACTS
from detectors.values import instant, is_list, is_object

Whole = Callable[[], dict[str, Any]]

_TIMES: Final = ("stageTimestamp", "requestReceivedTimestamp", "timestamp")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_SECOND_NS: Final = 1_000_000_000


class JsonValues:
    """Reads and remembers the values of one document.

    `time_ns` is the event's time; without it that of the document counts, if it has one. Time never is 0, because
    `jevt.rawtime=0` is how stock rules write "never". `whole`: where `doc` is only the head of an audit event (some of
    its keys, and never the bodies), what fetches all of it when a field asks for more.
    """

    def __init__(
        self, doc: dict[str, Any], mode: Mode = Mode.FIXED, time_ns: int = 0, whole: Whole | None = None
    ) -> None:
        self._head = doc
        self._whole = whole or (lambda: doc)
        self._audit = AuditEvent(doc, mode, self._whole) if whole is not None or "auditID" in doc else None
        self._given_ns = time_ns
        self._known: dict[tuple[str, str | None], Any] = {}

    @property
    def doc(self) -> dict[str, Any]:
        """The whole document."""
        return self._whole()

    def pointed(self, pointer: str) -> Any:
        """Return what a JSON pointer leads to; more than the head is fetched only if it does not begin there."""
        first = pointer.removeprefix("/").partition("/")[0]
        return pointed(self._head if first in self._head else self._whole(), pointer)

    @property
    def is_audit(self) -> bool:
        """Whether it is an audit event."""
        return self._audit is not None

    def get(self, name: str, arg: str | None) -> Any:
        """Return the value of a field, None if the document has none."""
        key = (name, arg)
        try:
            return self._known[key]
        except KeyError:
            value = self._known[key] = self._read(name, arg)
            return value

    @property
    def time_ns(self) -> int:
        """The event's time in nanoseconds since 1970; 1 if nobody knows it."""
        if self._given_ns:
            return self._given_ns
        for key in _TIMES:
            when = instant(self._head.get(key))
            if when is not None and when > _EPOCH:
                return (when - _EPOCH) // timedelta(microseconds=1) * 1000
        return 1

    def _read(self, name: str, arg: str | None) -> Any:
        extract = EXTRACTS.get(name)
        if extract is not None:
            return extract(self._audit, arg) if self._audit else None
        read = _DOCUMENT.get(name)
        return None if read is None else read(self, arg)


def pointed(doc: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) leads to; None if nothing. One slash in front may be left out."""
    if not pointer:
        return doc
    value = doc
    for step in pointer.removeprefix("/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if is_object(value):
            value = value.get(key)
        elif is_list(value) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _clock(values: JsonValues) -> str:
    seconds, rest = divmod(values.time_ns, _SECOND_NS)
    return f"{_moment(seconds):%H:%M:%S}.{rest:09d}"


def _iso8601(values: JsonValues) -> str:
    seconds, rest = divmod(values.time_ns, _SECOND_NS)
    return f"{_moment(seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}+0000"


def _datetime(values: JsonValues) -> str:
    seconds, rest = divmod(values.time_ns, _SECOND_NS)
    return f"{_moment(seconds):%Y-%m-%d %H:%M:%S}.{rest:09d}"


def _moment(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=min(seconds, 1 << 37))


def _value(values: JsonValues, arg: str | None) -> Any:
    return json_text(values.pointed(arg or ""))


def _object(values: JsonValues, _arg: str | None) -> Any:
    return json_text(values.doc)


_DOCUMENT: Final[dict[str, Callable[[JsonValues, str | None], Any]]] = {
    "jevt.value": _value,
    "json.value": _value,
    "jevt.obj": _object,
    "json.obj": _object,
    "jevt.time": lambda values, _arg: _clock(values),
    "json.time": lambda values, _arg: _clock(values),
    "jevt.time.iso8601": lambda values, _arg: _iso8601(values),
    "jevt.rawtime": lambda values, _arg: str(values.time_ns),
    "json.rawtime": lambda values, _arg: str(values.time_ns),
    "evt.time": lambda values, _arg: _clock(values),
    "evt.time.s": lambda values, _arg: _clock(values)[:8],
    "evt.time.iso8601": lambda values, _arg: _iso8601(values),
    "evt.datetime": lambda values, _arg: _datetime(values),
    "evt.datetime.s": lambda values, _arg: _datetime(values)[:19],
    "evt.rawtime": lambda values, _arg: values.time_ns,
    "evt.rawtime.s": lambda values, _arg: values.time_ns // _SECOND_NS,
    "evt.rawtime.ns": lambda values, _arg: values.time_ns % _SECOND_NS,
    "evt.is_async": lambda _values, _arg: False,
    "evt.source": lambda values, _arg: "k8s_audit" if values.is_audit else "json",
}
