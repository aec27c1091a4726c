"""The rules of docs/rules/correlations.md load, and do what the page says; its numbers are those of the limits."""

from __future__ import annotations

import re
from pathlib import Path

from detectors.correlation.definition import Comparison, Kind
from tests.detectors.correlation.bench import Correlating
from vedette.schema import limits
from vedette.schema.limits import SECOND_NS

PAGE = (Path(__file__).parents[3] / "docs/rules/correlations.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())


def test_the_example_fires() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    bench = Correlating(example)
    document = {"user": {"username": "ann"}, "objectRef": {"subresource": "exec"}}
    pods = [document | {"objectRef": {"subresource": "exec", "name": f"pod-{number}"}} for number in (1, 1, 2, 3, 4, 5)]
    fired = [firing.measured for at_s, pod in enumerate(pods) for firing in bench.feed(pod, at_s)]
    assert fired == [5]


def test_the_page_names_every_type_and_comparison() -> None:
    for name in (*Kind, *Comparison):
        assert f"`{name}`" in PAGE


def test_its_numbers_are_those_of_the_limits() -> None:
    for words in (
        f"stays {limits.CORRELATION_LATENESS_NS // SECOND_NS} s behind",
        f"without matches for {limits.CORRELATION_IDLE_NS // SECOND_NS} s",
        f"events of a group | {limits.CORRELATION_GROUP_EVENTS_MAX:,} |",
        f"a threshold of more than {limits.CORRELATION_GROUP_EVENTS_MAX:,} events",
        f"events of a correlation | {limits.CORRELATION_EVENTS_MAX:,} |",
        f"one over it | {limits.CORRELATION_REFERENCES_MAX} |",
        f"up to {limits.CORRELATION_SAMPLE_CHARS_MAX:,} characters",
    ):
        assert words in FLAT
