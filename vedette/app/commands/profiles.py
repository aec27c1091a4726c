"""`vedette profiles`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import (
    ConfigFile,
    DataDir,
    Format,
    count_text,
    put,
    put_fields,
    put_json,
    put_table,
    say,
    time_text,
)

if TYPE_CHECKING:
    from detectors.behaviour.profiles.reading import LearnedValue, Reading, Summary
    from vedette.app.profiles.compare import Difference

app = App(
    name="profiles",
    help="List and show what was learned of entities, lock it, forget it, carry it elsewhere.",
    help_epilogue="`vedette profiles list --help` shows examples.",
)

app.command("vedette.app.commands.profiles_permissions:role_app", name="role", help="Make an RBAC role of one.")
app.command(
    "vedette.app.commands.profiles_permissions:policy_app",
    name="network-policy",
    help="Make a NetworkPolicy of one.",
)

Kind = Literal["container", "workload", "service_account", "user", "node", "network", "namespace"]
AspectName = Literal["programs", "files", "peers", "calls", "actors", "images"]
StateName = Literal["learning", "proposed", "unstable", "locked"]
Ids = Annotated[tuple[str, ...], Parameter(name="ID", help="Ids of profiles, or the beginnings of them.")]
ByKind = Annotated[Kind | None, Parameter(help="Of this kind of entity.")]
ByName = Annotated[str, Parameter(help="Of entities with this name: a namespace, workload, container, user …")]
ByAspect = Annotated[AspectName | None, Parameter(help="Of this aspect.")]
ByState = Annotated[StateName | None, Parameter(help="In this state.")]
Analyst = Annotated[str | None, Parameter(help="Who says so. Default: the name of this user.")]


@app.command(
    name="list",
    help_epilogue="""Examples:
  vedette profiles list --name cart
  vedette profiles list --state proposed --aspect programs --format json | jq -r .profile_id""",
)
def list_profiles(
    *,
    kind: ByKind = None,
    name: ByName = "",
    aspect: ByAspect = None,
    state: ByState = None,
    limit: Annotated[int, Parameter(help="How many to list at most.")] = 1000,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """List profiles with how far they are: learning, proposed, unstable (never settles: left alone) or locked.

    Asks the running agent; without one, reads what it left.
    """
    from vedette.app.folder_access import find_folder  # noqa: PLC0415 - keeps the start fast
    from vedette.app.profiles.query import LIST_MAX, Query, ask_summaries  # noqa: PLC0415

    wanted = Query(
        kind=kind or "", name=name, aspect=aspect or "", state=state or "", limit=min(max(1, limit), LIST_MAX)
    )
    found = ask_summaries(find_folder(config, data_dir), wanted)
    if format == "json":
        for one in found:
            put_json(_document(one))
        return ExitStatus.OK
    titles = ("ID", "ENTITY", "ASPECT", "STATE", "SEEN", "SINCE", "VALUES", "OUTSIDE", "LOCKED BY")
    put_table(titles, [_row(one) for one in found])
    return ExitStatus.OK


@app.command(
    help_epilogue="""Examples:
  vedette profiles show 4be2c81f
  vedette profiles show 4be2c81f --format json | jq -r '.values[] | .parts | join(" ")'"""
)
def show(
    ids: Ids,
    /,
    *,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show profiles whole: what is usual, what was seen in start-up alone, and what deviated and was not learned."""
    from vedette.app.folder_access import find_folder  # noqa: PLC0415 - keeps the start fast
    from vedette.app.profiles.query import Query, ask_readings, the_ones  # noqa: PLC0415

    folder = find_folder(config, data_dir)
    found = the_ones(folder, ids)
    for reading in ask_readings(folder, Query(ids=[one.profile_id for one in found])) if found else []:
        if format == "json":
            put_json(_whole(reading))
        else:
            _put_reading(reading)
    return ExitStatus.OK


@app.command(
    help_epilogue="""Examples:
  vedette profiles diff last-release.json
  vedette profiles diff last-release.json --format json | jq 'select(.change == "outside")'

Exit status: 0 nothing differs; 1 something does; 2 the file is no export; 3 the data folder can't be read."""
)
def diff(
    file: Annotated[Path, Parameter(name="FILE", help="An export.")],
    /,
    *,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show what was learned since an export, what is not known any more, and what deviated."""
    from detectors.behaviour.profiles.transfer import unpack  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415
    from vedette.app.profiles.compare import differences  # noqa: PLC0415
    from vedette.app.profiles.query import Query, ask_readings  # noqa: PLC0415

    before = unpack(_read(file))
    found = differences(before, ask_readings(find_folder(config, data_dir), Query()))
    if format == "json":
        for one in found:
            put_json({**one._asdict(), "entity": _named(one.entity)})
    else:
        put_table(("CHANGE", "ID", "ENTITY", "ASPECT", "VALUE"), [_difference(one) for one in found])
    return ExitStatus.FOUND if found else ExitStatus.OK


@app.command(
    help_epilogue="""Examples:
  vedette profiles lock 4be2c81f 90ab17c2
  vedette profiles list --state proposed --format json | jq -r .profile_id | xargs vedette profiles lock"""
)
def lock(ids: Ids, /, *, analyst: Analyst = None, config: ConfigFile = None, data_dir: DataDir = None) -> int:
    """Lock profiles: nothing more is learned of them, and what is not in them deviates each time anew."""
    return _decide("lock", ids, analyst, config, data_dir)


@app.command(help_epilogue="Examples:\n  vedette profiles unlock 4be2c81f")
def unlock(ids: Ids, /, *, analyst: Analyst = None, config: ConfigFile = None, data_dir: DataDir = None) -> int:
    """Unlock profiles: what a release brings is learned again."""
    return _decide("unlock", ids, analyst, config, data_dir)


@app.command(help_epilogue="Examples:\n  vedette profiles forget 4be2c81f")
def forget(ids: Ids, /, *, analyst: Analyst = None, config: ConfigFile = None, data_dir: DataDir = None) -> int:
    """Forget profiles, locked ones too: they are learned anew, and alert nobody until then."""
    return _decide("forget", ids, analyst, config, data_dir)


@app.command(
    help_epilogue="""Examples:
  vedette profiles export --name shop > shop.json
  vedette profiles export 4be2c81f --file cart.json"""
)
def export(
    ids: Ids = (),
    /,
    *,
    kind: ByKind = None,
    name: ByName = "",
    aspect: ByAspect = None,
    state: ByState = None,
    file: Annotated[Path | None, Parameter(help="Where to write it. Default: standard output.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Write profiles as one JSON document, with a checksum, that `import` takes."""
    from vedette.app.folder_access import find_folder  # noqa: PLC0415 - keeps the start fast
    from vedette.app.profiles.query import Query, ask_export, the_ones  # noqa: PLC0415

    folder = find_folder(config, data_dir)
    wanted = [one.profile_id for one in the_ones(folder, ids)] if ids else None
    asked = Query(ids=wanted, kind=kind or "", name=name, aspect=aspect or "", state=state or "")
    count, text = ask_export(folder, asked)
    if file is None:
        put(text.rstrip("\n"))
    else:
        _write(file, text)
        say(f"{count_text(count, 'profile')} written to {file}")
    return ExitStatus.OK


@app.command(
    name="import",
    help_epilogue="""Examples:
  vedette profiles import shop.json

Exit status: 0 in force; 2 the file is no export, or was changed; 3 no agent is running, or it is behind.""",
)
def import_profiles(
    file: Annotated[Path, Parameter(name="FILE", help="An export.")],
    /,
    *,
    analyst: Analyst = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Take profiles from an export; those of the same entities and aspects are replaced."""
    import hashlib  # noqa: PLC0415 - keeps the start fast

    from detectors.behaviour.profiles.transfer import unpack  # noqa: PLC0415
    from vedette.app.agent_client import ask_in  # noqa: PLC0415
    from vedette.app.folder_access import find_folder  # noqa: PLC0415
    from vedette.app.profiles.service import DECISION, import_path  # noqa: PLC0415

    content = _read(file)
    unpack(content)
    folder, digest = find_folder(config, data_dir), hashlib.sha256(content).hexdigest()
    path = import_path(folder.path, digest)
    _write(path, content.decode())
    try:
        answer = ask_in(folder, DECISION, action="import", hash=digest, analyst=_who(analyst))
    finally:
        path.unlink(missing_ok=True)
    put(f"{count_text(answer['profiles'], 'profile')} imported")
    return ExitStatus.OK


def _decide(action: str, ids: tuple[str, ...], analyst: str | None, config: Path | None, data_dir: Path | None) -> int:
    from vedette.app.agent_client import ask_in  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415
    from vedette.app.profiles.query import the_ones  # noqa: PLC0415
    from vedette.app.profiles.service import DECISION, IDS_MAX  # noqa: PLC0415

    folder = find_folder(config, data_dir)
    found = the_ones(folder, ids)
    whole = [one.profile_id for one in found]
    for start in range(0, len(whole), IDS_MAX):
        ask_in(folder, DECISION, action=action, ids=whole[start : start + IDS_MAX], analyst=_who(analyst))
    done = {"lock": "locked", "unlock": "unlocked", "forget": "forgotten"}[action]
    put_table(("ID", "ENTITY", "ASPECT", "NOW"), [(one.profile_id, _entity(one), one.aspect, done) for one in found])
    return ExitStatus.OK


def _who(analyst: str | None) -> str:
    from vedette.app.commands.alerts import user_name  # noqa: PLC0415 - keeps the start fast
    from vedette.schema.text import clip_text, whole_text  # noqa: PLC0415

    return clip_text(whole_text(user_name() if analyst is None else analyst))


def _read(file: Path) -> bytes:
    from detectors.behaviour.profiles.transfer import BYTES_MAX  # noqa: PLC0415 - keeps the start fast
    from vedette.schema.errors import ConfigError  # noqa: PLC0415

    try:
        with file.open("rb") as opened:
            return opened.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from error


def _write(file: Path, text: str) -> None:
    from vedette.schema.errors import ConfigError  # noqa: PLC0415 - keeps the start fast

    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror}") from error


# --- words ------------------------------------------------------------------------------------------------------------
def _entity(one: Summary) -> str:
    cluster = f" ({one.cluster})" if one.cluster else ""
    return f"{one.kind} {'/'.join(one.names)}{cluster}"


def _row(one: Summary) -> tuple[object, ...]:
    seen = "full" if one.full else "partial"
    since = time_text(one.since_ns)[:16]
    return one.profile_id, _entity(one), one.aspect, one.state, seen, since, one.values, one.outside, one.locked_by


def _difference(one: Difference) -> tuple[object, ...]:
    kind, cluster, *names = one.entity
    where = f" ({cluster})" if cluster else ""
    return one.change, one.profile_id, f"{kind} {'/'.join(names)}{where}", one.aspect, _value(one.aspect, one.parts)


def _value(aspect: str, parts: tuple[str, ...]) -> str:
    from detectors.behaviour.profiles.state import SEPARATOR  # noqa: PLC0415 - keeps the start fast
    from detectors.behaviour.profiles.telling import value_text  # noqa: PLC0415

    return value_text(aspect, SEPARATOR.join(parts)) if parts else "(the whole profile)"


def _put_reading(reading: Reading) -> None:
    one = reading.summary
    put_fields(
        [
            ("profile", one.profile_id),
            ("entity", _entity(one)),
            ("aspect", one.aspect),
            ("state", one.state),
            ("seen", "from the start of a container" if one.full else "in part: no start of a container was seen"),
            ("since", time_text(one.since_ns)),
            ("settled", time_text(one.settled_ns)),
            ("locked", f"{time_text(one.locked_ns)} by {one.locked_by or '?'}" if one.locked_ns else ""),
        ]
    )
    groups = (("usual", reading.values), ("start-up", reading.startup), ("outside", reading.outside))
    rows = [_value_row(part, one.aspect, value) for part, values in groups for value in values]
    put("")
    put_table(("PART", "VALUE", "FIRST", "LAST", "HOURS"), rows)
    put("")


def _value_row(part: str, aspect: str, value: LearnedValue) -> tuple[object, ...]:
    text = _value(aspect, value.parts)
    return part, text, time_text(value.first_ns)[:16], time_text(value.last_ns)[:16], value.hours


def _document(one: Summary) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    document: dict[str, Any] = msgspec.to_builtins(one)
    for name in ("since", "settled", "locked"):
        document[name] = time_text(document.pop(f"{name}_ns"))
    return document


def _whole(reading: Reading) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - keeps the start fast

    groups: dict[str, Any] = {}
    for part in ("values", "startup", "outside"):
        groups[part] = [
            {
                "parts": list(value.parts),
                "first": time_text(value.first_ns),
                "last": time_text(value.last_ns),
                "hours": value.hours,
            }
            for value in getattr(reading, part)
        ]
    counts = {f"{part}_count": getattr(reading.summary, part) for part in groups}
    summary = {name: value for name, value in _document(reading.summary).items() if name not in groups}
    return {**summary, **counts, **groups, "wide": msgspec.to_builtins(reading.wide)}


def _named(entity: tuple[str, ...]) -> dict[str, Any]:
    kind, cluster, *names = entity
    return {"kind": kind, "cluster": cluster, "names": names}
