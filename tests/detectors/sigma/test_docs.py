"""The page on Sigma: its rules, filters and pipelines load together and do what it says."""

import re
from pathlib import Path
from typing import Final

import pytest

from detectors.sigma.matching import Matcher
from detectors.sigma.pipelines import falco

PAGE: Final = (Path(__file__).parents[3] / "docs/rules/sigma.md").read_text()
BLOCKS: Final = re.findall(r"^```yaml (?:rule|filter|pipeline)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
EXEC: Final = {"objectRef": {"resource": "pods", "subresource": "exec", "namespace": "payment"}}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (EXEC | {"user": {"username": "eve"}}, ["Exec into a pod of the payment namespace"]),
        (EXEC | {"user": {"username": "system:serviceaccount:ci:x"}}, []),
        (EXEC | {"user": {"username": "system:serviceaccount:backup:runner"}}, []),
        ({"objectRef": {"resource": "secrets"}, "user": {"username": "bob"}}, ["Secret read by an administrator"]),
        ({"objectRef": {"resource": "secrets"}, "user": {"username": "eve"}}, []),
    ],
)
def test_the_examples_do_what_they_say(event: dict[str, object], expected: list[str]) -> None:
    matcher = Matcher(BLOCKS, ours=True, lenient=False)
    assert matcher.errors == ()
    assert [rule.title for rule in matcher.match(event)] == expected


def test_falco_is_told_to_print_what_the_pipeline_asks_for() -> None:
    block = re.search(r"^```yaml falco.yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert block is not None
    printed = set(re.findall(r"- ([a-z.0-9_]+)$", block[1], re.MULTILINE))
    asked = {name for names in falco.FIELDS.values() for name in ([names] if isinstance(names, str) else names[:1])}
    assert printed >= asked - {
        "proc.pid",
        "proc.ppid",
        "proc.name",
        "proc.pname",
        "user.loginuid",
        "fd.l4proto",
        "fd.cip.name",
    }


@pytest.mark.parametrize("code", ["refused", "dead-test", "dead-rule", "always", "no-log-source", "no-id", "expired"])
def test_every_code_is_explained(code: str) -> None:
    assert f"| `{code}` |" in PAGE
