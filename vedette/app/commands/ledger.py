"""`vedette ledger`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import ConfigFile, DataDir, Format, count_text, put, put_json, put_table

if TYPE_CHECKING:
    from vedette.app.ledger import Ledger
    from vedette.app.ledger_recount import Recount

app = App(
    name="ledger",
    help_epilogue="""Examples:
  vedette ledger
  vedette ledger --recompute --data-dir /var/lib/vedette
  vedette ledger --format json | jq '.sources[] | select(.waiting > 0)'

Exit status: 0 balanced; 1 not balanced, and it says where; 3 the data folder can't be read.""",
)


@app.default
def ledger(
    *,
    recompute: Annotated[
        bool, Parameter(negative="", help="Also count intake's side again from the raw rows, and compare.")
    ] = False,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Account for every record and every alert.

    For each source: received = duplicate + processed + filtered + dead-lettered + waiting. Beside the sum stand \
records refused or lost before receipt, and the losses that sources report themselves.

    For each destination, in revisions of alerts, or in records where it takes the log `events`: routed = delivered + \
superseded + dead-lettered + expired + waiting. Beside the sum stands what its filter held back (suppressed).

    Reads the data folder itself, with or without a running agent, and changes nothing.
    """
    from vedette.app.folder_access import find_folder  # noqa: PLC0415 - keeps the start fast
    from vedette.app.ledger import read_ledger  # noqa: PLC0415
    from vedette.app.ledger_recount import recount  # noqa: PLC0415

    folder = find_folder(config, data_dir)
    accounts = read_ledger(folder)
    recounted = recount(folder) if recompute else None
    if format == "json":
        put_json(_document(accounts, recounted))
    else:
        _put_tables(accounts)
        _put_verdict(accounts, recounted)
    balanced = accounts.balanced and not (recounted and recounted.differences)
    return ExitStatus.OK if balanced else ExitStatus.FOUND


def _document(accounts: Ledger, recounted: Recount | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "balanced": accounts.balanced,
        "sources": [{**account._asdict(), "missing": account.missing} for account in accounts.sources],
        "deliveries": [{**account._asdict(), "missing": account.missing} for account in accounts.deliveries],
    }
    if recounted is not None:
        differences = [difference._asdict() for difference in recounted.differences]
        document["recount"] = {**recounted._asdict(), "differences": differences}
    return document


def _put_tables(accounts: Ledger) -> None:
    put_table(
        ("SOURCE", "RECEIVED", "DUPLICATE", "PROCESSED", "FILTERED", "DEAD-LETTERED", "WAITING", "REFUSED", "LOSSES"),
        [
            (*account[:-1], ", ".join(f"{kind} {lost}" for kind, lost in account.losses.items()))
            for account in accounts.sources
        ],
    )
    put("")
    put_table(
        ("SINK", "LOG", "ROUTED", "DELIVERED", "SUPERSEDED", "DEAD-LETTERED", "EXPIRED", "WAITING", "SUPPRESSED"),
        [(account.delivery, account.log, *account[1:-1]) for account in accounts.deliveries],
    )
    put("")


def _put_verdict(accounts: Ledger, recounted: Recount | None) -> None:
    for name, missing in (
        *((f"source {account.source}", account.missing) for account in accounts.sources),
        *((f"sink {account.delivery}", account.missing) for account in accounts.deliveries),
    ):
        if missing:
            put(f"NOT BALANCED: {name}: {abs(missing)} {'not accounted for' if missing > 0 else 'too many'}")
    if accounts.balanced:
        put("balanced")
    if recounted is None:
        return
    for segment, source, counter, counted, again in recounted.differences:
        put(f"NOT THE SAME: segment {segment}: source {source}: {counter} is {counted}, its rows say {again}")
    if not recounted.differences:
        since = "" if recounted.first_seq <= 1 else f" since record {recounted.first_seq} (older ones are retired)"
        put(f"recounted {count_text(recounted.segments, 'segment')}{since}: the same")
