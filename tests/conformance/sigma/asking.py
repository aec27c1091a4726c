"""Asks the compiled engine and the interpreter; they have to agree."""

from typing import Any

from detectors.sigma.matching import Matcher


def ask(matcher: Matcher, document: dict[str, Any]) -> list[str]:
    """Return the titles of the rules that match."""
    found = matcher.match(document)
    assert found == matcher.interpret(document), "compiled and interpreted differ"
    return [rule.title for rule in found]
