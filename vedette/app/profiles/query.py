"""Asks for profiles: the running agent, else the last checkpoint."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from detectors.behaviour.profile import ProfileDeviations
from detectors.behaviour.profiles.reading import Reading, Summary, profile_id, readings, rows_of, summaries
from detectors.behaviour.profiles.transfer import pack
from vedette.app.agent_client import ask_in
from vedette.journal.sqlite import SqliteCoreReader
from vedette.schema.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.behaviour.profiles.store import Profiles
    from vedette.journal.sqlite import DataFolder

LIST_MAX = 100_000
OPERATION = "profiles"
_IDS_MAX = 1_000
"""Ids in one request: it has a bound of bytes."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for. `ids` are beginnings of ids, None for all; "" lets anything pass; `name` is any name of it."""

    form: Literal["summary", "whole", "export"] = "summary"
    ids: list[str] | None = None
    kind: str = ""
    name: str = ""
    cluster: str = ""
    aspect: str = ""
    state: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_MAX)] = LIST_MAX

    def takes(self, one: Summary) -> bool:
        """Say whether a profile is asked for."""
        wanted = (self.kind, self.cluster, self.aspect, self.state)
        found = (one.kind, one.cluster, one.aspect, one.state)
        return (
            all(want in ("", has) for want, has in zip(wanted, found, strict=True))
            and (not self.name or self.name in one.names)
            and (self.ids is None or one.profile_id.startswith(tuple(self.ids)))
        )


def answer(profiles: Profiles, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a query.

    Raises:
        ConfigError: it is none.
    """
    try:
        asked = msgspec.convert({key: value for key, value in request.items() if key != "op"}, Query)
    except msgspec.ValidationError as error:
        raise ConfigError(f"not a query for profiles: {error}") from error
    found = [one for one in summaries(profiles) if asked.takes(one)]
    if asked.form == "summary":
        return {"total": len(found), "profiles": msgspec.to_builtins(found[: asked.limit])}
    ids = [one.profile_id for one in found[: asked.limit]]
    if asked.form == "whole":
        whole = readings(profiles, ids) if ids else []
        return {"total": len(found), "profiles": msgspec.to_builtins(whole)}
    wanted = frozenset(ids)
    rows = [row for key, row in rows_of(profiles.state) if profile_id(key) in wanted]
    return {"total": len(rows), "export": pack(rows).decode()}


def ask_profiles(folder: DataFolder, asked: Query) -> dict[str, Any]:
    """Return the answer to a query, of the running agent or of what it left.

    Raises:
        TransientError: the journal can't be read now. ConfigError: the query is wrong.
    """
    document = msgspec.to_builtins(asked)
    try:
        return ask_in(folder, OPERATION, **document)
    except TransientError:
        return answer(_of_checkpoint(folder), document)


def ask_summaries(folder: DataFolder, asked: Query) -> list[Summary]:
    """Return the profiles asked for, without their values."""
    return msgspec.convert(ask_profiles(folder, asked)["profiles"], list[Summary])


def ask_readings(folder: DataFolder, asked: Query) -> list[Reading]:
    """Return the profiles asked for, whole."""
    whole = msgspec.structs.replace(asked, form="whole")
    return msgspec.convert(ask_profiles(folder, whole)["profiles"], list[Reading])


def ask_export(folder: DataFolder, asked: Query) -> tuple[int, str]:
    """Return how many profiles an export holds, and the export."""
    found = ask_profiles(folder, msgspec.structs.replace(asked, form="export"))
    return found["total"], found["export"]


def the_ones(folder: DataFolder, beginnings: Sequence[str]) -> list[Summary]:
    """Return the profiles that beginnings of ids name, each one.

    Raises:
        ConfigError: one names none, or several.
    """
    found: list[Summary] = []
    for start in range(0, len(beginnings), _IDS_MAX):
        found += ask_summaries(folder, Query(ids=list(beginnings[start : start + _IDS_MAX])))
    for beginning in beginnings:
        named = [one for one in found if beginning and one.profile_id.startswith(beginning)]
        if len(named) != 1:
            what = f"{len(named)} profiles; write more of it" if named else "no profile"
            raise ConfigError(f"the id {beginning!r} names {what}. `vedette profiles list` shows them")
    return found


def _of_checkpoint(folder: DataFolder) -> Profiles:
    detector = ProfileDeviations()
    with closing(SqliteCoreReader(folder.core)) as core:
        detector.state.restore(core.checkpoint_rows(detector.name))
    detector.rebuild()
    return detector.profiles
