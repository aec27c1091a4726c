"""Rules against documents of any kind, outside the stream: for tests of rules, and to hold the engine against others.

The documents need no decoder and no log source: every rule is asked, or those of one log source. `match` runs the
compiled engine that detection runs, `interpret` the plain meaning of predicates; they must agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from detectors.engine import Engine
from detectors.fields import getter
from detectors.predicate import matches
from detectors.rule import Rule, RuleText
from detectors.sigma.loading import load_rules
from detectors.sigma.logsource import contains
from vedette.schema.errors import RuleError
from vedette.schema.event import Decoder, Event, LogSource
from vedette.schema.record import Record, Run
from vedette.schema.rule import RuleInfo

Document = dict[str, Any]
_DEFAULTS: Final = {"title": "(no title)", "logsource": {"product": "any"}}
_FORMAT: Final = "any"


class Matcher:
    """Some rule texts, ready for documents.

    `errors` says which rules could not be loaded, and why; the others are asked all the same.
    """

    def __init__(
        self,
        texts: Iterable[RuleText | str],
        *,
        logsource: LogSource | None = None,
        ours: bool = False,
        lenient: bool = True,
    ) -> None:
        """Load and compile.

        `logsource`: that of all documents; None asks every rule. `ours`: let the pipelines that ship work on the rules.
        `lenient`: take rules without a title or a log source.
        """
        named = [
            text if isinstance(text, RuleText) else RuleText(f"<rules {at}>", text, "") for at, text in enumerate(texts)
        ]
        loaded = load_rules(named, ours=ours, defaults=_DEFAULTS if lenient else None)
        self.errors: tuple[RuleError, ...] = loaded.errors
        self.rules: tuple[Rule, ...] = tuple(
            rule for rule in loaded.rules if logsource is None or contains(rule.logsource, logsource)
        )
        sources = dict.fromkeys(rule.logsource for rule in self.rules) if logsource is None else (logsource,)
        self._decoder = cast("Decoder", _AnyDocument(tuple(sources)))
        self._engine = Engine(self.rules, {_FORMAT: self._decoder})

    def match(self, document: Document) -> tuple[RuleInfo, ...]:
        """Return the rules that match, in their order, as the engine finds them."""
        event = Event(Record(1, 0, b"", _RUN, 1), self._decoder, document)
        return tuple(match.rule for match in self._engine.match(event))

    def interpret(self, document: Document) -> tuple[RuleInfo, ...]:
        """Return the rules that match, in their order, as predicates are meant."""
        return tuple(rule.info for rule in self.rules if matches(rule.predicate, lambda field: getter(field)(document)))


class _AnyDocument:
    """As much of a decoder as the engine needs: documents come decoded, and all of them at once."""

    name: str = _FORMAT
    dedup_by: tuple[str, ...] = ()
    head_fields: frozenset[str] | None = None

    def __init__(self, logsources: tuple[LogSource, ...]) -> None:
        self.logsources = logsources


_RUN: Final = Run("", _FORMAT, 1)
