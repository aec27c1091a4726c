"""What detection counted without alerting: asked of the running agent, else read from the last checkpoint."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import orjson

from vedette.journal.sqlite import SqliteCoreReader
from vedette.pipeline.control import request
from vedette.pipeline.unheard import Tally, Unheard
from vedette.schema.errors import TransientError
from vedette.schema.settings import RollUpSettings

if TYPE_CHECKING:
    from vedette.journal.sqlite import DataFolder


class Counted(NamedTuple):
    """Rules in shadow by id; exceptions by their title and the id of the rule that they kept from matching."""

    shadow: dict[str, Tally]
    exceptions: dict[tuple[str, str], Tally]


def read_counted(folder: DataFolder) -> Counted:
    """Return what was counted since rules are in shadow, and since exceptions are there.

    Raises:
        TransientError: the journal can't be read now.
    """
    document = _of_agent(folder) or _of_checkpoint(folder)
    shadow, exceptions = (msgspec.convert(document[name], dict[str, Tally]) for name in ("shadow", "exceptions"))
    by_title = {_key(key): tally for key, tally in exceptions.items()}
    return Counted(shadow, by_title)


def _key(key: str) -> tuple[str, str]:
    title, rule_id = orjson.loads(key)
    return title, rule_id


def _of_agent(folder: DataFolder) -> dict[str, Any] | None:
    try:
        answer = request(folder.control_socket, {"op": "unheard"})
    except TransientError:
        return None
    return answer if answer.get("ok") else None


def _of_checkpoint(folder: DataFolder) -> dict[str, Any]:
    unheard = Unheard(RollUpSettings())
    with closing(SqliteCoreReader(folder.core)) as core:
        for tallies in (unheard.shadow, unheard.exceptions):
            tallies.state.restore(core.checkpoint_rows(tallies.name))
    return unheard.as_document()
