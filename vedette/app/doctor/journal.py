"""What the doctor reads in the journal: the ledger, what waits, what sinks refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.sources.http.probe import failed
from vedette.app.ledger import read_ledger
from vedette.app.metrics.reading import read_journal
from vedette.app.terminal import count_text
from vedette.runtime.check import Check
from vedette.schema.errors import VedetteError
from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from vedette.app.ledger import Ledger
    from vedette.app.metrics.reading import DeliveryReading, Reading
    from vedette.journal.sqlite import DataFolder

LATE_S: Final = 300.0
"""What has been waiting for longer than this is reported while an agent is running."""


def check_journal(folder: DataFolder, *, running: bool) -> list[tuple[str, Check]]:
    """Read ledger and backlogs, each check with its component; blocking."""
    if not (folder.core.exists() and (folder.path / "VERSION").exists()):
        return [("journal", Check("nothing was recorded yet"))]
    try:
        ledger, reading = read_ledger(folder), read_journal(folder)
    except VedetteError as error:
        return [("journal", failed("read the journal", error))]
    checks = [_check_balance(ledger), _check_detection(reading, running=running), _check_dead_letters(reading)]
    deliveries = [
        (f"sinks.{name}", check)
        for name, delivery in reading.deliveries.items()
        for check in _check_delivery(delivery, reading.now_ns, running=running)
    ]
    return [*(("journal", check) for check in checks), *deliveries]


def _check_balance(ledger: Ledger) -> Check:
    what = "the ledger: every record and every alert is accounted for"
    if ledger.balanced:
        return Check(what)
    return Check(what, "it does not balance", "`vedette ledger --recompute` says where; please report it as a bug")


def _check_detection(reading: Reading, *, running: bool) -> Check:
    age_s = _age_s(reading.waiting_since_ns, reading.now_ns)
    what = f"detection: {count_text(reading.waiting, 'record')} waiting"
    if running and age_s > LATE_S:
        remedy = "give the agent more CPU, or send it less; its log says if it can't read or write the journal"
        return Check(what, f"the oldest has been waiting for {age_s:.0f} s", remedy)
    return Check(what)


def _check_dead_letters(reading: Reading) -> Check:
    """Say how many records could not be used; that alone is no problem: whoever reaches a port can send garbage."""
    dead = sum(source.dead_lettered for source in reading.sources.values())
    hint = "; `vedette dead-letters list` shows them" if dead else ""
    return Check(f"records that could not be used: {dead}{hint}")


def _check_delivery(delivery: DeliveryReading, now_ns: int, *, running: bool) -> list[Check]:
    checks = [_check_backlog(delivery, now_ns, running=running)]
    if delivery.dead_lettered:
        remedy = (
            "`vedette dead-letters` shows why; when that is mended, deliver them with `vedette dead-letters replay`"
        )
        checks.append(Check("what it refused for good", f"{delivery.dead_lettered} in the dead letters", remedy))
    return checks


def _check_backlog(delivery: DeliveryReading, now_ns: int, *, running: bool) -> Check:
    age_s = _age_s(delivery.waiting_since_ns, now_ns)
    what = f"deliveries: {delivery.delivered} delivered, {delivery.waiting} waiting"
    if running and age_s > LATE_S:
        remedy = "see the other checks of this sink, and `a sink can't take alerts now` in the agent's log"
        return Check(what, f"the oldest has been waiting for {age_s:.0f} s", remedy)
    return Check(what)


def _age_s(since_ns: int, now_ns: int) -> float:
    return max(0, now_ns - since_ns) / SECOND_NS if since_ns else 0.0
