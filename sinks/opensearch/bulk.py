"""Bulk requests and their answers: lines in, requests of bounded size, and for each document what became of it.

Pure. The format is that of the Bulk API (OpenSearch documentation, "Bulk"): an action line and a document line each;
the answer names every action in order, with a status of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vedette.runtime.sink import Outcome

REQUEST_DOCUMENTS_MAX: Final = 1000
"""Documents of one request; delivery hands over at most 500."""
OPERATOR_RETRY_S: Final = 30.0
"""Where a person must do something first, asking more often is noise."""
REASON_CHARS_MAX: Final = 400
"""Characters of a server's own words in one of our messages."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One document on its way: `content` is its action and itself, each with its line break."""

    index_name: str
    document_id: str
    content: bytes


def line(action: Literal["index", "create"], index: str, document_id: str, document: bytes, version: str = "") -> Line:
    """Make the two lines of a document. Index, id and version are ours: letters, digits, `-`, `_` and `.` alone."""
    header = f'{{"{action}":{{"_index":"{index}","_id":"{document_id}"{version}}}}}\n'
    # JSON holds line breaks only between its parts; one there would end the document for the server.
    return Line(index, document_id, b"%b%b\n" % (header.encode("ascii"), document.replace(b"\n", b" ")))


def requests(lines: Sequence[Line], bytes_max: int) -> Iterator[Sequence[Line]]:
    """Cut into requests of at most `bytes_max` bytes; a larger document goes alone."""
    begin = size = 0
    for at, entry in enumerate(lines):
        if at > begin and (size + len(entry.content) > bytes_max or at - begin >= REQUEST_DOCUMENTS_MAX):
            yield lines[begin:at]
            begin, size = at, 0
        size += len(entry.content)
    if begin < len(lines):
        yield lines[begin:]


class _Cause(msgspec.Struct):
    type: str = ""
    reason: str | None = None


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = None
    caused_by: _Cause | None = None


class _Result(msgspec.Struct):
    document_id: str = msgspec.field(default="", name="_id")
    status: int = 0
    error: _Error | str | None = None


class _Item(msgspec.Struct):
    index: _Result | None = None
    create: _Result | None = None


class _Answer(msgspec.Struct):
    items: list[_Item]


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_NOTHING: Final = _Result()
_CONFLICT: Final = 409
_OK: Final = range(200, 300)


def outcomes(sent: Sequence[Line], body: bytes) -> list[Outcome]:
    """Read the answer to a request: for each document what became of it.

    What the answer does not say of a document, by its place and its id, is not counted as delivered.

    Raises:
        TransientError: this is no answer to a bulk request.
    """
    try:
        items = _ANSWER.decode(body).items
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        shown = safe_text(body[:200].decode("utf-8", "replace"))
        message = f"the server's answer to a bulk request is none ({shown}). Look at what stands at that address"
        raise TransientError(message) from error
    found: list[Outcome] = []
    for entry, item in zip(sent, items, strict=False):
        result = item.index or item.create or _NOTHING
        found.append(_outcome(result) if result.document_id == entry.document_id else _UNSAID)
    return found + [_UNSAID] * (len(sent) - len(found))


_UNSAID: Final = TransientError("the server's answer does not say what became of a document. It is sent again")

WAIT: Final = {
    "cluster_block_exception": "Free the server's disk, or take the block off the index",
    "index_closed_exception": "Open the index",
    "index_not_found_exception": "Allow the indices of docs/sinks/opensearch.md in action.auto_create_index",
    "security_exception": "Give the role of Vedette's user the permissions of docs/sinks/opensearch.md",
    "validation_exception": "Remove old indices, or raise cluster.max_shards_per_node",
}
"""Types of error that are not the document's fault, whatever their status, and what a person does about them.

A new day's index that would exceed the cluster's shards is refused as a validation_exception with 400."""
_REFUSED: Final = frozenset({400, 413})
_SERVER_ERROR: Final = 500


def _outcome(result: _Result) -> Outcome:
    """Sort one item's result. A version conflict is success: the same or a newer version is there already."""
    if result.status in _OK or result.status == _CONFLICT:
        return None
    kind, reason = _said(result.error)
    text = f"the server answered {result.status} ({reason})"
    if kind in WAIT and result.status < _SERVER_ERROR:
        return TransientError(
            f"{text}. {WAIT[kind]}; nothing is lost, it is tried again", retry_after_s=OPERATOR_RETRY_S
        )
    if result.status in _REFUSED:
        return PermanentError(f"{text}. Compare the index's mapping with the template of docs/sinks/opensearch.md")
    return TransientError(text)


def _said(error: _Error | str | None) -> tuple[str, str]:
    """The type of an error, and the server's words about it."""
    if not isinstance(error, _Error):
        return "", safe_text(error or "nothing more", REASON_CHARS_MAX)
    cause = error.caused_by
    words = f"{error.type}: {error.reason}" + (f": {cause.reason}" if cause and cause.reason else "")
    return error.type, safe_text(words, REASON_CHARS_MAX)
