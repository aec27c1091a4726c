"""Tables of arguments and options for docs/cli.md, from the command line's own parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from vedette.app.cli import build_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cyclopts import App
    from cyclopts.argument import Argument

EVERYWHERE: Final = {"--config", "--data-dir"}
"""What the page says once, at its beginning."""
HEAD: Final = "| Option | Meaning |\n|---|---|\n"
_TABLE: Final = re.compile(re.escape(HEAD) + r"(?:\|.*\|\n)*")
_SECTION: Final = re.compile(r"^## `vedette ([a-z-]+(?: [a-z-]+)?).*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_UNSAID: Final = (None, False, "", ())
_CHOICES_SHOWN: Final = 3


def render(page: str) -> str:
    """Write the tables of a page anew: in each command's section where one stands, or else at its end."""
    tables = {" ".join(words): _table(app) for words, app in commands(build_app())}
    return _SECTION.sub(lambda section: _renewed(section[0], tables[section[1]]), page)


def commands(app: App, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Yield each command that does something, with its words."""
    names = [name for name in app if not name.startswith("-")]
    if not names:
        yield words, app
    for name in names:
        yield from commands(app[name], (*words, name))


def _renewed(section: str, table: str) -> str:
    without = _TABLE.search(section)
    if without:
        return section[: without.start()] + table + section[without.end() :]
    return f"{section.rstrip()}\n\n{table}\n" if table else section


def _table(app: App) -> str:
    rows = [_row(each) for each in app.assemble_argument_collection() if each.names[0] not in EVERYWHERE]
    return HEAD + "".join(rows) if rows else ""


def _row(argument: Argument) -> str:
    help_text = str(argument.parameter.help or "")
    choices = [str(choice) for choice in get_args(argument.hint)] if get_origin(argument.hint) is Literal else []
    shown = choices if len(choices) <= _CHOICES_SHOWN else []
    name = " ".join(filter(None, [argument.names[0], "|".join(shown) or _value(argument)]))
    default = _default(argument, "Default:" in help_text)
    listed = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices and not shown else ""
    return f"| `{_cell(name)}` | {_cell(help_text)}{listed}{default} |\n"


def _value(argument: Argument) -> str:
    """What stands for the value behind an option: nothing behind a flag, nor behind the name of an argument."""
    kinds = _kinds(argument.hint)
    if argument.hint is bool or not argument.names[0].startswith("-"):
        return ""
    words = {"int": "N", "float": "N", "Path": "PATH"}
    word = next((words[kind] for kind in kinds if kind in words), "TEXT")
    return " ".join([word] * argument.token_count()[0])


def _kinds(hint: Any) -> list[str]:
    inner = get_args(hint)
    return [kind for each in inner for kind in _kinds(each)] if inner else [getattr(hint, "__name__", "")]


def _default(argument: Argument, worded: bool) -> str:
    value = argument.field_info.default
    if worded or value is argument.field_info.empty or value in _UNSAID:
        return ""
    return f" Default: `{value:g}`." if isinstance(value, float) else f" Default: `{value}`."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
