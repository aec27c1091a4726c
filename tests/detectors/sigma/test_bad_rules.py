"""Rule files gone wrong are refused with a place and a reason; nothing crashes, nothing hangs.

VEDETTE_MUTATIONS=10000 tries as many files (make it a long timeout: `pytest --timeout 3600`).
"""

import os
from itertools import islice
from typing import Any, Final

import pytest

from detectors.packs import shipped_pack_texts
from detectors.rule import RuleText
from detectors.sigma.check import Severity, check_rules
from detectors.sigma.matching import Matcher

from .mutation import mutated

TRIES: Final = int(os.environ.get("VEDETTE_MUTATIONS", "200"))
SEEDS: Final = 4
EVERYTHING: Final = """\
title: Everything
id: everything
related: [{id: other, type: similar}]
logsource: {product: kubernetes, service: audit}
detection:
  one:
    verb: [get, 'l?st', null, 5, true, '']
    user.username|contains|all: [a, b]
    sourceIPs|cidr: [10.0.0.0/8, '2001:db8::/32']
    requestURI|re|i: ^/api/.*
    objectRef.name|base64offset|contains: secret
    stageTimestamp|hour|gte: 22
    requestReceivedTimestamp|year: 2026
    userAgent|windash|contains: ' -k'
    objectRef.namespace|fieldref: user.username
    responseStatus.code|gte: 400
    annotations.x|exists: false
    objectRef.resource|neq: pods
    user.uid|expand: '%people%'
  two:
    - keyword
    - level: Request
      stage|cased: Panic
  condition: one and not 1 of t* or all of them
---
name: Values
priority: 10
vars: {people: [a, b]}
transformations:
  - {type: value_placeholders}
  - type: field_name_mapping
    mapping: {level: [level, stage]}
    rule_conditions: [{type: logsource, product: kubernetes}]
  - {type: add_condition, conditions: {kind: Event}}
---
title: Robots
logsource: {product: kubernetes}
filter:
  rules: [everything]
  robot: {user.username: robot}
  condition: not robot
---
title: Burst
correlation:
  type: value_count
  rules: [everything]
  group-by: [who]
  aliases: {who: {everything: user.username}}
  timespan: 5m
  condition: {field: objectRef.name, gte: 3}
level: high
"""
TEXTS: Final = [EVERYTHING, *(text.text for text in shipped_pack_texts())]
EVENT: Final[dict[str, Any]] = {
    "verb": "get",
    "user": {"username": "a b"},
    "level": "Request",
    "sourceIPs": ["10.0.0.1"],
}


def try_out(text: str) -> None:
    """Load, check and run a text."""
    matcher = Matcher([RuleText("bad.yml", text, "")], ours=True, lenient=False)
    for error in matcher.errors:
        assert error.line >= 1, f"no line: {error}"
        assert error.path == "bad.yml"
        assert error.message.strip()
    for problem in check_rules([RuleText("bad.yml", text, "")], ()):
        assert problem.line >= 1, f"no line: {problem}"
        assert problem.severity is Severity.WARNING or matcher.errors
    assert matcher.match(EVENT) == matcher.interpret(EVENT)


def test_the_texts_are_good_before_they_are_changed() -> None:
    assert Matcher(TEXTS, lenient=False).errors == ()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_text_crashes_or_hangs_and_every_refusal_has_a_place(seed: int) -> None:
    for text in islice(mutated(seed, TEXTS), TRIES // SEEDS):
        try:
            try_out(text)
        except Exception as error:
            error.add_note(text[:4000])
            raise
