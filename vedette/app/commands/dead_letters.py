"""`vedette dead-letters`."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import (
    ConfigFile,
    DataDir,
    Flag,
    Format,
    count_text,
    put,
    put_fields,
    put_json,
    put_table,
    say,
    time_text,
)
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vedette.app.dead_letters import Chosen, LetterId
    from vedette.journal.protocol import DeadDelivery, DeadLetter
    from vedette.journal.sqlite import DataFolder

app = App(
    name="dead-letters",
    help="""List, show and replay what could not be used or delivered.

A record that is not what its format says, and an alert that a destination will never take, hold up no other: \
they are set aside with the reason, and counted in the ledger. Records have ids like r17, deliveries like d4.""",
    help_epilogue="`vedette dead-letters replay --help` shows examples.",
)

_BATCH: Final = 100
"""Dead letters that one request to the agent names."""

Source = Annotated[str | None, Parameter(help="Only those of one source; of an alert, that of its opening record.")]
Sink = Annotated[str | None, Parameter(help="Only deliveries of one sink.")]
Reason = Annotated[str | None, Parameter(help="Only those in whose reason the text occurs.")]


@app.command(
    name="list",
    help_epilogue="""Examples:
  vedette dead-letters list
  vedette dead-letters list --sink search
  vedette dead-letters list --source audit --format json | jq -r .reason | sort | uniq -c""",
)
def list_letters(
    *,
    limit: Annotated[int, Parameter(help="How many to list of each kind, the newest.")] = 50,
    source: Source = None,
    sink: Sink = None,
    reason: Reason = None,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """List records that could not be used and deliveries that were refused, the oldest first, each with the reason."""
    from vedette.app import dead_letters  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415

    folder, chosen = find_folder(config, data_dir), dead_letters.Chosen(source, sink, reason)
    records = deque(dead_letters.records(folder, chosen), maxlen=max(0, limit))
    deliveries = deque(dead_letters.deliveries(folder, chosen), maxlen=max(0, limit))
    if format == "json":
        for key, letter in records:
            put_json(dead_letters.record_document(key, letter))
        for key, dead in deliveries:
            put_json(dead_letters.delivery_document(key, dead))
        return ExitStatus.OK
    if records or sink is None:
        _put_records(records)
    if deliveries or sink is not None:
        put("")
        _put_deliveries(deliveries)
    return ExitStatus.OK


def _put_records(records: Iterable[tuple[int, DeadLetter]]) -> None:
    put_table(
        ("ID", "RECEIVED", "SOURCE", "FORMAT", "ORIGIN", "STAGE", "REPLAYED", "REASON"),
        [
            (
                f"r{key}",
                time_text(letter.arrival_ns),
                letter.source,
                letter.format,
                _origin(letter),
                letter.stage,
                "yes" if letter.replayed_ns else "",
                letter.reason,
            )
            for key, letter in records
        ],
    )


def _put_deliveries(deliveries: Iterable[tuple[int, DeadDelivery]]) -> None:
    put_table(
        ("ID", "OPENED", "SINK", "LOG", "ALERT OR RECORD", "SOURCE", "LEVEL", "QUEUED", "REASON"),
        [
            (
                f"d{key}",
                time_text(dead.revision.opened_ns),
                dead.delivery,
                dead.log,
                dead.revision.alert_id or dead.position,
                dead.revision.source,
                dead.revision.level,
                "yes" if dead.queued else "",
                dead.reason,
            )
            for key, dead in deliveries
        ],
    )


@app.command(
    help_epilogue="""Examples:
  vedette dead-letters show r17
  vedette dead-letters show d4 --format json
  vedette dead-letters show 17 --raw > record.json""",
)
def show(
    letter_id: Annotated[str, Parameter(name="ID", help="Its id in `vedette dead-letters list`.")],
    /,
    *,
    raw: Annotated[Flag, Parameter(help="Write the record or the alert as it is kept, and nothing else.")] = False,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show one record that could not be used, or one delivery that was refused, with its content."""
    from vedette.app.dead_letters import parse_id  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415

    named = parse_id(letter_id)
    document, content = _find(find_folder(config, data_dir), named)
    if raw:
        sys.stdout.buffer.write(content)
    elif format == "json":
        put_json({**document, "payload_base64": b64encode(content).decode("ascii")})
    else:
        put_fields((name.replace("_", " "), value) for name, value in document.items())
        put("")
        put(safe_text(content.decode("utf-8", "backslashreplace"), DEAD_LETTER_BYTES_MAX))
    return ExitStatus.OK


def _find(folder: DataFolder, named: LetterId) -> tuple[dict[str, Any], bytes]:
    from vedette.app import dead_letters  # noqa: PLC0415 - keeps the start fast

    anything = dead_letters.Chosen()
    if named.kind == "r":
        letter = next(dead_letters.records(folder, anything, named.number - 1), None)
        if letter is not None and letter[0] == named.number:
            return dead_letters.record_document(*letter), letter[1].payload
    else:
        dead = next(dead_letters.deliveries(folder, anything, named.number - 1), None)
        if dead is not None and dead[0] == named.number:
            return dead_letters.delivery_document(*dead), dead[1].revision.document
    raise ConfigError(f"there is no dead letter {named}; `vedette dead-letters list` shows those that are kept")


def _origin(letter: DeadLetter) -> str:
    return f"{letter.origin}:{letter.record}" if letter.origin else ""


@app.command(
    help_epilogue="""Examples:
  vedette dead-letters replay r17 d4
  vedette dead-letters replay --all --sink search
  vedette dead-letters replay --all --source audit --reason "not JSON" --again

Exit status: 0 all of them; 1 some were not found, can't be or were replayed before, and it says how many; 2 the call is
wrong; 3 no agent answers.""",
)
def replay(  # noqa: PLR0913 - each is an option
    letter_ids: Annotated[
        tuple[str, ...], Parameter(name="ID", help="Ids as `vedette dead-letters list` shows them.")
    ] = (),
    /,
    *,
    all: Annotated[  # noqa: A002 - the name of the option
        Flag, Parameter(help="All instead, or those that --source, --sink and --reason choose, as in `list`.")
    ] = False,
    source: Source = None,
    sink: Sink = None,
    reason: Reason = None,
    again: Annotated[
        Flag,
        Parameter(
            help="Also records that were replayed before. Without it a record goes in once, whatever happens meanwhile."
        ),
    ] = False,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Try dead letters once more, after what refused them was mended: a rule, a decoder, a destination.

    Records go into the running agent's intake again, as new records of their source. Deliveries are queued, and go \
out as soon as their sink has nothing newer to take; `vedette dead-letters list --sink` shows what was refused again.
    """
    from vedette.app.dead_letters import Chosen, parse_id  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415

    chosen = Chosen(source, sink, reason)
    if all == bool(letter_ids):
        raise ConfigError("name dead letters by their ids, or all of them with --all")
    if letter_ids and chosen != Chosen():
        raise ConfigError("--source, --sink and --reason choose from --all; leave them out where ids are named")
    folder = find_folder(config, data_dir)
    named = [*dict.fromkeys(map(parse_id, letter_ids))] or _all(folder, chosen, again=again)
    total = _replay(folder, named, again=again)
    if format == "json":
        put_json(total)
    else:
        put(_summary(total))
    return ExitStatus.FOUND if total["not_found"] or total["before"] or total["cut"] else ExitStatus.OK


def _all(folder: DataFolder, chosen: Chosen, *, again: bool) -> list[LetterId]:
    from vedette.app.dead_letters import LetterId, deliveries, records  # noqa: PLC0415 - keeps the start fast

    fresh = [LetterId("r", key) for key, letter in records(folder, chosen) if again or not letter.replayed_ns]
    return fresh + [LetterId("d", key) for key, _ in deliveries(folder, chosen)]


def _replay(folder: DataFolder, named: Sequence[LetterId], *, again: bool) -> dict[str, int]:
    from vedette.app.agent_client import ask_in, wait_until_stopped  # noqa: PLC0415 - keeps the start fast

    if wait_until_stopped(folder, 0):
        raise TransientError(
            f"no agent runs on {folder.path}, and it is the agent that replays. Start it with `vedette run"
            f" --data-dir {folder.path}` (or with your --config), and try again"
        )
    total: dict[str, int] = dict.fromkeys(("records", "deliveries", "not_found", "before", "cut"), 0)
    for start in range(0, len(named), _BATCH):
        batch = named[start : start + _BATCH]
        ids = {kind: [each.number for each in batch if each.kind == kind] for kind in ("r", "d")}
        answer = ask_in(folder, "replay", records=ids["r"], deliveries=ids["d"], again=again)
        for name in total:
            total[name] += answer[name]
        if len(named) > _BATCH:
            say(f"{start + len(batch)} of {len(named)}")
    return total


def _summary(total: dict[str, int]) -> str:
    deliveries = "1 delivery" if total["deliveries"] == 1 else f"{total['deliveries']} deliveries"
    parts = [f"{count_text(total['records'], 'record')} taken in again", f"{deliveries} queued"]
    if total["not_found"]:
        parts.append(f"{total['not_found']} not found")
    if total["before"]:
        parts.append(f"{total['before']} replayed before (--again replays them once more)")
    if total["cut"]:
        parts.append(f"{total['cut']} kept in part only, and gone from the intake log")
    return ", ".join(parts)
