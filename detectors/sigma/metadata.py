"""What rules and filters say about themselves: the standard attributes, and ours under the free attribute `vedette`.

vedette:                                      # of a rule
  dedup_by: [user.username, objectRef.name]   # fields of the dedup key; @event for an alert per event
  dedup_as: shell-in-a-pod                    # stands for the rule in the dedup key: rules that share it share alerts
  controls: [AU-12, SP 800-190 4.3.2]         # NIST SP 800-53 rev. 5 and SP 800-190
  covers: [C20, U14]                          # rows of the coverage table: concepts and ideas beyond them
  tests:
    - name: exec into a pod
      match: true
      event: {verb: create, …}                # or `events`, more than one: see `detectors.sigma.tests`

vedette:                                      # of a filter
  owner: platform team                        # who answers for the exception
  ticket: SEC-123
  reason: the nightly backup
  expires: 2026-12-31                         # the last day, by UTC, of events that it excepts
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import msgspec
from sigma.rule import SigmaRule

from detectors.sigma.dialect import rule_id
from detectors.sigma.documents import Document, Key
from detectors.sigma.tests import read_test
from detectors.testing.case import RuleTest
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError
from vedette.schema.level import Level
from vedette.schema.rule import RuleInfo

SECTION: Final = "vedette"

_ATTACK: Final = re.compile(r"attack\.(ta\d{4}|t\d{4}(?:\.\d{3})?)")
_ATTACK_LIKE: Final = re.compile(r"attack\.ta?\d.*")
_CONTROL: Final = re.compile(r"SP 800-53 [A-Z]{2}-\d{1,2}(\(\d{1,2}\))?|SP 800-190 \d(\.\d{1,2}){0,2}")
_CONTROL_SHORT: Final = re.compile(r"[A-Z]{2}-\d{1,2}(\(\d{1,2}\))?")
_EVENT: Final = "@event"
_COVERED: Final = re.compile(r"[CU][1-9]\d{0,2}", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_T = TypeVar("_T")


class Section:
    """Reads the attribute `vedette` of a document and gathers, in `errors`, everything wrong with it."""

    def __init__(self, document: Document, names: tuple[str, ...]) -> None:
        """Read the section; `names` are the keys that it may have."""
        self.errors: list[RuleError] = []
        self._document = document
        section = document.data.get(SECTION, {})
        self.ours: dict[str, Any] = {}
        if is_object(section):
            self.ours = self.known(section, names, SECTION)
        else:
            self.refuse(f"{SECTION} must be a mapping", SECTION)

    def refuse(self, message: str, *keys: Key, at_key: bool = False) -> None:
        """Note an error."""
        self.errors.append(self._document.error(message, *keys, at_key=at_key))

    def place(self, *keys: Key) -> tuple[str, int]:
        """Return path and line of a value."""
        place = self._document.error("", *keys)
        return place.path, place.line

    def known(self, mapping: dict[str, Any], names: tuple[str, ...], *keys: Key) -> dict[str, Any]:
        """Return a mapping; note each key that is not one of the names."""
        for name in mapping:
            if name not in names:
                close = get_close_matches(name, names, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
                self.refuse(f"unknown key {name!r}; {hint}", *keys, name, at_key=True)
        return mapping


class Metadata(Section):
    """Reads one rule's attributes and gathers, in `errors`, everything wrong with them."""

    def __init__(self, rule: SigmaRule, document: Document) -> None:
        """Take a rule that was parsed from a document."""
        super().__init__(document, ("dedup_by", "dedup_as", "controls", "covers", "tests"))
        self._rule = rule

    def info(self) -> RuleInfo:
        """Return what the rule says about itself: `medium` if it has no level, known by its title if it has no id."""
        rule = self._rule
        return RuleInfo(
            rule_id=rule_id(self._document.data) or f"sigma:{rule.title}",
            title=rule.title,
            level=Level(str(rule.level)) if rule.level else Level.MEDIUM,
            description=(rule.description or "").strip(),
            attack=self._attack(),
            controls=self._listed("controls", self._control),
            tags=tuple(str(tag) for tag in rule.tags),
            references=_strings(rule.references),
            falsepositives=_strings(rule.falsepositives),
            author=rule.author or "",
            status=str(rule.status) if rule.status else "",
            dedup_by=self._listed("dedup_by", self._field),
            dedup_as=self._dedup_as(),
            pack=self._document.source.pack,
        )

    def covers(self) -> tuple[str, ...]:
        """Return the rows of the coverage table that the rule is about."""
        return self._listed("covers", self._covered)

    def tests(self) -> tuple[RuleTest, ...]:
        """Return the rule's own tests."""
        return self._listed("tests", self._test)

    def _listed(self, name: str, read: Callable[[Any, tuple[Key, ...]], _T | None]) -> tuple[_T, ...]:
        values: Any = self.ours.get(name, [])
        if not is_list(values):
            self.refuse(f"{name} must be a list", SECTION, name)
            return ()
        found = [read(value, (SECTION, name, at)) for at, value in enumerate(values)]
        return tuple(value for value in found if value is not None)

    def _attack(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for position, tag in enumerate(map(str, self._rule.tags)):
            match = _ATTACK.fullmatch(tag.lower())
            if match:
                found[match[1].upper()] = None
            elif _ATTACK_LIKE.fullmatch(tag.lower()):
                self.refuse(f"{tag!r} is no ATT&CK id; write attack.t1609 or attack.t1552.007", "tags", position)
        return tuple(found)

    def _control(self, value: Any, keys: tuple[Key, ...]) -> str | None:
        control = f"SP 800-53 {value}" if _CONTROL_SHORT.fullmatch(str(value)) else str(value)
        if _CONTROL.fullmatch(control):
            return control
        self.refuse(f"{value!r} is no NIST control; write AU-12, SP 800-53 AC-6(9) or SP 800-190 4.3.2", *keys)
        return None

    def _field(self, value: Any, keys: tuple[Key, ...]) -> str | None:
        if isinstance(value, str) and value and (not value.startswith("@") or value == _EVENT):
            return value
        self.refuse(f"{value!r} is no field; write a field's name or {_EVENT}", *keys)
        return None

    def _dedup_as(self) -> str:
        value: Any = self.ours.get("dedup_as", "")
        if isinstance(value, str):
            return value
        self.refuse("dedup_as must be a text", SECTION, "dedup_as")
        return ""

    def _covered(self, value: Any, keys: tuple[Key, ...]) -> str | None:
        if _COVERED.fullmatch(str(value)):
            return str(value)
        self.refuse(f"{value!r} is no row of the coverage table; write C20 for a concept, U14 for an idea", *keys)
        return None

    def _test(self, value: Any, keys: tuple[Key, ...]) -> RuleTest | None:
        return read_test(self, value, keys)


class ExceptionInfo(msgspec.Struct, frozen=True):
    """What a filter says about itself; `expires` is a date (`2026-12-31`), "" for never."""

    owner: str = ""
    ticket: str = ""
    reason: str = ""
    expires: str = ""


def exception_info(document: Document, errors: list[RuleError]) -> ExceptionInfo:
    """Read what a filter says about itself, and append everything wrong with it."""
    names = ExceptionInfo.__struct_fields__
    section = Section(document, names)
    found: dict[str, str] = {}
    for name in names:
        value: Any = section.ours.get(name, "")
        if not isinstance(value, str):
            section.refuse(f"{name} must be a text; quote it", SECTION, name)
        elif name == "expires" and value and not _is_date(value):
            section.refuse(f"{value!r} is no date; write 2026-12-31", SECTION, name)
        else:
            found[name] = value
    errors.extend(section.errors)
    return ExceptionInfo(**found)


def _is_date(value: str) -> bool:
    try:
        return _DATE.fullmatch(value) is not None and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _strings(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values if value is not None)
