"""What rule packs say of alerts that a sensor reports: how urgent they are, what they mean, what makes two of them one.

falco_alerts:
  Terminal shell in container:              # the name of Falco's rule
    level: medium                           # stands in place of Falco's priority
    attack: [T1059.004]                     # stands in place of Falco's tags
    controls: [SP 800-53 SI-4]
    dedup_by: [k8s.ns.name, k8s.pod.name]
    dedup_as: shell-in-a-pod                # rules and alerts that share it share alerts
    covers: [C26]
    description: A shell with a terminal was started in a container …
    references: [https://falco.org/docs/]
    falsepositives: [On-call work]
    shadow: true                            # it counts, and alerts nobody

Every key may be left out. Tables add up in the order of their texts: of what two say of one alert, the later one
counts, key by key. Reading is bounded as that of all rule texts is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from detectors.alert_info import AlertInfo
from detectors.rule import RuleText
from detectors.sigma.documents import Document, Key, read_documents
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError
from vedette.schema.level import Level
from vedette.schema.rule import RuleInfo

SECTION: Final = "falco_alerts"

_IS_TABLE: Final = re.compile(rf"^[\"']?{SECTION}[\"']?\s*:", re.MULTILINE)
_WORDS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "attack": (re.compile(r"TA\d{4}|T\d{4}(\.\d{3})?", re.ASCII), "an ATT&CK id; write T1609, T1552.007 or TA0002"),
    "controls": (
        re.compile(r"SP 800-53 [A-Z]{2}-\d{1,2}(\(\d{1,2}\))?|SP 800-190 \d(\.\d{1,2}){0,2}", re.ASCII),
        "a NIST control; write SP 800-53 AU-12 or SP 800-190 3.3.2",
    ),
    "dedup_by": (re.compile(r"[^@].*|@event", re.DOTALL), "a field; write a field's name or @event"),
    "covers": (re.compile(r"[CU][1-9]\d{0,2}", re.ASCII), "a row of the coverage table; write C20 or U14"),
    "references": (re.compile(r".+", re.DOTALL), "a text"),
    "falsepositives": (re.compile(r".+", re.DOTALL), "a text"),
}
_TEXTS: Final = ("dedup_as", "description")
_LEVEL: Final = "level"
_SHADOW: Final = "shadow"
_DESCRIBED: Final = (_LEVEL, *(key for key in _WORDS if key != "covers"), *_TEXTS, "pack")
"""Keys that change what the sensor says of its rule."""
_KEYS: Final = (_LEVEL, *_WORDS, *_TEXTS, _SHADOW)


class AlertTable(NamedTuple):
    """What is said of alerts, by the names of the sensor's rules, and every reason why something was refused."""

    alerts: Mapping[str, AlertInfo]
    errors: tuple[RuleError, ...] = ()


def is_alert_table(text: str) -> bool:
    """Say whether a text is such a table, and so none of rules."""
    return _IS_TABLE.search(text) is not None


def load_alert_tables(texts: Iterable[RuleText]) -> AlertTable:
    """Read tables. An alert with anything wrong is left out, and all its errors are reported; others stay."""
    errors: list[RuleError] = []
    said: dict[str, dict[str, Any]] = {}
    for text in texts:
        for found in read_documents(text):
            if isinstance(found, RuleError):
                errors.append(found)
                continue
            for name, keys in _read_table(found, errors):
                said[name] = {**said.get(name, {}), **keys, "pack": text.pack}
    return AlertTable({name: AlertInfo(**keys) for name, keys in said.items()}, tuple(errors))


@lru_cache(maxsize=1024)
def described(rule: RuleInfo, alert: AlertInfo) -> RuleInfo:
    """Return what the sensor says of its rule, changed by what the table says."""
    said = {key: getattr(alert, key) for key in _DESCRIBED}
    return msgspec.structs.replace(rule, **{key: value for key, value in said.items() if value is not None})


def _read_table(document: Document, errors: list[RuleError]) -> Iterator[tuple[str, dict[str, Any]]]:
    table: Any = document.data.get(SECTION)
    others = [key for key in document.data if key != SECTION]
    if others:
        message = f"{others[0]!r} beside {SECTION}: a table of alerts has a file of its own"
        errors.append(document.error(message, others[0], at_key=True))
    if not is_object(table):
        errors.append(document.error(f"{SECTION} must be a mapping of rules' names to what is said of them", SECTION))
        return
    for name, keys in table.items():
        count = len(errors)
        errors.extend(_alert_errors(document, name, keys))
        if len(errors) == count:
            yield name, {key: _value(key, value) for key, value in keys.items()}


def _alert_errors(document: Document, name: str, keys: Any) -> Iterator[RuleError]:
    if not name.strip():
        yield document.error("an alert goes by the name of its rule; this one is empty", SECTION, name, at_key=True)
    if not is_object(keys):
        yield document.error(f"what is said of an alert is a mapping of {', '.join(_KEYS)}", SECTION, name)
        return
    for key, value in keys.items():
        at: tuple[Key, ...] = (SECTION, name, key)
        if key in _WORDS:
            yield from _list_errors(document, key, value, at)
        elif key == _LEVEL and value not in [level.value for level in Level]:
            yield document.error(f"{value!r} is no level; write {', '.join(Level)}", *at)
        elif key in _TEXTS and not (isinstance(value, str) and value.strip()):
            yield document.error(f"{key} must be a text", *at)
        elif key == _SHADOW and not isinstance(value, bool):
            yield document.error("shadow must be true or false", *at)
        elif key not in _KEYS:
            close = get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_KEYS)}"
            yield document.error(f"unknown key {key!r}; {hint}", *at, at_key=True)


def _list_errors(document: Document, key: str, value: Any, at: tuple[Key, ...]) -> Iterator[RuleError]:
    if not is_list(value):
        yield document.error(f"{key} must be a list", *at)
        return
    pattern, words = _WORDS[key]
    for position, item in enumerate(value):
        if not isinstance(item, str) or pattern.fullmatch(item) is None:
            yield document.error(f"{item!r} is not {words}", *at, position)


def _value(key: str, value: Any) -> Any:
    if key == _LEVEL:
        return Level(value)
    if key == _SHADOW:
        return value
    return value.strip() if key in _TEXTS else tuple(value)
