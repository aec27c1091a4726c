"""Exceptions as they are written: filters with who answers for them, for people who list them and end them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from detectors.rule import RuleText
from detectors.sigma.documents import Document, read_documents
from detectors.sigma.metadata import ExceptionInfo, exception_info
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError

_MAY_HAVE_ONE: Final = re.compile(r"""^["']?filter["']?\s*:|^(---\s*)?\{""", re.MULTILINE)
"""Finds the key of a block mapping, or a flow mapping: reading all rules once more would take as long as loading."""


class WrittenException(NamedTuple):
    """A filter in a file. `rules`: ids and names of rules as it names them; empty for any. `exception_id` may be ""."""

    title: str
    exception_id: str
    rules: tuple[str, ...]
    info: ExceptionInfo
    document: Document

    def is_meant(self, name: str) -> bool:
        """Say whether a person means this one: by its id, in either case, or by its title."""
        return name == self.title or (bool(self.exception_id) and name.lower() == self.exception_id.lower())


def written_exceptions(texts: Iterable[RuleText]) -> list[WrittenException]:
    """Return the filters of texts in Sigma's language, in their order; what can't be read is left to the loader."""
    documents = (found for text in texts if _MAY_HAVE_ONE.search(text.text) for found in read_documents(text))
    return [_written(found) for found in documents if not isinstance(found, RuleError) and "filter" in found.data]


def _written(document: Document) -> WrittenException:
    errors: list[RuleError] = []
    section: Any = document.data["filter"]
    rules: Any = section.get("rules") if is_object(section) else None
    named = tuple(map(str, rules)) if is_list(rules) else ()
    title, exception_id = str(document.data.get("title", "")), str(document.data.get("id") or "")
    info = exception_info(document, errors)
    return WrittenException(title, exception_id, named, ExceptionInfo() if errors else info, document)
