"""`vedette dead-letters`."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter

from vedette.app.terminal import (
    ConfigFile,
    DataDir,
    Flag,
    Format,
    put,
    put_fields,
    put_json,
    put_table,
    time_text,
)
from vedette.schema.errors import ConfigError
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vedette.journal.protocol import DeadLetter

app = App(
    name="dead-letters",
    help="""List and show records that could not be used.

A record that is not what its format says does not hold up the others: it is set aside with the reason, and counted in \
the ledger.""",
    help_epilogue="`vedette dead-letters list --help` shows examples.",
)

_PAGE: Final = 500


@app.command(
    name="list",
    help_epilogue="""Examples:
  vedette dead-letters list
  vedette dead-letters list --source audit --format json | jq -r .reason | sort | uniq -c""",
)
def list_letters(
    *,
    limit: Annotated[int, Parameter(help="How many to list: the newest ones.")] = 50,
    source: Annotated[str | None, Parameter(help="Only those of one source.")] = None,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """List records that could not be used, the oldest first, each with the reason."""
    letters = ((key, letter) for key, letter in _letters(config, data_dir) if source in (None, letter.source))
    latest = deque(letters, maxlen=max(0, limit))
    if format == "json":
        for key, letter in latest:
            put_json(_document(key, letter))
        return 0
    put_table(
        ("ID", "RECEIVED", "SOURCE", "FORMAT", "ORIGIN", "STAGE", "REASON"),
        [
            (
                key,
                time_text(letter.arrival_ns),
                letter.source,
                letter.format,
                _origin(letter),
                letter.stage,
                letter.reason,
            )
            for key, letter in latest
        ],
    )
    return 0


@app.command(
    help_epilogue="""Examples:
  vedette dead-letters show 17
  vedette dead-letters show 17 --raw > record.json""",
)
def show(
    letter_id: Annotated[int, Parameter(name="ID", help="Its number in `vedette dead-letters list`.")],
    /,
    *,
    raw: Annotated[Flag, Parameter(help="Write the record as it was received, and nothing else.")] = False,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show one record that could not be used, with its content."""
    found = next((entry for entry in _letters(config, data_dir, letter_id - 1) if entry[0] == letter_id), None)
    if found is None:
        raise ConfigError(f"there is no dead letter {letter_id}; `vedette dead-letters list` shows those that are kept")
    key, letter = found
    if raw:
        sys.stdout.buffer.write(letter.payload)
    elif format == "json":
        put_json({**_document(key, letter), "payload_base64": b64encode(letter.payload).decode("ascii")})
    else:
        shown = {**_document(key, letter), "origin": _origin(letter)}
        del shown["record"]
        put_fields((name.replace("_", " "), value) for name, value in shown.items())
        put("")
        put(safe_text(letter.payload.decode("utf-8", "backslashreplace"), DEAD_LETTER_BYTES_MAX))
    return 0


def _letters(config: Path | None, data_dir: Path | None, after_id: int = 0) -> Iterator[tuple[int, DeadLetter]]:
    from vedette.app.folder_access import find_folder  # noqa: PLC0415 - keeps the start fast
    from vedette.journal.sqlite import SqliteCoreReader  # noqa: PLC0415

    reader = SqliteCoreReader(find_folder(config, data_dir).core)
    try:
        while page := reader.dead_letters(after_id=after_id, limit=_PAGE):
            yield from page
            after_id = page[-1][0]
    finally:
        reader.close()


def _document(key: int, letter: DeadLetter) -> dict[str, Any]:
    document = {"id": key, **letter._asdict(), "received": time_text(letter.arrival_ns)}
    del document["payload"], document["arrival_ns"]
    return document


def _origin(letter: DeadLetter) -> str:
    return f"{letter.origin}:{letter.record}" if letter.origin else ""
