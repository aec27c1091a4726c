"""Which rules a correlation stands on, and which events rules are asked about."""

from __future__ import annotations

from collections.abc import Mapping

from detectors.correlation.definition import Correlation
from detectors.rule import AnyRule, LoadedRules, Rule
from detectors.sigma.logsource import contains
from vedette.schema.event import Decoder, Event


class Related:
    """Looks up, in a set of rules, what a rule or correlation stands on."""

    def __init__(self, loaded: LoadedRules) -> None:
        """Take the set."""
        self._rules = loaded.rules
        self._correlations = {over.info.rule_id: over for over in loaded.correlations}

    def below(self, rule: AnyRule) -> tuple[Rule, ...]:
        """Return the rules that a correlation looks at, also by way of others; or what pipelines made of a rule."""
        ids = {member for over in self.chain(rule) for member in _members(over)} | {rule.info.rule_id}
        return tuple(found for found in self._rules if found.info.rule_id in ids)

    def chain(self, rule: AnyRule) -> tuple[Correlation, ...]:
        """Return a correlation and those that it looks at, which come before it; of a rule there are none."""
        if not isinstance(rule, Correlation):
            return ()
        below = [self._correlations[name] for name in _members(rule) if name in self._correlations]
        found = {one.info.rule_id: one for over in below for one in self.chain(over)}
        return (*found.values(), rule)

    def above(self, rule: AnyRule) -> tuple[Correlation, ...]:
        """Return the correlations that look at a rule or correlation themselves."""
        return tuple(over for over in self._correlations.values() if rule.info.rule_id in _members(over))

    def formats(self, rule: AnyRule, decoders: Mapping[str, Decoder]) -> tuple[str, ...]:
        """Return the names of the formats whose events a rule is asked about, or the rules of a correlation."""
        below = self.below(rule)
        return tuple(name for name, decoder in decoders.items() if any(_asks(one, decoder) for one in below))


def asks(rule: Rule, event: Event) -> bool:
    """Say whether a rule is asked about an event."""
    return _asks(rule, event.decoder)


def _asks(rule: Rule, decoder: Decoder) -> bool:
    return not rule.idle and any(contains(rule.logsource, source) for source in decoder.logsources)


def _members(rule: Correlation) -> tuple[str, ...]:
    return tuple(member.rule_id for member in rule.members)
