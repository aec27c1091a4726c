"""What commands print: data on standard output, everything else on standard error, nothing that a terminal would obey.

Tables are for people: what the world chose passes `safe_text`. JSON is for programs: one object a line, ASCII only.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MESSAGE_CHARS_MAX: Final = 4096
"""Characters of one line of a message."""

Format = Annotated[
    Literal["table", "json"], Parameter(help="`table` for people, `json` for programs (one object a line).")
]
ConfigFile = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], env_var="VEDETTE_CONFIG", help="Configuration file. Without one: the defaults."),
]
DataDir = Annotated[
    Path | None,
    Parameter(
        name=["--data-dir", "-d"],
        env_var="VEDETTE_DATA_DIR",
        help="Data folder; overrides `data_dir` of the configuration.",
    ),
]
Flag = Annotated[bool, Parameter(negative="")]


def say(message: str) -> None:
    """Write a message for people on standard error, line by line."""
    for line in message.splitlines() or [""]:
        print(safe_text(line, MESSAGE_CHARS_MAX), file=sys.stderr)  # noqa: T201 - this is what it is for


def put(line: str) -> None:
    """Write a line of text for people on standard output; the caller has made sure that it is harmless."""
    sys.stdout.write(line + "\n")


def put_json(value: Any) -> None:
    """Write one JSON object on a line of its own on standard output."""
    sys.stdout.write(json.dumps(value, separators=(",", ":"), default=str) + "\n")


def put_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write aligned columns on standard output; numbers stand on the right."""
    cells = [[safe_text("" if value is None else str(value)) for value in row] for row in rows]
    lines = [list(titles), *cells]
    numeric = [bool(cells) and all(_is_number(row[column]) for row in cells) for column in range(len(titles))]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        padded = (_pad(text, width, number) for text, width, number in zip(line, widths, numeric, strict=True))
        put("  ".join(padded).rstrip())


def put_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Write names and values, one pair a line, on standard output."""
    shown = [(name, safe_text("" if value is None else str(value))) for name, value in fields]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        put(f"{name:<{width}}  {value}".rstrip())


def count_text(count: int, noun: str) -> str:
    """Say how many there are of something: `1 rule`, `2 rules`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def time_text(time_ns: int) -> str:
    """Render ns since the epoch as RFC 3339 in UTC, with microseconds; "" for 0."""
    if not time_ns:
        return ""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit() or not text


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _pad(text: str, width: int, number: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if number else text + space
