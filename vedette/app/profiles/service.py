"""The control operations about profiles, in the running agent: what was learned, and decisions about it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from detectors.behaviour.profiles.control import Action
from detectors.behaviour.profiles.reading import profile_id, rows_of
from detectors.behaviour.profiles.transfer import BYTES_MAX, unpack
from vedette.app.profiles.query import answer
from vedette.pipeline.control_record import OP_PROFILE, ControlRecord
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.text import clip_text, whole_text
from vedette.schema.verdict import ANALYST_CHARS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from detectors.behaviour.profiles.store import Profiles
    from vedette.journal.sqlite import SqliteIntakeReader
    from vedette.pipeline.detect import DetectRole
    from vedette.pipeline.intake import IntakeRole

DECISION: Final = "profile"
IDS_MAX: Final = 1_000
WAIT_S: Final = 30.0
"""How long detection may take to come up to a decision; a client waits a minute."""
_POLL_S: Final = 0.02
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked: whole ids, or for an import the SHA-256 of the export that lies in the data folder."""

    action: Action
    ids: Annotated[list[str], msgspec.Meta(max_length=IDS_MAX)] = []
    analyst: str = ""
    hash: str = ""


def import_path(folder: Path, digest: str) -> Path:
    """Where a command leaves an export for the agent, which takes it away."""
    return folder / f"profiles-{digest}.import"


class ProfileService:
    """Answers and decides, one decision after the other."""

    def __init__(
        self,
        folder: Path,
        profiles: Profiles,
        roles: tuple[IntakeRole, DetectRole, SqliteIntakeReader],
    ) -> None:
        """Look at the profiles of detection; exports to take in lie in `folder`."""
        self._folder = folder
        self._profiles = profiles
        self._intake, self._detect, self._reader = roles
        self._turn = asyncio.Lock()

    async def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a query."""
        return answer(self._profiles, request)

    async def decide(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Write a decision down; return once detection has obeyed it.

        Raises:
            ConfigError: it can't be carried out. TransientError: it can't be written now, or detection is behind.
        """
        try:
            asked = msgspec.convert({key: value for key, value in request.items() if key != "op"}, Decision)
        except msgspec.ValidationError as error:
            raise ConfigError(f"not a decision on profiles: {error}") from error
        who = clip_text(whole_text(asked.analyst), ANALYST_CHARS_MAX)
        async with self._turn:
            if asked.action is Action.IMPORT:
                return await self._take_in(asked.hash, who)
            known = {profile_id(key) for key, _ in rows_of(self._profiles.state)}
            gone = [one for one in asked.ids if one not in known]
            if gone:
                raise ConfigError(f"there is no profile with the id {gone[0]!r}; `vedette profiles list` shows them")
            await self._append(ControlRecord(OP_PROFILE, action=asked.action, profiles=tuple(asked.ids), analyst=who))
        return {"profiles": len(asked.ids)}

    async def _take_in(self, digest: str, who: str) -> dict[str, Any]:
        if not _HASH.fullmatch(digest):
            raise ConfigError("an import names its export by the SHA-256 of it")
        path = import_path(self._folder, digest)
        content = await asyncio.to_thread(_taken_away, path)
        if hashlib.sha256(content).hexdigest() != digest:
            raise ConfigError("the export was changed on its way; import it again")
        count = len(unpack(content))
        record = ControlRecord(OP_PROFILE, action=Action.IMPORT, hash=digest, analyst=who)
        await self._append(record, {"profiles": content})
        return {"profiles": count}

    async def _append(self, record: ControlRecord, blobs: Mapping[str, bytes] | None = None) -> None:
        await self._intake.control(record, blobs)
        last_seq = await asyncio.to_thread(self._reader.last_seq)
        try:
            async with asyncio.timeout(WAIT_S):
                while self._detect.seq < last_seq:  # noqa: ASYNC110 - what is waited for rings no bell here
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise TransientError(
                "the decision is kept, but detection is behind: it holds when that comes to it"
            ) from None


def _taken_away(path: Path) -> bytes:
    """Read an export and remove it.

    Raises:
        ConfigError: it is not there, or too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"the export to import can't be read: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    return content
