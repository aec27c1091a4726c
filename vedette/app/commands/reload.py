"""`vedette reload`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter

from vedette.app.terminal import ConfigFile, DataDir, Flag, Format, count_text, put_json, say
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME_CHARS_MAX: Final = 80
_NOUNS: Final = {"rules": "rule", "exceptions": "exception", "packs": "pack", "shadow": "name", "heard": "name"}
_WAYS: Final = {
    "shadow_added": "put in shadow",
    "shadow_removed": "out of shadow",
    "heard_added": "to be heard",
    "heard_removed": "no more to be heard",
}

app = App(
    name="reload",
    help_epilogue="""Examples:
  vedette reload --dry-run
  vedette reload && vedette status

Exit status: 0 the rules are in force; 2 a rule is wrong, the former rules stay in force; 3 no agent answers.""",
)


@app.default
def reload(
    *,
    dry_run: Annotated[Flag, Parameter(help="Read and check everything, and tell what would change.")] = False,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Make the running agent read its rules again, all or nothing, and tell what changed.

    Read again are the rules, and of its configuration the section `rules`. Other changes need a restart.
    """
    from vedette.app.agent_client import ask_in  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415

    answer = ask_in(find_folder(config, data_dir), "reload", dry_run=dry_run)
    if format == "json":
        put_json(answer)
    else:
        say_reloaded(answer, dry_run=dry_run)
    return 0


def say_reloaded(answer: Mapping[str, Any], *, dry_run: bool = False) -> None:
    """Tell people what a reload did, or would do."""
    nothing = "" if answer["changed"] else "; nothing would change" if dry_run else "; nothing had changed"
    would = "would be in force" if dry_run else "in force"
    say(f"{count_text(answer['rules'], 'rule')} {would}{nothing}")
    for change, delta in answer.get("changes", {}).items():
        kind, _, way = change.rpartition("_")
        names = ", ".join(safe_text(name, _NAME_CHARS_MAX) for name in delta["names"])
        more = f" and {delta['count'] - len(delta['names'])} more" if delta["count"] > len(delta["names"]) else ""
        say(f"  {count_text(delta['count'], _NOUNS[kind])} {_WAYS.get(change, way)}: {names}{more}")
