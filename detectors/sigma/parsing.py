"""pySigma's parser, and the places of the faults that it finds: it knows no lines itself.

Its regular expressions are RE2's, as ours are, so that a rule which loads can be run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import re2
import sigma.exceptions as sigma_errors
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RegexEngine
from sigma.rule import SigmaDetectionItem, SigmaRule

from detectors.sigma.documents import Document, Key
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError

_T = TypeVar("_T", SigmaRule, SigmaFilter)


class _QuietEngine(RegexEngine):
    """RE2 without its messages on standard error."""

    def compile(self, pattern: str, flags: int = 0) -> Any:
        options = re2.Options()
        options.log_errors = False
        letters = "".join(letter for flag, letter in _FLAGS if flags & flag)
        try:
            return re2.compile(f"(?{letters}){pattern}" if letters else pattern, options)
        except re2.error as error:
            reason = error.args[0]
            raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason) from error

    @property
    def error(self) -> type[Exception]:
        return ValueError


_FLAGS: Final = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"))
_POLICY: Final = SigmaPolicy(regex_engine=_QuietEngine())
_PLACES: Final[tuple[tuple[type[SigmaError], tuple[str, ...]], ...]] = (
    (sigma_errors.SigmaTitleError, ("title",)),
    (sigma_errors.SigmaIdentifierError, ("id",)),
    (sigma_errors.SigmaNameError, ("name",)),
    (sigma_errors.SigmaLevelError, ("level",)),
    (sigma_errors.SigmaStatusError, ("status",)),
    (sigma_errors.SigmaTagError, ("tags",)),
    (sigma_errors.SigmaDateError, ("date",)),
    (sigma_errors.SigmaModifiedError, ("modified",)),
    (sigma_errors.SigmaRelatedError, ("related",)),
    (sigma_errors.SigmaReferencesError, ("references",)),
    (sigma_errors.SigmaFalsePositivesError, ("falsepositives",)),
    (sigma_errors.SigmaFieldsError, ("fields",)),
    (sigma_errors.SigmaAuthorError, ("author",)),
    (sigma_errors.SigmaDescriptionError, ("description",)),
    (sigma_errors.SigmaLogsourceError, ("logsource",)),
    (sigma_errors.SigmaFilterConditionError, ("filter", "condition")),
    (sigma_errors.SigmaFilterRuleReferenceError, ("filter", "rules")),
    (sigma_errors.SigmaFilterError, ("filter",)),
    (sigma_errors.SigmaConditionError, ("detection", "condition")),
    (sigma_errors.SigmaDetectionError, ("detection",)),
)
"""Which attribute each of pySigma's errors is about."""


def parse(kind: type[_T], document: Document, errors: list[RuleError]) -> _T | None:
    """Parse a document; if anything is wrong with it, append every error and return None."""
    try:
        parsed = kind.from_dict(document.data, collect_errors=True, policy=_POLICY)
    except Exception as error:  # noqa: BLE001 - pySigma meets malformed rules with whatever its code trips over
        errors.append(_tripped(error, document))
        return None
    errors.extend(_located(error, document) for error in parsed.errors)
    return None if parsed.errors else parsed


def _tripped(error: Exception, document: Document) -> RuleError:
    found = _culprit(document)
    if found is not None:
        keys, reason = found
        return document.error(f"not a Sigma detection item: {reason}", *keys, at_key=True)
    return document.error(f"not a Sigma rule: {type(error).__name__}: {error}")


def _located(error: SigmaError, document: Document) -> RuleError:
    keys = next((keys for kind, keys in _PLACES if isinstance(error, kind)), None)
    if keys is not None and keys[0] in document.data:
        return document.error(str(error), *keys)
    found = _culprit(document)
    return document.error(str(error)) if found is None else document.error(str(error), *found[0], at_key=True)


def _culprit(document: Document) -> tuple[tuple[Key, ...], Exception] | None:
    """Find the first detection item that pySigma does not take by itself."""
    for section in ("detection", "filter"):
        for keys, field, value in _items(document.data.get(section), (section,)):
            try:
                SigmaDetectionItem.from_mapping(field, value, policy=_POLICY)
            except Exception as error:  # noqa: BLE001 - as in `parse`
                return keys, error
    return None


def _items(value: Any, keys: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], str | None, Any]]:
    """Yield keys, field and value of every detection item under a section."""
    if is_object(value):
        for position, (name, inner) in enumerate(value.items()):
            if len(keys) > 1:
                yield (*keys, position), name, inner
            elif name not in ("condition", "rules"):
                yield from _items(inner, (*keys, name))
    elif is_list(value) and any(isinstance(element, dict | list) for element in value):
        for position, element in enumerate(value):
            yield from _items(element, (*keys, position))
    elif len(keys) > 1:
        yield keys, None, value
