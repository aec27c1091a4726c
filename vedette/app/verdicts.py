"""The control operation `verdict`: what an analyst decided enters the log, and detection tells whoever has the alert.

While findings can join an alert, its id is enough. After that detection knows nothing of it any more; then the record
brings the alert's last document along. The embedded store has it, once everything detected so far was delivered there.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from sinks.store import StoreReader
from vedette.app.store_access import store_path
from vedette.pipeline.control_record import OP_VERDICT, ControlRecord
from vedette.pipeline.document import encode_document
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.verdict import Judgement, make_verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from vedette.app.config import Config
    from vedette.journal.sqlite import SqliteIntakeReader
    from vedette.pipeline.core_thread import CoreThread
    from vedette.pipeline.detect import DetectRole
    from vedette.pipeline.intake import IntakeRole
    from vedette.pipeline.rollup import RollUp
    from vedette.schema.alert import AlertDocument

WAIT_S: Final = 30.0
"""How long detection and the store may take to come up to a verdict; a client waits a minute."""
_POLL_S: Final = 0.02


class VerdictRequest(msgspec.Struct):
    """What is asked of the agent: the alert by its id or the beginning of it, and the store's sink ("": the first)."""

    alert: str
    judgement: Judgement
    analyst: str = ""
    reason: str = ""
    sink: str = ""


class Roles(NamedTuple):
    """Parts of the running agent."""

    intake: IntakeRole
    detect: DetectRole
    rollup: RollUp
    core: CoreThread
    reader: SqliteIntakeReader


class Verdicts:
    """Takes verdicts, one after the other."""

    def __init__(self, config: Config, roles: Roles) -> None:
        """Find alerts in the stores of a configuration."""
        self._config = config
        self._roles = roles
        self._turn = asyncio.Lock()

    async def take(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take what an analyst decided; return once it is durable and a revision says so.

        Raises:
            ConfigError: there is no such alert, or no store. TransientError: it can't be written or looked up now.
        """
        try:
            asked = msgspec.convert(request, VerdictRequest)
        except msgspec.ValidationError as error:
            raise ConfigError(f"not a verdict: {error}") from error
        name, path = store_path(self._config, asked.sink or None)
        async with self._turn:
            document = await asyncio.to_thread(_read, path, asked.alert)
            alert_id: str = document["unmapped"]["alert_id"]
            was_open = self._is_open(alert_id)
            if was_open:
                await self._append(asked, document, final=False)
            if not was_open or not self._is_open(alert_id):
                document = await self._last(name, path, alert_id)
                if not _says(document, asked):
                    await self._append(asked, document, final=True)
        return {"alert_id": alert_id, "title": document["finding_info"]["title"]}

    def _is_open(self, alert_id: str) -> bool:
        state = self._roles.rollup.state
        return any(alert.alert_id == alert_id for key in state if (alert := state.get(key)) is not None)

    async def _append(self, asked: VerdictRequest, document: AlertDocument, *, final: bool) -> None:
        """Write a verdict down, and wait until detection has committed it."""
        verdict = make_verdict(asked.judgement, asked.analyst, asked.reason, 0)
        record = ControlRecord(
            OP_VERDICT,
            alert=document["unmapped"]["alert_id"],
            judgement=verdict.judgement,
            analyst=verdict.analyst,
            detail=verdict.reason,
            document=encode_document(document).decode(),
            final=final,
        )
        await self._roles.intake.control(record)
        last_seq = await asyncio.to_thread(self._roles.reader.last_seq)

        async def detected() -> bool:
            return self._roles.detect.seq >= last_seq

        await _until(detected, "the verdict is kept, but detection is behind: it is told when that comes to it")

    async def _last(self, sink: str, path: Path, alert_id: str) -> AlertDocument:
        """Return the last document of an alert that is not open: the store's, once that has all that is committed."""
        core = self._roles.core
        position = await core.call(core.core.last_alert_position)

        async def delivered() -> bool:
            return (await core.call(core.core.delivery_counts))[sink].position >= position

        await _until(delivered, f"sinks.{sink} is behind, and may not have the alert's last state yet. Try again")
        return await asyncio.to_thread(_read, path, alert_id)


def _read(path: Path, alert_id: str) -> AlertDocument:
    with contextlib.closing(StoreReader(path)) as store:
        return store.get(alert_id)


def _says(document: AlertDocument, asked: VerdictRequest) -> bool:
    """Say whether a document tells a verdict already."""
    wanted = make_verdict(asked.judgement, asked.analyst, asked.reason, 0)
    said = document["unmapped"].get("verdict", {})
    return [said.get(name) for name in ("judgement", "analyst", "reason")] == [*msgspec.structs.astuple(wanted)[:3]]


async def _until(condition: Callable[[], Awaitable[bool]], message: str) -> None:
    """Wait for what other roles do; bounded.

    Raises:
        TransientError: it took too long; `message` says what.
    """
    try:
        async with asyncio.timeout(WAIT_S):
            while not await condition():  # noqa: ASYNC110 - what is waited for rings no bell here
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise TransientError(message) from None
