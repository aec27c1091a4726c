"""Tests of rules as they are written: under `vedette: tests:` in a rule, or in a file of their own.

- name: five pods within ten minutes
  match: true
  events:                                     # in the order in which they happen; or `event`, with one of them alone
    - format: kube_audit                      # whose event it is; may be left out where the rule's log source tells
      event: {verb: create, …}
      repeat: 5                               # it comes five times, `{n}` in its texts is 1, 2, …
      every: 30s                              # this long after each other
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from detectors.lengths import length_ns
from detectors.testing.case import REPEAT_MAX, GivenEvent, RuleTest
from detectors.values import is_list, is_object

if TYPE_CHECKING:
    from detectors.sigma.documents import Key
    from detectors.sigma.metadata import Section

KEYS: Final = ("name", "match", "event", "events")
_EVENT_KEYS: Final = ("format", "event", "repeat", "every")


def read_test(section: Section, value: Any, keys: tuple[Key, ...], names: tuple[str, ...] = KEYS) -> RuleTest | None:
    """Read one test, which may have the keys `names`; where something is wrong with it, tell the section."""
    count = len(section.errors)
    if not is_object(value):
        section.refuse("a test is a mapping of name, match and event", *keys)
        return None
    test = section.known(value, names, *keys)
    for name, kind, words in (("name", str, "a text"), ("match", bool, "true or false")):
        if not isinstance(test.get(name), kind):
            section.refuse(f"a test's {name} must be {words}", *keys, name)
    events = _events(section, test, keys)
    if len(section.errors) > count:
        return None
    path, line = section.place(*keys)
    return RuleTest(test["name"], test["match"], events, path, line)


def _events(section: Section, test: dict[str, Any], keys: tuple[Key, ...]) -> tuple[GivenEvent, ...]:
    if "events" not in test:
        if not is_object(test.get("event")):
            section.refuse("a test's event must be a mapping", *keys, "event")
            return ()
        return (GivenEvent(test["event"]),)
    if "event" in test:
        section.refuse("a test has event or events, not both", *keys, "event", at_key=True)
    events: Any = test["events"]
    if not is_list(events) or not events:
        section.refuse("a test's events must be a list of mappings", *keys, "events")
        return ()
    found = [_event(section, event, (*keys, "events", at)) for at, event in enumerate(events)]
    return tuple(event for event in found if event is not None)


def _event(section: Section, value: Any, keys: tuple[Key, ...]) -> GivenEvent | None:
    if not is_object(value) or not is_object(value.get("event")):
        section.refuse("each of a test's events is a mapping with the key event, a mapping, too", *keys)
        return None
    given = section.known(value, _EVENT_KEYS, *keys)
    name, repeat, every = given.get("format", ""), given.get("repeat", 1), str(given.get("every", "0s"))
    every_ns = length_ns(every)
    if not isinstance(name, str):
        section.refuse("the format of an event must be a text", *keys, "format")
    elif type(repeat) is not int or not 1 <= repeat <= REPEAT_MAX:
        section.refuse(f"repeat is a whole number from 1 to {REPEAT_MAX}", *keys, "repeat")
    elif every_ns is None:
        section.refuse(f"{every!r} is no length of time; write 500ms, 30s, 5m, 1h or 1d", *keys, "every")
    else:
        return GivenEvent(given["event"], name, repeat, every_ns)
    return None
