"""docs/reference/alert-fields.md: each field of an alert document, its type as documents are built, its meaning."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tests.vedette.pipeline.document.conftest import audit, falco, flow, shared
from vedette.pipeline.document import build_document
from vedette.pipeline.document_fields import FIELDS
from vedette.pipeline.verdicts import put_verdict
from vedette.schema.alert import Activity
from vedette.schema.event import Facts
from vedette.schema.verdict import Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.schema.alert import AlertState

MARK: Final = "<!-- What follows is written by `make docs`. -->"
FACTS: Final = "unmapped.facts"
VERDICT: Final = Verdict(Judgement.BENIGN, "ann", "planned")
OBJECTS: Final = {"unmapped.labels"}
"""Objects whose keys are not ours."""
_WORDS: Final = {str: "text", int: "integer", bool: "true or false", type(None): "null"}


def render(page: str) -> str:
    """Write what stands below the mark anew.

    Raises:
        KeyError: a field has no meaning in `document_fields.FIELDS`, or one that is there is in no document.
    """
    return page.partition(MARK)[0] + MARK + "\n" + "\n".join(_sections()).rstrip() + "\n"


def types() -> dict[str, str]:
    """Return the type of each field that a document can have."""
    found: dict[str, set[str]] = {}
    for state in (audit(), falco(), flow(), shared(), *_whole()):
        document = build_document(state, generation=1, activity=Activity.UPDATE, now_ns=state.opened_ns)
        put_verdict(document, VERDICT)
        for path, word in _leaves(document):
            found.setdefault(path, set()).add(word)
    return {path: " or ".join(sorted(words, key="null".__eq__)) for path, words in found.items()}


def meanings() -> dict[str, str]:
    """Return the meaning of each field, in the order of the page."""
    facts = {f"{FACTS}.{name}": meaning for name, meaning in _docstrings(Facts).items()}
    paths = list(FIELDS)
    before = paths.index("unmapped.dedup_values")
    return {path: FIELDS[path] for path in paths[:before]} | facts | {path: FIELDS[path] for path in paths[before:]}


def _sections() -> Iterator[str]:
    known, described = types(), meanings()
    lost = known.keys() ^ described.keys()
    if lost:
        raise KeyError(f"describe in vedette/pipeline/document_fields.py what is built, and only that: {sorted(lost)}")
    section = None
    for path, meaning in described.items():
        head = path.partition(".")[0].removesuffix("[]")
        head = head if head in ("metadata", "finding_info", "resources", "evidences", "cloud", "unmapped") else ""
        if head != section:
            section = head
            yield from (
                "",
                f"## `{head}`" if head else "## The alert",
                "",
                "| Field | Type | Meaning |",
                "|---|---|---|",
            )
        yield f"| `{path}` | {known[path]} | {meaning} |"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and path not in OBJECTS:
        yield from chain.from_iterable(_leaves(inner, f"{path}.{key}".lstrip(".")) for key, inner in value.items())
    elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        yield from chain.from_iterable(_leaves(item, f"{path}[]") for item in value)
    elif not isinstance(value, list | tuple):
        yield path, _WORDS.get(type(value), "name → text")
    elif value or path not in ("evidences", "resources", "unmapped.explanation", "unmapped.rules"):
        yield path, "list of text"


def _whole() -> Iterator[AlertState]:
    """Alerts that have what others lack: every fact, and a name where they have an address."""
    kinds: dict[type, Any] = {str: "x", int: 1, tuple: ("db.example",)}
    facts = {name: kinds[type(value)] for name, value in msgspec.structs.asdict(Facts()).items()}
    state = audit()
    state.facts = Facts(**facts)
    yield state


def _docstrings(kind: type) -> dict[str, str]:
    """Return the text below each attribute of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for attribute, text in pairwise(body.body):
        if isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name):
            assert isinstance(text, ast.Expr), f"{kind.__name__}.{attribute.target.id} says not what it is"
            assert isinstance(text.value, ast.Constant), f"{kind.__name__}.{attribute.target.id} says not what it is"
            found[attribute.target.id] = " ".join(str(text.value.value).split())
    return found
