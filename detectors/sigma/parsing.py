"""pySigma's parser, and the places of the faults that it finds: it knows no lines itself.

Its regular expressions are RE2's, as ours are, so that a rule which loads can be run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import re2
import sigma.exceptions as sigma_errors
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.modifiers import reverse_modifier_mapping
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
_INCOMPATIBLE: Final = re.compile(r"Modifier (Sigma\w+) incompatible to value type")
"""What follows is Python's word for an object, with its address."""
_TAKES_TEXT: Final = "it takes a text, in quotes"
_TAKES: Final = {
    **dict.fromkeys(("lt", "lte", "gt", "gte"), "it takes a number, without quotes"),
    **dict.fromkeys(("minute", "hour", "day", "week", "month", "year"), "it takes a whole number, without quotes"),
    **dict.fromkeys(("i", "m", "s", "ignorecase", "multiline", "dotall"), "it goes with re, behind it"),
    "exists": "it takes true or false, without quotes",
}
POLICY: Final = SigmaPolicy(regex_engine=_QuietEngine())
_PLACES: Final[tuple[tuple[type[SigmaError], tuple[str, ...]], ...]] = (
    (sigma_errors.SigmaTitleError, ("title",)),
    (sigma_errors.SigmaNameError, ("name",)),
    (sigma_errors.SigmaLevelError, ("level",)),
    (sigma_errors.SigmaStatusError, ("status",)),
    (sigma_errors.SigmaTagError, ("tags",)),
    (sigma_errors.SigmaDateError, ("date",)),
    (sigma_errors.SigmaModifiedError, ("modified",)),
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


def parse(kind: type[_T], document: Document, data: dict[str, Any], errors: list[RuleError]) -> _T | None:
    """Parse what a document became for pySigma; if anything is wrong with it, append every error and return None."""
    try:
        parsed = kind.from_dict(data, collect_errors=True, policy=POLICY)
    except Exception as error:  # noqa: BLE001 - pySigma meets malformed rules with whatever its code trips over
        errors.extend(_located([error], document, data))
        return None
    errors.extend(_located(parsed.errors, document, data))
    return None if parsed.errors else parsed


def said(error: Exception, tripped: str) -> str:
    """Return what an error of pySigma says, without the place, which it does not know.

    Of an error that its code tripped over, say that: `tripped`, and what Python says.
    """
    message = str(error.args[0]) if error.args else type(error).__name__
    if not isinstance(error, SigmaError):
        return f"{tripped}: {type(error).__name__}: {message}"
    match = _INCOMPATIBLE.match(message)
    if match is None:
        return message
    modifier = reverse_modifier_mapping.get(match[1], match[1])
    return f"{modifier!r} does not take such a value, or not after these modifiers; {_TAKES.get(modifier, _TAKES_TEXT)}"


def _located(found: Iterable[Exception], document: Document, data: dict[str, Any]) -> Iterator[RuleError]:
    """Place errors. pySigma tells the first of the detection items; those that it does not take are told one by one."""
    rest: list[Exception] = []
    for error in found:
        attribute = next((keys for kind, keys in _PLACES if isinstance(error, kind)), None)
        if attribute is not None and attribute[0] in document.data:
            yield document.error(said(error, "not a Sigma attribute"), *attribute)
        else:
            rest.append(error)
    culprits = list(_culprits(data)) if rest else []
    for keys, reason in culprits:
        yield document.error(said(reason, "not a Sigma detection item"), *keys, at_key=True)
    for error in () if culprits else rest:
        yield document.error(said(error, "not a Sigma rule"))


def _culprits(data: dict[str, Any]) -> Iterator[tuple[tuple[Key, ...], Exception]]:
    """Find the detection items that pySigma does not take."""
    for section in ("detection", "filter"):
        for keys, field, value in _items(data.get(section), (section,)):
            try:
                SigmaDetectionItem.from_mapping(field, value, policy=POLICY)
            except Exception as error:  # noqa: BLE001 - as in `parse`
                yield keys, error


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
