"""What stands in a ticket: its subject, its text, and the marks by which Vedette recognises its own.

Everything that an attacker may have chosen passes `safe_text`, so it can't begin a line. A subject ends with a mark or
a reference in brackets; other brackets become parentheses there, so that nothing else looks like a mark, or like the
`[name #12]` by which Request Tracker files mail into tickets.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from vedette.schema.alert import GENERATION_FACTOR
from vedette.schema.errors import PermanentError
from vedette.schema.limits import SECOND_NS
from vedette.schema.text import clip_text, safe_text
from vedette.schema.verdict import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vedette.schema.alert import AlertRevision

TITLE_CHARS_MAX: Final = 120
"""Characters of a subject before its reference; RT keeps 200 in all."""
VALUE_CHARS_MAX: Final = 1024
LIST_ITEMS_MAX: Final = 20
TEXT_CHARS_MAX: Final = 16_384
"""Characters of a ticket's or comment's text."""
_MARK: Final = re.compile(r"\[vedette (\S{1,64}) g(\d{1,10}) r(\d{1,10}) [0-9a-f]{16}\]$")
_ROUND: Final = str.maketrans("[]", "()")


class Reference(NamedTuple):
    """What names the ticket of a ticket key: `whole` in the custom field, `tag` at the end of the subject."""

    whole: str
    tag: str


class Mark(NamedTuple):
    """Tells one revision's text from all others; `text` holds a random part that nobody can know beforehand."""

    text: str
    alert_id: str
    version: int


def reference_of(revision: AlertRevision) -> Reference:
    """Name the ticket that a revision belongs into; the same key always gives the same name."""
    key = revision.ticket_key or revision.alert_id
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return Reference(f"vedette-{digest}", f"[vedette-{digest[:16]}]")


def new_mark(revision: AlertRevision) -> Mark:
    """Make a mark for one attempt to write a revision down."""
    text = f"[vedette {revision.alert_id} g{revision.generation} r{revision.revision} {secrets.token_hex(8)}]"
    return Mark(text, revision.alert_id, revision.version)


def read_mark(line: str) -> Mark | None:
    """Read the mark at the end of a subject or first line; RT folds long subjects, as mail does."""
    found = _MARK.search(" ".join(line.split()))
    if found is None:
        return None
    return Mark(found[0], found[1], int(found[2]) * GENERATION_FACTOR + int(found[3]))


class _Rule(msgspec.Struct, frozen=True):
    id: str
    title: str
    level: str
    pack: str = ""
    attack: list[str] = []
    controls: list[str] = []
    falsepositives: list[str] = []
    references: list[str] = []


class _Clause(msgspec.Struct, frozen=True):
    where: str
    field: str
    test: str
    path: str
    value: Any = None


class _Verdict(msgspec.Struct, frozen=True):
    judgement: Judgement
    analyst: str
    reason: str
    time_ns: int


class _Unmapped(msgspec.Struct, frozen=True):
    first_seen_ns: int
    last_seen_ns: int
    rule: _Rule
    facts: dict[str, Any]
    cluster: str = ""
    explanation: list[_Clause] = []
    verdict: _Verdict | None = None


class _Sample(msgspec.Struct, frozen=True):
    time_ns: int
    source: str
    uid: str
    event_ids: list[str] = []


class _Evidence(msgspec.Struct, frozen=True):
    data: _Sample


class _Finding(msgspec.Struct, frozen=True):
    desc: str = ""


class _Document(msgspec.Struct, frozen=True):
    message: str
    count: int
    finding_info: _Finding
    unmapped: _Unmapped
    evidences: list[_Evidence] = []


_DECODER: Final = msgspec.json.Decoder(_Document)


class AlertText:
    """One revision of an alert in words."""

    def __init__(self, revision: AlertRevision) -> None:
        """Read its document.

        Raises:
            PermanentError: it is no alert document.
        """
        self._id = safe_text(revision.alert_id, 64)
        try:
            self._document = _DECODER.decode(revision.document)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            message = f"alert {self._id} is no alert document ({error}). Please report this as a bug"
            raise PermanentError(message) from error

    @property
    def title(self) -> str:
        """Level, title and target in one bounded line without brackets."""
        rule = self._document.unmapped.rule
        words = ": ".join(filter(None, (rule.level, rule.title, _target(self._document.unmapped.facts))))
        return safe_text(words, TITLE_CHARS_MAX).translate(_ROUND)

    @property
    def judgement(self) -> Judgement | None:
        """What an analyst decided, if anybody did."""
        verdict = self._document.unmapped.verdict
        return None if verdict is None else verdict.judgement

    @property
    def judged_ns(self) -> int:
        """When it was decided, ns since the epoch; 0 if it was not."""
        verdict = self._document.unmapped.verdict
        return 0 if verdict is None else verdict.time_ns

    def whole(self, mark: Mark, note: str = "") -> str:
        """Tell everything: for a new ticket, and for an alert that a ticket does not know yet."""
        return self._text(mark, [*([note, ""] if note else []), *self._facts(), "", *self._why(), *self._samples()])

    def update(self, mark: Mark) -> str:
        """Tell what may have changed."""
        return self._text(mark, [*_table(self._counts()), "", *self._samples()])

    def _text(self, mark: Mark, lines: list[str]) -> str:
        head, foot = [mark.text, ""], ["", f"Look it up: vedette alerts show {self._id}"]
        room = TEXT_CHARS_MAX - sum(len(line) + 1 for line in (*head, *foot))
        return "\n".join([*head, clip_text("\n".join(lines), room), *foot])

    def _counts(self) -> Iterator[tuple[str, str]]:
        document, details = self._document, self._document.unmapped
        yield "what", document.message
        yield "level", details.rule.level
        yield "count", str(document.count)
        yield "first seen", _time(details.first_seen_ns)
        yield "last seen", _time(details.last_seen_ns)
        if details.verdict is not None:
            yield "verdict", details.verdict.judgement.replace("_", " ")
            yield "judged by", details.verdict.analyst
            yield "reason", details.verdict.reason

    def _facts(self) -> Iterator[str]:
        details, rule = self._document.unmapped, self._document.unmapped.rule
        facts = ((name.replace("_", " "), _words(value)) for name, value in details.facts.items())
        about = (
            ("rule", f"{rule.title} ({', '.join(filter(None, (rule.id, rule.pack)))})"),
            ("ATT&CK", _words(rule.attack)),
            ("controls", _words(rule.controls)),
            ("false positives", _words(rule.falsepositives)),
            ("about", self._document.finding_info.desc),
            ("references", _words(rule.references)),
        )
        yield from _table((*self._counts(), ("cluster", details.cluster), *facts, *about))

    def _why(self) -> Iterator[str]:
        yield "Why the rule matched:"
        for clause in self._document.unmapped.explanation[:LIST_ITEMS_MAX]:
            found = "" if clause.value is None else f"  (it is {clause.value!r})"
            yield "  " + _line(f"{clause.where}: {clause.path or clause.field} {clause.test}{found}")
        yield ""

    def _samples(self) -> Iterator[str]:
        yield "Sample events:"
        for evidence in self._document.evidences[:LIST_ITEMS_MAX]:
            sample = evidence.data
            ids = ", ".join(sample.event_ids[:LIST_ITEMS_MAX]) or sample.uid
            yield "  " + _line(f"{_time(sample.time_ns)}  {sample.source}  {ids}")


def _target(facts: Mapping[str, Any]) -> str:
    name = facts.get("name") or facts.get("pod")
    path = "/".join(str(part) for part in (facts.get("namespace"), name) if part)
    words = [str(part) for part in (facts.get("resource"), path) if part]
    return " ".join(words) or str(facts.get("container") or facts.get("node") or "")


def _table(fields: Any) -> Iterator[str]:
    """Render what has a value, one line each, every line beginning with our own word."""
    for name, value in fields:
        if value:
            yield f"{safe_text(name, 32):16}{_line(value)}"


def _words(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    return ", ".join(str(item) for item in value[:LIST_ITEMS_MAX])  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _line(text: str) -> str:
    return safe_text(text, VALUE_CHARS_MAX)


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
