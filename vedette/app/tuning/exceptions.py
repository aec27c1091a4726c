"""The exceptions of a rule set: what there is and what it did; one more, one less; never a set that would not load."""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from detectors.behaviour.definition import Definition
from detectors.correlation.definition import Correlation
from detectors.library import Library
from detectors.loading import is_falco
from detectors.rule import Rule, RuleText
from detectors.sigma.exceptions import WrittenException, written_exceptions
from detectors.sigma.metadata import ExceptionInfo
from detectors.watching import Watcher, watched
from vedette.app.tuning.exception_text import Field, set_expiry, write_exception
from vedette.app.wiring import read_rules
from vedette.schema.errors import ConfigError
from vedette.schema.event import LogSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vedette.app.config import Rules
    from vedette.app.tuning.unheard import Counted

_DAYS: Final = re.compile(r"(\d{1,4})d", re.ASCII)
_SUFFIXES: Final = (".yml", ".yaml")
_SLUG_CHARS_MAX: Final = 40


class Standing(NamedTuple):
    """An exception, the rules that it joins (id and title), and what it did since it is there, by rule."""

    written: WrittenException
    rules: dict[str, str]
    hits: dict[str, int]
    last_ns: int
    """Event time of its latest hit; 0: none."""
    state: str
    """`active`, `never hit`, or `expired`."""


class Proposal(NamedTuple):
    """An exception that could be written: `content` is what the file would hold from then on."""

    title: str
    path: Path
    added: str
    content: str
    rules: tuple[Rule, ...]
    """The rule as it would be."""


def standings(configured: Rules, counted: Counted | None, today: date) -> list[Standing]:
    """Tell all exceptions of the configured rules, in the order of the files.

    Raises:
        ConfigError, RuleError: the rules can't be read, or not be used.
    """
    texts = read_rules(configured)
    joined: dict[str, dict[str, str]] = {}
    for rule in watched(_load(texts, configured).loaded.rules):
        if isinstance(rule.info, Watcher):
            for title, _ in rule.info.exceptions:
                joined.setdefault(title, {})[rule.info.rule_id] = rule.info.title
    written = written_exceptions(text for text in texts if not is_falco(text.text))
    return [_standing(found, joined.get(found.title, {}), counted, today) for found in written]


def _standing(found: WrittenException, rules: dict[str, str], counted: Counted | None, today: date) -> Standing:
    tallies = (
        {} if counted is None else {key: tally for key, tally in counted.exceptions.items() if key[0] == found.title}
    )
    hits = {rule_id: tally.findings for (_, rule_id), tally in tallies.items()}
    last_ns = max((tally.last_ns for tally in tallies.values()), default=0)
    expired = bool(found.info.expires) and date.fromisoformat(found.info.expires) < today
    state = "expired" if expired else "active" if any(hits.values()) else "never hit"
    return Standing(found, rules, hits, last_ns, state)


def propose(
    configured: Rules, name: str, fields: Sequence[Field], info: ExceptionInfo, *, title: str, file: Path | None
) -> Proposal:
    """Make an exception for a rule, and load the whole set with it; nothing is written.

    Raises:
        ConfigError: there is no such rule, or no place for the file. RuleError: the set can't be used with it.
    """
    texts = read_rules(configured)
    library = _load(texts, configured)
    rule = library.find(name)
    if isinstance(rule, Correlation):
        raise ConfigError(f"`{rule.info.title}` is a correlation; except the rules that it refers to")
    if isinstance(rule, Definition):
        hint = "leave out what it should not look at in the `detection` of a copy with an id of your own"
        raise ConfigError(f"`{rule.info.title}` is a detector of behaviour, and exceptions join rules alone; {hint}")
    title = title or _free_title(f"{rule.info.title}: {fields[0].value}", texts)
    exception_id = str(uuid.uuid4())
    logsource: dict[str, str] = {}
    if rule.info.rule_id not in library.falco:
        source: dict[str, Any] = library.document(rule.info.rule_id).data["logsource"]
        logsource = {name: str(source[name]) for name in LogSource._fields if source.get(name)}
    added = write_exception(title, exception_id, rule.info.rule_id, logsource, fields, info)
    path = _place(configured, title, exception_id) if file is None else _checked_place(configured, file)
    old = path.read_text("utf-8") if path.exists() else ""
    content = f"{old.rstrip()}\n---\n{added}" if old.strip() else added
    with_it = _load(_replaced(texts, path, content), configured)
    return Proposal(title, path, added, content, with_it.variants(rule.info.rule_id))


def end(configured: Rules, name: str, day: date) -> tuple[WrittenException, Path, str]:
    """Return an exception, its file and what that would hold if the exception expired on a day.

    Raises:
        ConfigError: there is no such exception, or it is not one's own. RuleError: the set can't be used with it.
    """
    texts = read_rules(configured)
    found = [one for one in written_exceptions(text for text in texts if not is_falco(text.text)) if one.is_meant(name)]
    if len(found) != 1:
        many = f"{len(found)} exceptions are called" if found else "there is no exception"
        raise ConfigError(f"{many} `{name}`; `vedette exceptions list --format json` shows their ids")
    source = found[0].document.source
    path = Path(source.path)
    if source.pack != source.path and not path.exists():
        raise ConfigError(f"`{found[0].title}` ships with the pack {source.pack}; leave the pack out, or except less")
    content = set_expiry(source.text, _number(source.text, found[0]), day.isoformat())
    _load(_replaced(texts, path, content), configured)
    return found[0], path, content


def write_file(path: Path, content: str) -> None:
    """Put a file in its place: it is there as a whole, or as it was.

    Raises:
        ConfigError: it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh = Path(file.name)
        fresh.chmod(mode)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}; nothing was changed") from error


def parse_expiry(text: str, today: date) -> str:
    """Return a date for `2026-12-31`, or for `90d` from today.

    Raises:
        ConfigError: it is neither, or in the past.
    """
    days = _DAYS.fullmatch(text)
    try:
        day = today + timedelta(days=int(days[1])) if days else date.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigError(f"`--expires {text}` is no date; write 2026-12-31, or 90d for 90 days from today") from None
    if day < today:
        raise ConfigError(f"`--expires {text}` is over: such an exception would never hold")
    return day.isoformat()


def utc_today() -> date:
    """Return today's date in UTC, by which exceptions expire."""
    return datetime.now(UTC).date()


# --- parts ------------------------------------------------------------------------------------------------------------
def _load(texts: Iterable[RuleText], configured: Rules) -> Library:
    library = Library(texts, configured.falco.options())
    if library.loaded.errors:
        raise library.loaded.errors[0]
    return library


def _replaced(texts: Sequence[RuleText], path: Path, content: str) -> list[RuleText]:
    """Return the texts as they would be read with a file's new content."""
    name = str(path)
    others = [text for text in texts if text.path != name]
    return [*others, RuleText(name, content, name)]


def _free_title(wanted: str, texts: Iterable[RuleText]) -> str:
    """Return a title that no exception has: they are told apart by it."""
    plain = " ".join(wanted.split())
    plain = re.sub(r"[^\w .:/@()+-]", "_", plain)[:80]
    taken = {found.title for found in written_exceptions(text for text in texts if not is_falco(text.text))}
    return next(
        title
        for number in range(1, len(taken) + 2)
        if (title := f"{plain} {number}" if number > 1 else plain) not in taken
    )


def _place(configured: Rules, title: str, exception_id: str) -> Path:
    folder = next((Path(path) for path in configured.paths if Path(path).is_dir()), None)
    if folder is None:
        raise ConfigError(
            "`rules.paths` names no folder for the exception; name a file of the configuration with --file"
        )
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:_SLUG_CHARS_MAX].rstrip("-")
    return folder / f"exception-{slug}-{exception_id[:8]}.yml"


def _checked_place(configured: Rules, file: Path) -> Path:
    """Return the path by which the configuration reads a file."""
    whole = file.absolute()
    for path in map(Path, configured.paths):
        if whole == path.absolute():
            return path
        if path.absolute() in whole.parents and whole.suffix in _SUFFIXES:
            return path / whole.relative_to(path.absolute())
    raise ConfigError(f"--file {file}: no entry of `rules.paths` reads it; name a .yml file in one of its folders")


def _number(text: str, wanted: WrittenException) -> int:
    """Return which of a text's documents an exception is."""
    line = wanted.document.node.start_mark.line + wanted.document.line_offset
    nodes: list[Any] = list(yaml.compose_all(text, yaml.SafeLoader))
    return next(number for number, node in enumerate(nodes) if node is not None and node.start_mark.line == line)
