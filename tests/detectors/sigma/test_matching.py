"""Rules against documents outside the stream: which rules are asked, and what is forgiven."""

import pytest

from detectors.sigma.matching import Matcher
from vedette.schema.event import LogSource

DETECTION = "detection: {s: {a: b}, condition: s}\n"
RULE = f"title: T\nlogsource: {{product: windows, category: process_creation}}\n{DETECTION}"


@pytest.mark.parametrize(
    ("logsource", "expected"),
    [
        (None, True),
        (LogSource("windows", None, "process_creation"), True),
        (LogSource("windows", "sysmon", "process_creation"), True),
        (LogSource("windows"), False),
        (LogSource("linux", None, "process_creation"), False),
    ],
    ids=str,
)
def test_rules_are_asked_whose_log_source_contains_that_of_the_documents(
    logsource: LogSource | None, expected: bool
) -> None:
    matcher = Matcher([RULE], logsource=logsource)
    assert bool(matcher.match({"a": "b"})) is bool(matcher.interpret({"a": "b"})) is expected


def test_title_and_log_source_may_be_missing_unless_it_is_strict() -> None:
    assert [rule.title for rule in Matcher([DETECTION]).match({"a": "B"})] == ["(no title)"]
    assert [str(error) for error in Matcher([DETECTION], lenient=False).errors] == [
        "<rules 0>:1:1: Sigma rule must have a title",
        "<rules 0>:1:1: Sigma rule must have a log source",
    ]


def test_a_broken_rule_does_not_keep_others_from_being_asked() -> None:
    matcher = Matcher([f"{RULE}---\n{RULE.replace('a:', 'a|nope:')}"])
    assert len(matcher.errors) == 1
    assert len(matcher.match({"a": "b"})) == 1
    assert not matcher.match({"a": "c"})
    assert not matcher.match({})
